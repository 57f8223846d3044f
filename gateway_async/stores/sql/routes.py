"""Routes in the database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

import sqlalchemy as sa

from gateway_async.errors import AlreadyExists, Conflict, RouteNotFound
from gateway_async.stores.base import AuditEntry, StoredRoute
from gateway_async.stores.sql.changes import Change, change
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.tables import limits, routes

AT_ONCE = 100
"""Routes that one query reads: they are made into values within a millisecond or two, and others have their turn."""


class SqlRoutes:
    """A `RouteStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self) -> Mapping[str, int]:
        """The revision of every route; see `RouteStore.versions`."""
        rows = await self._database.fetch(
            sa.select(routes.c.name, routes.c.revision).order_by(routes.c.created)
        )
        return dict(rows)

    async def read(self, names: Collection[str]) -> list[StoredRoute]:
        """The routes of these names; see `RouteStore.read`."""
        query = sa.select(routes.c.name, routes.c.document, routes.c.sealed, routes.c.revision)
        found: list[StoredRoute] = []
        for some in _parts(names):
            rows = await self._database.fetch(query.where(routes.c.name.in_(some)))
            found += [
                StoredRoute(name=name, document=document, sealed=sealed, revision=revision)
                for name, document, sealed, revision in rows
            ]
        return found

    async def create(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Keep a new route; see `RouteStore.create`."""
        async with change(self._database, entry) as made:
            if await _revision(made, route.name) is not None:
                raise AlreadyExists(f"there is a route {route.name!r}")
            await made.run(
                routes.insert().values(
                    name=route.name,
                    created=made.revision,
                    revision=made.revision,
                    document=route.document,
                    sealed=route.sealed,
                )
            )
            await made.run(limits.delete().where(limits.c.route == route.name))
        return made.revision

    async def replace(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Put a route in the place of one; see `RouteStore.replace`."""
        async with change(self._database, entry) as made:
            revision = await _revision(made, route.name)
            if revision is None:
                raise RouteNotFound(f"there is no route {route.name!r}")
            if revision != route.revision:
                raise Conflict(f"the route {route.name!r} was changed meanwhile: read it again")
            await made.run(
                routes.update()
                .where(routes.c.name == route.name)
                .values(revision=made.revision, document=route.document, sealed=route.sealed)
            )
        return made.revision

    async def delete(self, name: str, entry: AuditEntry) -> None:
        """Delete a route and its limits; see `RouteStore.delete`."""
        async with change(self._database, entry) as made:
            if await _revision(made, name) is None:
                raise RouteNotFound(f"there is no route {name!r}")
            await made.run(routes.delete().where(routes.c.name == name))
            await made.run(limits.delete().where(limits.c.route == name))


async def _revision(made: Change, name: str) -> int | None:
    row = await made.row(sa.select(routes.c.revision).where(routes.c.name == name))
    return row.revision if row else None


def _parts(names: Collection[str]) -> Iterator[Sequence[str]]:
    rest = iter(names)
    while some := list(islice(rest, AT_ONCE)):
        yield some
