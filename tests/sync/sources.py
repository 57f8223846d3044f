"""What the tests stream from and call: sources that say what happened to them."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from gateway_async import AsyncStream
from gateway_sync import SyncStream

SOON = 40.0
"""Seconds to wait for what happens at once."""


class Chunks:
    """A `ChunkSource` that counts, and remembers who called it.

    Attributes:
        given: How many chunks were taken from it.
        closed: Set when it was closed.
        tasks: The tasks in which it was used.
    """

    def __init__(self, n: int, *, then: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.n, self.then = n, then
        self.given = 0
        self.closed = threading.Event()
        self.tasks: set[object] = set()

    async def next(self) -> dict[str, Any] | None:
        self.tasks.add(asyncio.current_task())
        if self.given == self.n:
            if self.then is not None:
                await self.then()
            return None
        self.given += 1
        return {"i": self.given - 1}

    async def aclose(self) -> None:
        self.tasks.add(asyncio.current_task())
        self.closed.set()

    async def open(self) -> "Chunks":
        self.tasks.add(asyncio.current_task())
        return self


def stream(source: Any, holder: object = None) -> SyncStream[dict[str, Any]]:
    """The blocking stream of a source."""
    return SyncStream(holder, lambda: AsyncStream(source.open, lambda chunk: chunk))


class Connections:
    """The async side of a client, seen from its connections."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def query(self) -> str:
        return "answer"

    async def aclose(self) -> None:
        self.closed.set()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def nothing() -> None:
    pass


async def interrupt_and_wait(ended: threading.Event) -> None:
    """What the user does who presses Ctrl-C while this call is under way."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await forever()
    finally:
        ended.set()
