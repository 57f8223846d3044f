"""Limits in the database."""

from collections.abc import Mapping

import sqlalchemy as sa

from gateway_async.stores.base import AuditEntry, Json
from gateway_async.stores.sql.changes import change
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.tables import limits as table


class SqlLimits:
    """A `LimitStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Mapping[str, list[Json]]:
        """The limits that were set; see `LimitStore.all`."""
        rows = await self._database.fetch(sa.select(table).order_by(table.c.route))
        return dict(rows)

    async def replace(self, route: str, limits: list[Json] | None, entry: AuditEntry) -> None:
        """Keep these limits for a route, or forget them; see `LimitStore.replace`."""
        async with change(self._database, entry) as made:
            await made.run(table.delete().where(table.c.route == route))
            if limits is not None:
                await made.run(table.insert().values(route=route, limits=limits))
