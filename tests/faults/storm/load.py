"""Load that counts exactly what became of every request: status, headers, whether the answer is right, how long it took.

Callers keep their connections, each with one request under way at most, as gateways' clients do.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from typing import cast

import httptools

from tests.faults.storm.outcome import Ask, Outcome
from tests.faults.storm.tally import Tally
from tests.faults.storm.verdict import Judge, verdict


class Connection(asyncio.Protocol):
    """A caller's connection."""

    def __init__(self) -> None:
        self.closed = False
        self.used = False
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to write to."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway hung up, or this side did."""
        self.closed = True
        self._end("closed")

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        if self._done is None:
            self.transport.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end("not HTTP")

    async def exchange(self, outcome: Outcome, patience: float) -> None:
        """Send a request and wait for its end."""
        loop = asyncio.get_running_loop()
        self._outcome, self._done = outcome, loop.create_future()
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        outcome.caller = self.transport.get_extra_info("sockname")[1]
        outcome.reused, self.used = self.used, True
        timer = loop.call_later(patience, self._end, "hung")
        self.transport.write(outcome.ask.bytes(outcome.marker))
        try:
            await self._done
        finally:
            timer.cancel()
            self._done = None
        outcome.body = b"".join(self._pieces)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the answer."""
        self._outcome.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The answer's head is there."""
        self._outcome.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        self._pieces.append(data)
        if self._outcome.ask.leaves:
            self._end("left")

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if not self._parser.should_keep_alive():
            self.transport.close()
            self.closed = True
        self._end("")

    def _end(self, broken: str) -> None:
        if self._done is None or self._done.done():
            return
        self._outcome.broken = broken
        self._done.set_result(None)
        if broken:
            self.closed = True
            self.transport.abort()


class Load:
    """Requests to one gateway, by callers who each send the next one when theirs is answered.

    Args:
        port: The gateway's.
        tally: Takes what became of each request.
        patience: Seconds after which a request counts as hung.
        judge: Says what became of each.
    """

    def __init__(self, port: int, tally: Tally, *, patience: float = 60.0, judge: Judge = verdict) -> None:
        self.port = port
        self.tally = tally
        self.patience = patience
        self.judge = judge
        self.stopped = False
        self._markers = iter(range(1, 10**9))

    def stop(self) -> None:
        """Begin no more requests."""
        self.stopped = True

    async def run(self, asks: Iterable[Ask], *, callers: int) -> None:
        """Send all of these, or until `stop`."""
        shared = iter(asks)
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call(shared))

    async def _call(self, asks: Iterator[Ask]) -> None:
        connection: Connection | None = None
        try:
            for ask in asks:
                if self.stopped:
                    return
                outcome = Outcome(ask, next(self._markers), time.monotonic())
                connection = await self._exchange(connection, outcome)
                outcome.seconds = time.monotonic() - outcome.started
                outcome.verdict = self.judge(outcome)
                self.tally.add(outcome)
        finally:
            if connection is not None:
                connection.transport.abort()

    async def _exchange(self, connection: Connection | None, outcome: Outcome) -> Connection | None:
        if connection is None or connection.closed:
            try:
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(Connection, "127.0.0.1", self.port)
            except OSError:
                outcome.broken = "refused"
                return None
        await connection.exchange(outcome, self.patience)
        return connection
