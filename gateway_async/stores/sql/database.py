"""Connections to the database: a few, kept for the loop that opened them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from gateway_async.stores.sql.backend import Backend
from gateway_async.stores.sql.connections import Connections
from gateway_async.stores.sql.engine import Connection, Engine

T = TypeVar("T")

COMMAND_SECONDS = 4.0
"""How long a statement may take, the wait for those who write at the same time among it."""

MIGRATION_SECONDS = 15.0
"""The same for a migration."""


class Database:
    """A database that may be away for a while, used from one loop at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._failures: tuple[type[Exception], ...] = (SQLAlchemyError, *backend.failures)
        self._connections: Connections | None = None

    @property
    def name(self) -> str:
        """The address as a message may show it."""
        return self._backend.name

    def make(self) -> None:
        """Make the place where the database is, if it is absent.

        Raises:
            ConfigError: It can't be made.
        """
        self._backend.make()

    async def fetch(self, query: sa.Select[Any]) -> Sequence[Any]:
        """The rows of a query: tuples, whose fields have the names of the columns too.

        It is asked once more where the connection had been dropped.

        Raises:
            Unavailable: The database can't be reached.
        """

        async def fetch() -> Sequence[Any]:
            async with connections.readers.connect() as connection:
                rows: Sequence[Any] = (await connection.execute(query)).all()
                return rows

        async with self._here() as connections:
            return await _twice(fetch)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for what is more than a query.

        Raises:
            Unavailable: The database can't be reached.
        """
        async with self._here() as connections, connections.readers.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """A transaction, committed on leaving, and undone if an error leaves it.

        Raises:
            Unavailable: The database can't be reached. What was written may be there if that happened at the end.
        """
        async with self._here() as connections:
            async with asyncio.timeout(COMMAND_SECONDS):
                await connections.writers.acquire()
            try:
                async with _transaction(connections.engine, self._backend.begin) as connection:
                    yield connection
            finally:
                connections.writers.release()

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Connection]:
        """The same, for one at a time, and with more time.

        Raises:
            Unavailable: The database can't be reached.
        """
        engine = self._backend.engine(MIGRATION_SECONDS)
        with self._explained():
            try:
                async with _transaction(engine, self._backend.begin_migration) as connection:
                    yield connection
            finally:
                await engine.dispose()

    async def aclose(self) -> None:
        """Close the connections. The next call opens others."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.aclose()

    @asynccontextmanager
    async def _here(self) -> AsyncIterator[Connections]:
        """The connections of the running loop, and what goes wrong with them in words."""
        before = self._connections
        if before is not None and before.loop is asyncio.get_running_loop():
            connections = before
        else:
            connections = self._connections = Connections(self._backend, COMMAND_SECONDS)
        with self._explained():
            if before is not None and before is not connections:
                await before.aclose()
            async with connections.used():
                yield connections

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._failures as problem:
            cause = (problem.orig if isinstance(problem, DBAPIError) else None) or problem
            raise self._backend.explain(cause, _reason(cause)) from None


def _reason(problem: BaseException) -> str:
    """The words of the one who failed."""
    if isinstance(problem, TimeoutError | NoConnectionFree):
        return "it does not answer in time"
    return str(problem.__cause__ or problem)


@asynccontextmanager
async def _transaction(engine: Engine, begin: str) -> AsyncIterator[Connection]:
    async def begun() -> Connection:
        connection = await engine.open()
        try:
            await connection.exec_driver_sql(begin)
        except BaseException:
            await asyncio.shield(connection.close())
            raise
        return connection

    connection = await _twice(begun)
    try:
        yield connection
        await connection.commit()
    finally:
        await asyncio.shield(connection.close())  # undoes what is not committed


async def _twice(attempt: Callable[[], Awaitable[T]]) -> T:
    """What an attempt gives; it is made once more if the connection turns out to be dropped."""
    try:
        return await attempt()
    except DBAPIError as problem:
        if not problem.connection_invalidated:
            raise
    except ConnectionError:
        pass
    return await attempt()
