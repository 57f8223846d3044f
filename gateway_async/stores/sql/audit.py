"""The audit log in the database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway_async.stores.base import AuditEntry
from gateway_async.stores.sql.changes import line
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.tables import audit, state


class SqlAudit:
    """An `AuditLog`.

    Args:
        database: Where it is.
        refusals: How many refusals are kept.
    """

    def __init__(self, database: Database, refusals: int) -> None:
        self._database = database
        self._refusals = refusals

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines; see `AuditLog.record`."""
        if not entries:
            return
        refused = sum(entry.outcome == "refused" for entry in entries)
        async with self._database.writing() as connection:
            await connection.execute(state.update().values(refusals=state.c.refusals + refused))
            newest: int = (await connection.execute(sa.select(state.c.refusals))).scalar_one()
            numbers = iter(range(newest - refused + 1, newest + 1))
            rows = [line(entry, next(numbers) if entry.outcome == "refused" else None) for entry in entries]
            await connection.execute(audit.insert(), rows)
            await connection.execute(audit.delete().where(audit.c.refusal <= newest - self._refusals))

    async def read(self, *, limit: int = 100) -> list[AuditEntry]:
        """The newest lines; see `AuditLog.read`."""
        rows = await self._database.fetch(sa.select(audit).order_by(audit.c.id.desc()).limit(limit))
        return [_entry(row) for row in rows]


def _entry(row: sa.Row[Any]) -> AuditEntry:
    values = row._asdict()
    del values["id"], values["refusal"]
    return AuditEntry(**values)
