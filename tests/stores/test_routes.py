"""Routes, in every store."""

from dataclasses import replace

import pytest

from gateway_async.errors import AlreadyExists, Conflict, RouteNotFound
from gateway_async.stores.base import Store
from tests.stores.records import ENTRY, entry, route


async def test_a_route_is_kept_as_it_was_given(store: Store) -> None:
    """Its document and its sealed bytes, whatever they hold."""
    made = replace(
        route("chat"), document={"deep": [{"ü\0": None}, 1.5, True, "\U0001f600"]}, sealed=bytes(range(256))
    )

    revision = await store.routes.create(made, ENTRY)

    assert await store.routes.read(["chat"]) == [replace(made, revision=revision)]


async def test_routes_are_listed_in_the_order_in_which_they_were_made(store: Store) -> None:
    """Each with its revision; one that is changed stays in its place."""
    revisions = {name: await store.routes.create(route(name), ENTRY) for name in ("b", "c", "a")}
    revisions["b"] = await store.routes.replace(route("b", 2, revision=revisions["b"]), ENTRY)

    versions = await store.routes.versions()

    assert list(versions.items()) == list(revisions.items())


async def test_only_the_routes_that_are_there_are_read(store: Store) -> None:
    """A name that is gone, or was never there, is left out."""
    await store.routes.create(route("here"), ENTRY)

    assert [found.name for found in await store.routes.read(["gone", "here", "it's \"%_"])] == ["here"]
    assert await store.routes.read([]) == []


async def test_thousands_of_routes_are_read_at_once(store: Store) -> None:
    """More than a database takes parameters in one query are no error."""
    await store.routes.create(route("here"), ENTRY)
    names = [f"route-{number}" for number in range(40_000)]

    assert [found.name for found in await store.routes.read([*names, "here"])] == ["here"]


async def test_a_name_is_given_once(store: Store) -> None:
    """The second is refused, and leaves no trace."""
    await store.routes.create(route("chat"), entry(target="first"))
    before = await store.revision()

    with pytest.raises(AlreadyExists, match="'chat'"):
        await store.routes.create(route("chat", 2), entry(target="second"))

    assert await store.revision() == before
    assert [line.target for line in await store.audit.read()] == ["first"]
    assert (await store.routes.read(["chat"]))[0].document == route("chat").document


async def test_a_route_is_replaced_by_one_of_its_revision(store: Store) -> None:
    """And has a greater one then."""
    first = await store.routes.create(route("chat"), ENTRY)

    second = await store.routes.replace(route("chat", 2, revision=first), ENTRY)

    assert second > first
    assert await store.routes.read(["chat"]) == [route("chat", 2, revision=second)]
    assert await store.revision() == second


async def test_of_two_who_change_the_same_route_the_second_is_told(store: Store) -> None:
    """What it read is no longer there; its change is not made."""
    first = await store.routes.create(route("chat"), ENTRY)
    second = await store.routes.replace(route("chat", 2, revision=first), ENTRY)

    with pytest.raises(Conflict, match="changed meanwhile"):
        await store.routes.replace(route("chat", 3, revision=first), ENTRY)

    assert await store.routes.read(["chat"]) == [route("chat", 2, revision=second)]
    assert await store.revision() == second
    assert len(await store.audit.read()) == 2


async def test_a_route_that_is_not_there_can_not_be_changed(store: Store) -> None:
    """Neither replaced nor deleted; nothing is logged as done."""
    with pytest.raises(RouteNotFound, match="'chat'"):
        await store.routes.replace(route("chat"), ENTRY)
    with pytest.raises(RouteNotFound, match="'chat'"):
        await store.routes.delete("chat", ENTRY)

    assert await store.revision() == 0
    assert await store.audit.read() == []


async def test_a_deleted_route_takes_its_limits_along(store: Store) -> None:
    """One that is made later under its name begins without; other routes keep theirs."""
    for name in ("chat", "other"):
        await store.routes.create(route(name), ENTRY)
        await store.limits.replace(name, [{"calls": 1, "renewal_period": "minute"}], ENTRY)

    await store.routes.delete("chat", ENTRY)

    assert list(await store.routes.versions()) == ["other"]
    assert list(await store.limits.all()) == ["other"]


async def test_a_new_route_begins_without_limits_of_another(store: Store) -> None:
    """Those that were set for a route of the file, which is gone, are not its own."""
    await store.limits.replace("chat", [{"calls": 0, "renewal_period": "minute"}], ENTRY)

    await store.routes.create(route("chat"), ENTRY)

    assert await store.limits.all() == {}


async def test_a_route_made_anew_is_not_taken_for_the_old_one(store: Store) -> None:
    """Its revision was never anybody else's, so a change meant for the old one is refused."""
    old = await store.routes.create(route("chat"), ENTRY)
    await store.routes.delete("chat", ENTRY)
    new = await store.routes.create(route("chat", 2), ENTRY)

    with pytest.raises(Conflict):
        await store.routes.replace(route("chat", 3, revision=old), ENTRY)

    assert await store.routes.versions() == {"chat": new}
