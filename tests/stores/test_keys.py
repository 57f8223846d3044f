"""Keys, in every store."""

from dataclasses import replace

import pytest

from gateway_async.errors import AlreadyExists, Conflict, NotFound
from gateway_async.stores.base import Store
from tests.stores.records import ENTRY, digest, key


async def test_a_key_is_found_by_its_hash(store: Store) -> None:
    """As it was given, with the routes that it is for: some, none, or all."""
    made = [key("some"), key("none", routes=()), key("all", routes=None, expires=None, role="admin")]
    for each in made:
        await store.keys.create(each, ENTRY)

    assert [await store.keys.find(each.digest) for each in made] == made
    assert await store.keys.find(digest("another")) is None


async def test_keys_are_listed_by_name(store: Store) -> None:
    """In one order everywhere, whatever language the database speaks."""
    names = ["b", "a", "B", "_", "é", "a-b"]
    for name in names:
        await store.keys.create(key(name), ENTRY)

    assert [each.name for each in await store.keys.all()] == sorted(names)


async def test_a_name_or_a_key_is_kept_once(store: Store) -> None:
    """A second of either is refused, and leaves no trace."""
    await store.keys.create(key("app"), ENTRY)

    with pytest.raises(AlreadyExists, match="'app'"):
        await store.keys.create(replace(key("other"), name="app"), ENTRY)
    with pytest.raises(AlreadyExists, match="'app'"):
        await store.keys.create(replace(key("app"), name="other"), ENTRY)

    assert await store.keys.all() == [key("app")]
    assert await store.revision() == 1
    assert len(await store.audit.read()) == 1


async def test_a_revoked_key_stays_with_its_name(store: Store) -> None:
    """It is found, so that its caller is told why; the first time that it was revoked counts."""
    await store.keys.create(key("app"), ENTRY)

    await store.keys.revoke("app", 1500.0, ENTRY)
    await store.keys.revoke("app", 1600.0, ENTRY)

    assert await store.keys.find(digest("app")) == key("app", revoked=1500.0)
    with pytest.raises(AlreadyExists):
        await store.keys.create(replace(key("new"), name="app"), ENTRY)


async def test_a_rotated_key_is_found_by_both_hashes(store: Store) -> None:
    """The new one and the one that it replaced; who asks sees until when."""
    await store.keys.create(key("app"), ENTRY)

    await store.keys.rotate("app", digest=digest("new"), hint="new", old_until=1700.0, entry=ENTRY)

    expected = replace(
        key("app"), digest=digest("new"), hint="new", old_digest=digest("app"), old_until=1700.0
    )
    assert await store.keys.find(digest("new")) == expected
    assert await store.keys.find(digest("app")) == expected
    assert await store.keys.all() == [expected]


async def test_of_a_key_that_is_rotated_twice_the_first_is_forgotten(store: Store) -> None:
    """Two are good at once, never three."""
    await store.keys.create(key("app"), ENTRY)
    for name in ("second", "third"):
        await store.keys.rotate("app", digest=digest(name), hint=name, old_until=1700.0, entry=ENTRY)

    assert await store.keys.find(digest("app")) is None
    assert await store.keys.find(digest("second")) == await store.keys.find(digest("third"))


async def test_a_key_in_use_is_found_before_one_that_was_replaced(store: Store) -> None:
    """Where the same key was given a name of its own after it had been replaced."""
    await store.keys.create(key("app"), ENTRY)
    await store.keys.rotate("app", digest=digest("new"), hint="new", old_until=1700.0, entry=ENTRY)
    own = replace(key("own"), digest=digest("app"))
    await store.keys.create(own, ENTRY)

    assert await store.keys.find(digest("app")) == own


async def test_what_can_not_be_rotated_or_revoked_says_why(store: Store) -> None:
    """A name that nobody has, a key that is revoked, a new key that is somebody's."""
    await store.keys.create(key("app"), ENTRY)
    await store.keys.create(key("other"), ENTRY)
    await store.keys.revoke("other", 1500.0, ENTRY)
    before = await store.revision()

    with pytest.raises(NotFound, match="'nobody'"):
        await store.keys.revoke("nobody", 1.0, ENTRY)
    with pytest.raises(NotFound, match="'nobody'"):
        await store.keys.rotate("nobody", digest=b"1", hint="", old_until=1.0, entry=ENTRY)
    with pytest.raises(Conflict, match="'other' is revoked"):
        await store.keys.rotate("other", digest=b"1", hint="", old_until=1.0, entry=ENTRY)
    with pytest.raises(AlreadyExists, match="'other'"):
        await store.keys.rotate("app", digest=digest("other"), hint="", old_until=1.0, entry=ENTRY)

    assert await store.revision() == before
    assert len(await store.audit.read()) == 3
