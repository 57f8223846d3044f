"""The connections of one loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from gateway_async.stores.sql.backend import Backend


class Connections:
    """A few connections, opened when they are needed and kept.

    Args:
        backend: What opens them.
        seconds: How long a statement may take.

    Attributes:
        loop: The one that they belong to: that in which this was made.
        engine: SQLAlchemy's engine over them.
        readers: The same, set to read.
        writers: Writers wait here for each other: the database would make each of them wait on a connection.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.engine = backend.engine(seconds)
        self.readers = self.engine.execution_options(**backend.reading)
        self.writers = asyncio.Lock()
        self._bound = backend.bound_to_loop
        self._users = 0
        self._closed = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Self]:
        """These connections, for one use; the last one closes them if they were let go meanwhile."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if self._closed:
                await asyncio.shield(self._close())

    async def aclose(self) -> None:
        """Let go of them: those that nobody uses are closed now, in their loop, the others when they are free."""
        if not self._bound or self.loop is asyncio.get_running_loop():
            await self._close()
        elif not self.loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._close(), self.loop)

    async def _close(self) -> None:
        self._closed = True
        if not self._users:
            await self.engine.dispose()
