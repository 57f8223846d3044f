"""SQLAlchemy's engine and connection, awaited.

`sqlalchemy.ext.asyncio` does the same and imports the whole ORM with it: 7 MB in every process, and a tenth of the time
in which a gateway starts.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")


class Connection:
    """A connection of an `Engine`. Results are whole when they are given."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    async def execute(self, statement: sa.Executable, rows: Any = None) -> sa.CursorResult[Any]:
        """The result of a statement."""
        result: sa.CursorResult[Any] = await greenlet_spawn(self._connection.execute, statement, rows)
        return result

    async def exec_driver_sql(self, statement: str) -> None:
        """Run a statement as it is."""
        await greenlet_spawn(self._connection.exec_driver_sql, statement)

    async def run_sync(self, work: Callable[..., T], *arguments: Any) -> T:
        """What a function gives that works on SQLAlchemy's own connection."""
        return await greenlet_spawn(work, self._connection, *arguments)

    async def commit(self) -> None:
        """Keep what was changed."""
        await greenlet_spawn(self._connection.commit)

    async def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        await greenlet_spawn(self._connection.close)


class Engine:
    """Connections to a database, a few, opened when they are needed and kept.

    Args:
        address: SQLAlchemy's address, with one of its drivers for asyncio.
        connect: Opens a connection of the driver.
        options: More for `sqlalchemy.create_engine`.
    """

    def __init__(self, address: str | sa.URL, connect: Callable[..., Awaitable[Any]], **options: Any) -> None:
        def creator() -> Any:
            return self._engine.dialect.dbapi.connect(async_creator_fn=connect)  # type: ignore[union-attr]

        self._engine = sa.create_engine(address, creator=creator, **options)

    def execution_options(self, **options: Any) -> "Engine":
        """The same connections, with these options of SQLAlchemy."""
        engine = object.__new__(Engine)
        engine._engine = self._engine.execution_options(**options)
        return engine

    async def open(self) -> Connection:
        """A connection, which its user must close."""
        return Connection(await greenlet_spawn(self._engine.connect))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """A connection, closed on leaving."""
        connection = await self.open()
        try:
            yield connection
        finally:
            await asyncio.shield(connection.close())

    async def dispose(self) -> None:
        """Close the connections that nobody uses."""
        await greenlet_spawn(self._engine.dispose)
