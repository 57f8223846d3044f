"""Connections to the database: a few, kept for the loop that opened them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway_async.errors import GatewayError

T = TypeVar("T")

COMMAND_SECONDS = 4.0
"""How long a statement may take, the wait for those who write at the same time among it."""

MIGRATION_SECONDS = 15.0
"""The same for a migration."""


class Backend(Protocol):
    """What differs between databases."""

    name: str
    """The address as a message may show it."""

    begin: str
    """The first statement of a transaction that writes."""

    begin_migration: str
    """The first statement of one that changes the tables: of these, there is one at a time."""

    reading: Mapping[str, Any]
    """SQLAlchemy's options for connections that only read: without a transaction around each query."""

    bound_to_loop: bool
    """Whether a connection can be closed only in the loop that opened it."""

    failures: tuple[type[Exception], ...]
    """What it raises, beside SQLAlchemy's errors, when it can't be reached."""

    def make(self) -> None:
        """Make the place where the database is, if it is absent and ours to make."""
        ...

    def engine(self, seconds: float) -> AsyncEngine:
        """A new engine; a statement takes no longer than so many seconds."""
        ...

    def explain(self, cause: BaseException, reason: str) -> GatewayError:
        """What went wrong, why, and the way out, for the operator."""
        ...


@dataclass(frozen=True, slots=True)
class _Connections:
    loop: asyncio.AbstractEventLoop
    engine: AsyncEngine
    readers: AsyncEngine
    """The same connections, set to read."""

    writers: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Writers of one process wait here: the database would make each of them wait on a connection."""


class Database:
    """A database that may be away for a while, used from one loop at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._failures: tuple[type[Exception], ...] = (SQLAlchemyError, *backend.failures)
        self._connections: _Connections | None = None

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

        with self._explained():
            connections = await self._here()
            return await _twice(fetch)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for what is more than a query.

        Raises:
            Unavailable: The database can't be reached.
        """
        with self._explained():
            async with (await self._here()).readers.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed on leaving, and undone if an error leaves it.

        Raises:
            Unavailable: The database can't be reached. What was written may be there if that happened at the end.
        """
        with self._explained():
            connections = await self._here()
            async with asyncio.timeout(COMMAND_SECONDS):
                await connections.writers.acquire()
            try:
                async with _transaction(connections.engine, self._backend.begin) as connection:
                    yield connection
            finally:
                connections.writers.release()

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
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
            await self._close(connections)

    async def _here(self) -> _Connections:
        """The connections of the running loop."""
        loop, before = asyncio.get_running_loop(), self._connections
        if before is not None and before.loop is loop:
            return before
        engine = self._backend.engine(COMMAND_SECONDS)
        readers = engine.execution_options(**self._backend.reading)
        connections = self._connections = _Connections(loop, engine, readers)
        if before is not None:
            await self._close(before)
        return connections

    async def _close(self, connections: _Connections) -> None:
        if not self._backend.bound_to_loop or connections.loop is asyncio.get_running_loop():
            await connections.engine.dispose()
        elif not connections.loop.is_closed():
            asyncio.run_coroutine_threadsafe(connections.engine.dispose(), connections.loop)

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
async def _transaction(engine: AsyncEngine, begin: str) -> AsyncIterator[AsyncConnection]:
    async def begun() -> AsyncConnection:
        connection = await engine.connect()
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
