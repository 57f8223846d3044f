"""Streams on their way out, and the comments in those that are silent, so that no proxy takes them for dead."""

import asyncio
import math
from collections.abc import Callable

from starlette.types import Send

from gateway_async import sse
from gateway_async.call import Headers
from gateway_async.tasks import ended
from gateway_server.responses import STREAM_HEADERS, raw

HEARTBEAT = sse.comment("heartbeat")

TICK_SECONDS = 1.0
"""Streams are looked through this often, where heartbeats are no more frequent: one may be so much late."""


class Heartbeats:
    """The streams under way of one app, each of which says something every so many seconds.

    One timer serves them all, and only while there are streams.

    Args:
        seconds: How long a stream may be silent, as it is now; 0: for as long as it likes.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[Outgoing] = set()

    @property
    def ticking(self) -> bool:
        """The timer runs."""
        return self._loop is not None

    def begin(self, send: Send) -> "Outgoing":
        """A stream, looked after from now on until it ends."""
        loop = asyncio.get_running_loop()
        stream = Outgoing(send, loop, self._streams.discard)
        self._streams.add(stream)
        if self._loop is not loop:
            self._loop = loop
            self._tick(loop)
        return stream

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._streams:
            self._loop = None
            return
        if seconds := self._seconds():
            latest = loop.time() - seconds
            for stream in self._streams:
                stream.look(latest)
        loop.call_later(min(seconds / 10 or TICK_SECONDS, TICK_SECONDS), self._tick, loop)


class Outgoing:
    """A stream on its way to a caller. Its owner calls `end`, or, where that is left to somebody else, `settled`.

    Nothing that is sent is cut by a heartbeat, and none comes behind the end. Where the caller does not read, there
    is none either: one waits at most.
    """

    __slots__ = ("_beat", "_forget", "_loop", "_quiet_since", "_send", "begun")

    def __init__(
        self, send: Send, loop: asyncio.AbstractEventLoop, forget: "Callable[[Outgoing], None]"
    ) -> None:
        self._send = send
        self._loop = loop
        self._forget = forget
        self._quiet_since = loop.time()
        self._beat: asyncio.Task[None] | None = None
        self.begun = False
        """The status and the headers are out."""

    async def start(self, headers: Headers) -> None:
        """Send the status and the headers, unless they are out already with a heartbeat, which knew none of these."""
        if self._beat is not None:
            await ended(self._beat)
        if not self.begun:
            await self._start(headers)

    async def send(self, events: bytes) -> None:
        """Send events, once the caller has read of the earlier ones what does not fit on the way."""
        if self._beat is not None:
            await ended(self._beat)
        self._quiet_since = math.inf  # it may wait for its reader: no time for a heartbeat
        await self._send({"type": "http.response.body", "body": events, "more_body": True})
        self._quiet_since = self._loop.time()

    async def end(self, events: bytes) -> None:
        """Send the last events, and end the answer."""
        await self.settled()
        await self._send({"type": "http.response.body", "body": events})

    async def settled(self, *, cancel: bool = False) -> bool:
        """Whether the headers are out, and it can only go on as a stream. No heartbeat changes that from now on.

        Args:
            cancel: Wait for no heartbeat that waits for its reader.
        """
        self._forget(self)
        if self._beat is not None:
            await ended(self._beat, cancel=cancel)
        return self.begun

    def look(self, latest: float) -> None:
        """Send a heartbeat if nothing was sent since the latest time that may be, by the loop's clock."""
        if self._quiet_since <= latest and self._beat is None:
            self._beat = self._loop.create_task(self._send_beat())

    async def _start(self, headers: Headers = ()) -> None:
        self.begun = True
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [*STREAM_HEADERS, *raw(headers)]}
        )

    async def _send_beat(self) -> None:
        try:
            if not self.begun:
                await self._start()
            await self._send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
        except OSError:
            pass  # as some servers tell that the caller left; who watches for that ends the call
        finally:
            self._quiet_since = self._loop.time()
            self._beat = None
