"""A connection, and the answer that is on it now."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Protocol, Self, cast

import httptools

from gateway_async.http1.errors import ProtocolError, Unfinished, compressed
from gateway_async.http1.request import Origin

LINGER_SECONDS = 1.0
"""How long a connection waits for the end of an answer that nobody reads any more."""

MAX_HEADER_BYTES = 2**16
"""Of an answer's headers; each counts for 32 more than it has, so that a flood of small ones ends too."""

HIGH_WATER = 2**18
"""A stream whose reader is slower than its upstream holds this much; then the upstream waits."""


class Owner(Protocol):
    """Whose connections they are."""

    loop: asyncio.AbstractEventLoop

    def release(self, connection: "Response") -> None:
        """Keep a connection for the next request."""
        ...

    def forget(self, connection: "Response") -> None:
        """Count a connection no more."""
        ...


class Response(asyncio.Protocol):
    """A connection, and the answer that is on it now.

    Attributes:
        status: The HTTP status.
        headers: By name, in small letters; the values of one that came twice, with a comma between.
        until: When the answer must be whole, of a stream when its first bytes must be there, by the loop's clock.
    """

    status: int
    headers: dict[str, str]
    until: float

    def __init__(self, pool: Owner, origin: Origin, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._problem: Exception | None = None
        self.origin = origin
        self.deadline = 0.0
        """When whoever waits gives up, by the loop's clock; 0: nobody waits."""

        self.idle_since = 0.0
        self.asked = 0.0
        """When the request was sent, by the loop's clock."""

        self._lost = False
        self._reset(stream=False)
        self._complete = True  # nothing was asked yet

    def _reset(self, *, stream: bool) -> None:
        self.status, self.headers = 0, {}
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._pieces: list[bytes] = []
        self._size = self._bodiless_bytes = 0
        self._stream, self._most = stream, math.inf if stream else self._max_bytes
        self._begun = self._complete = self._keep = self._paused = self._lingering = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._complete:  # nobody asked: what else this connection would say can't be trusted
            self._fail(ProtocolError("data without a request"))
            return
        size = self._size
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._bodiless_bytes += len(data)
            reason = problem.__context__ if isinstance(problem.__context__, ProtocolError) else None
            self._fail(reason or ProtocolError(f"not HTTP: {problem}"))
            return
        if self._complete:
            return
        if self._size == size:
            self._bodiless_bytes += len(data)
            if self._bodiless_bytes > MAX_HEADER_BYTES:
                # A header that has not ended, endless trailers, the extensions of a chunk: the parser would hold them all.
                self._fail(ProtocolError(f"more than {MAX_HEADER_BYTES} bytes without a body among them"))
            return
        self._bodiless_bytes = 0
        if self._lingering:
            self._pieces.clear()
        elif self._stream:
            if self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._parser = None  # which holds this connection, and what has come of its answer
        self._pool.forget(self)
        if not self._complete:
            framed = "content-length" in self.headers or "transfer-encoding" in self.headers
            if self._begun and exc is None and self._problem is None and not framed:
                self._complete = True  # the end of the connection is the end of the answer
            else:
                lost = exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed")
                self._problem = self._problem or lost
        self._wake()

    # What the parser calls. What they raise comes out of `feed_data`.

    def on_message_begin(self) -> None:
        if self._complete:
            raise ProtocolError("data behind the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer is passed over: nobody reads them, and they must not change what the headers said.
        if not self._begun:
            self._names.append(name)
            self._values.append(value)

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        headers = self.headers = _by_name(self._names, self._values)
        if self.status < 200:
            self._check_interim()
            return
        if "content-encoding" in headers and (coding := headers["content-encoding"]).lower() not in (
            "",
            "identity",
        ):
            raise compressed(coding)
        if "transfer-encoding" in headers and headers["transfer-encoding"].lower() != "chunked":
            raise ProtocolError(
                f"the answer's transfer encoding is {headers['transfer-encoding']!r}, not chunked"
            )
        self._begun = True
        if self._stream:
            self._wake()
        else:
            self.deadline = self.until

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)
        if self._size > self._most:
            raise ProtocolError(f"an answer of more than {self._max_bytes} bytes")

    def on_message_complete(self) -> None:
        if not self._begun:  # 100 and 103 stand before the answer
            self.headers, self._names, self._values = {}, [], []
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()  # the parser forgets it with the next byte
        self._wake()
        if self._lingering:
            self.done()

    def _check_interim(self) -> None:
        """Refuse what can't stand before an answer: another protocol, or a body."""
        headers = self.headers
        if self.status < 100 or self.status == 101:
            raise ProtocolError(f"the status {self.status} answers no request of ours")
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            raise ProtocolError(f"a body under the status {self.status}, which has none")

    # What `Pool` and the readers call.

    @property
    def silent(self) -> bool:
        """Nothing of an answer has come."""
        return not (self._begun or self._bodiless_bytes)

    def usable(self) -> bool:
        """Whether a request may be written on it: the connection stands."""
        return self._problem is None and not self._transport.is_closing()

    async def exchange(self, payload: bytes, *, stream: bool) -> Self:
        """Send a request, and wait for the whole answer, or of a stream for its headers.

        Raises:
            ProtocolError, OSError: There is none.
            TimeoutError: The deadline came first.
        """
        self._reset(stream=stream)
        try:
            self._transport.write(payload)
            while not (self._complete or (stream and self._begun)):
                await self._change()
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
        self.deadline = 0.0
        return self

    def body(self) -> bytes:
        """What has come of the body and was not taken yet."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def read(self, seconds: float) -> bytes:
        """The next bytes of the body, as many as there are; none at its end.

        Args:
            seconds: How long to wait for them.

        Raises:
            ProtocolError, OSError: It broke off; what came before that was given first.
            TimeoutError: The deadline came first.
        """
        while not self._pieces:
            if self._complete:
                return b""
            self.deadline = self._pool.loop.time() + seconds
            try:
                await self._change()
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                self._waiter = None
        self.deadline = 0.0  # while its reader works on it, nobody waits
        return self.body()

    def done(self) -> None:
        """Give the connection back, if another answer may follow on it; else close it.

        Of an answer that is all but at its end (the last bytes of a stream say only that it is over) the rest is
        waited for, without anybody waiting.
        """
        if not self.usable() or self._waiter is not None:
            self.abort()
        elif not self._complete and self._begun:
            self._lingering, self.deadline = True, self._pool.loop.time() + LINGER_SECONDS
            self.body()
        elif self._keep and not self._transport.get_write_buffer_size():  # else: answered before it was asked
            if self._pieces:
                self.body()
            self._pool.release(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._problem is None and not self._complete:
            self._problem = ConnectionAbortedError("the connection was closed on this side")
        self._pool.forget(self)
        self._drop()

    def expire(self) -> None:
        """Tell who waits that its time is up."""
        self.deadline = 0.0
        self._fail(Unfinished() if self._begun and not self._stream else TimeoutError())

    def _change(self) -> asyncio.Future[None]:
        """Done when something has come, or nothing will."""
        if self._problem is not None:
            raise self._problem
        self._waiter = waiter = self._pool.loop.create_future()
        return waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, problem: Exception) -> None:
        self._problem = self._problem or problem
        self._drop()
        self._wake()

    def _drop(self) -> None:
        # asyncio's own fails on one that the other side ended while there was much to send, once that is sent.
        if not self._lost:
            self._transport.abort()


def _by_name(names: Sequence[bytes], values: Sequence[bytes]) -> dict[str, str]:
    """Headers by name, in small letters; the values of one that came twice, with a comma between.

    Raises:
        ProtocolError: They are too many.
    """
    if sum(map(len, names)) + sum(map(len, values)) + 32 * len(names) > MAX_HEADER_BYTES:
        raise ProtocolError(f"headers of more than {MAX_HEADER_BYTES} bytes")
    headers: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers
