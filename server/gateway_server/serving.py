"""A worker: uvicorn's server, which leaves nobody without an answer at its end."""

import asyncio
import ctypes
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

BEAT_SECONDS = 1.0
"""A worker that lives says so this often."""

TRIM_SECONDS = 10.0
"""A worker gives memory back this often: between what is in use, the C library keeps all that a rush has freed."""

CUT_SECONDS = 1.0
"""Calls that somebody in a hurry cuts short have so long to say so."""


@dataclass(frozen=True, slots=True)
class Tie:
    """A worker's end of what connects it with the first process."""

    parent: int
    """A descriptor that can be read when the first process is gone."""

    beats: int

    def beat(self) -> None:
        """Say that this worker lives."""
        try:
            os.write(self.beats, b".")
        except OSError:
            pass  # the first process is gone, or stopped


class Worker(uvicorn.Server):
    """uvicorn's server.

    While it serves, it gives memory that nobody uses back to the system. At the end it takes the connections that wait
    in the kernel too, since nobody else will; and it ends when the process that started it is gone.

    Args:
        config: uvicorn's configuration.
        tie: What connects it with the first process, where that is another.
    """

    def __init__(self, config: uvicorn.Config, tie: Tie | None = None) -> None:
        super().__init__(config)
        self._tie = tie

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin; see uvicorn's."""
        if self._tie is not None:
            asyncio.get_running_loop().add_reader(self._tie.parent, self._be_orphaned, self._tie.parent)
            self._beat(self._tie)
        await super().startup(sockets)
        if (trim := _trim()) is not None:
            self._give_back(trim)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; see uvicorn's."""
        listeners = [listener.dup() for listener in sockets or ()]
        for server in self.servers:
            server.close()
        for listener in listeners:
            await self._take_waiting(listener)
        await super().shutdown(sockets)
        if self.force_exit:  # then uvicorn leaves calls and app to the end of the loop, which fails aloud
            await self._cut_short(list(self.server_state.tasks))
            await self.lifespan.shutdown()

    async def _cut_short(self, calls: list[asyncio.Task[None]]) -> None:
        """Cancel the calls under way, and give them a moment to tell their callers."""
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=CUT_SECONDS)

    async def _take_waiting(self, listener: socket.socket) -> None:
        """Take the connections that wait, and close the socket."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # there is none left, or no descriptor for it
                    return
                connection.setblocking(False)
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        make = self.config.http_protocol_class
        return make(  # type: ignore[call-arg] # as uvicorn makes it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _beat(self, tie: Tie) -> None:
        """Say that this worker lives again and again: also while it begins, and while it answers what it has at its end."""
        tie.beat()
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat, tie)

    def _give_back(self, trim: Callable[[int], object]) -> None:
        """Give memory back again and again. It takes a fifth of a millisecond, and a few where there is much."""
        trim(0)
        asyncio.get_running_loop().call_later(TRIM_SECONDS, self._give_back, trim)

    def _be_orphaned(self, parent: int) -> None:
        asyncio.get_running_loop().remove_reader(parent)
        self.should_exit = True


def _trim() -> Callable[[int], object] | None:
    """What gives unused memory back to the system, where the C library has that: glibc's `malloc_trim`."""
    found: Callable[[int], object] | None = None
    if sys.platform == "linux":
        found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
