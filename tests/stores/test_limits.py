"""Limits, in every store."""

from gateway_async.stores.base import Json, Store
from tests.stores.records import ENTRY

MINUTE: Json = {"calls": 10, "key": "user", "renewal_period": "minute"}
HOUR: Json = {"tokens": 10**12, "renewal_period": "2 hours"}


async def test_limits_are_kept_for_any_route(store: Store) -> None:
    """For those of the file too, of which the store knows nothing."""
    await store.limits.replace("of-the-file", [MINUTE, HOUR], ENTRY)

    assert await store.limits.all() == {"of-the-file": [MINUTE, HOUR]}


async def test_limits_are_replaced_as_a_whole(store: Store) -> None:
    """What was set before is gone, and each time the store has a new revision."""
    await store.limits.replace("chat", [MINUTE, HOUR], ENTRY)
    before = await store.revision()

    await store.limits.replace("chat", [HOUR], ENTRY)

    assert await store.limits.all() == {"chat": [HOUR]}
    assert await store.revision() > before


async def test_no_limits_is_not_the_same_as_none_set(store: Store) -> None:
    """An empty list stands against the file's; None lets the file's hold again."""
    await store.limits.replace("chat", [], ENTRY)
    assert await store.limits.all() == {"chat": []}

    await store.limits.replace("chat", None, ENTRY)
    assert await store.limits.all() == {}


async def test_what_was_not_set_can_be_forgotten(store: Store) -> None:
    """It is a change like any other, with its line in the log."""
    await store.limits.replace("chat", None, ENTRY)

    assert await store.limits.all() == {}
    assert len(await store.audit.read()) == 1
