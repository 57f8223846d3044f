"""A change: one transaction that holds it, the store's next revision, and its line in the audit log."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from gateway_async.stores.base import AuditEntry, Json
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.engine import Connection
from gateway_async.stores.sql.tables import audit, state


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction in which no other one changes anything."""

    connection: Connection

    revision: int
    """The store's revision from here on."""

    async def row(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        """The first row of a query."""
        row: sa.Row[Any] | None = (await self.connection.execute(query)).first()
        return row

    async def run(self, statement: sa.Executable) -> None:
        """Change rows."""
        await self.connection.execute(statement)


@asynccontextmanager
async def change(database: Database, entry: AuditEntry) -> AsyncIterator[Change]:
    """A change; it is kept when the block is left, and undone if an error leaves it.

    Raises:
        Unavailable: The database can't be reached.
    """
    async with database.writing() as connection:
        await connection.execute(state.update().values(revision=state.c.revision + 1))
        revision: int = (await connection.execute(sa.select(state.c.revision))).scalar_one()
        yield Change(connection, revision)
        await connection.execute(audit.insert().values(line(entry)))


def line(entry: AuditEntry, refusal: int | None = None) -> Json:
    """A line of the audit log as its table's row."""
    row = {name: _clean(value) if isinstance(value, str) else value for name, value in asdict(entry).items()}
    return row | {"at": entry.at or time.time(), "refusal": refusal}


def _clean(text: str) -> str:
    """A text that every database takes: whoever is refused chose some of it."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
