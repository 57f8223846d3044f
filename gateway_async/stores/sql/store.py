"""The store in a database: what is kept, each by a module of its own."""

import sqlalchemy as sa

from gateway_async.stores.base import REFUSALS_KEPT
from gateway_async.stores.sql.audit import SqlAudit
from gateway_async.stores.sql.backend import Backend
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.keys import SqlKeys
from gateway_async.stores.sql.limits import SqlLimits
from gateway_async.stores.sql.migrate import upgrade
from gateway_async.stores.sql.routes import SqlRoutes
from gateway_async.stores.sql.tables import state


class SqlStore:
    """A `Store` in a database; nothing is opened before the first call.

    Args:
        backend: Which database, and where.
        refusals: How many refusals the audit log keeps.
    """

    def __init__(self, backend: Backend, *, refusals: int = REFUSALS_KEPT) -> None:
        self._database = Database(backend)
        self.routes = SqlRoutes(self._database)
        self.limits = SqlLimits(self._database)
        self.keys = SqlKeys(self._database)
        self.audit = SqlAudit(self._database, refusals)

    async def open(self) -> None:
        """Make the store ready; see `Store.open`."""
        self._database.make()
        await upgrade(self._database)

    async def revision(self) -> int:
        """A number that is greater after every change; see `Store.revision`."""
        ((revision,),) = await self._database.fetch(sa.select(state.c.revision))
        return int(revision)

    async def fingerprint(self, mine: str, *, instead_of: str | None = None) -> str:
        """What tells which secret is used; see `Store.fingerprint`."""
        query = sa.select(state.c.fingerprint)
        ((found,),) = await self._database.fetch(query)
        if found in (None, instead_of):
            async with self._database.writing() as connection:
                await connection.execute(
                    state.update()
                    .where(state.c.fingerprint.is_not_distinct_from(found))
                    .values(fingerprint=mine)
                )
                found = (await connection.execute(query)).scalar_one()
        return str(found)

    async def aclose(self) -> None:
        """Let go of connections; see `Store.aclose`."""
        await self._database.aclose()
