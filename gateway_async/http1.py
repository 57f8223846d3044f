"""An HTTP/1.1 client for one job: send a request, read the answer whole or as it comes, keep the connection.

It exists because the hop to the provider is the largest part of what a request costs, and a general client does much
that a gateway has no use for. No redirects, no cookies, no proxies, no compression: for a proxy, `upstream` takes
aiohttp. httptools parses; one timer looks after the deadlines of all connections.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import quote, urlsplit

import httptools

TICK_SECONDS = 0.05
"""Deadlines are kept to this."""

KEEP_ALIVE_SECONDS = 15.0
"""An idle connection is not used after this: servers close theirs, and a request in that moment would be lost."""

LINGER_SECONDS = 1.0
"""How long a connection waits for the end of an answer that nobody reads any more."""

MAX_HEADER_BYTES = 2**16
HIGH_WATER = 2**18
"""A stream whose reader is slower than its upstream holds this much; then the upstream waits."""


class ProtocolError(Exception):
    """The server sent what is not HTTP, or more than there may be."""


class ConnectFailed(OSError):
    """No connection could be made."""


class ConnectTimeout(TimeoutError):
    """No connection was made in time."""


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


@lru_cache(maxsize=4096)
def head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes, and its first lines up to the length of its body.

    Raises:
        ValueError: A part of it can't stand in a request.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{parts.scheme}://{parts.hostname} is no address of a provider: http:// or https:// is needed"
        )
    tls = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
    )
    authority = (
        parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii").decode()
    )
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority}", "Accept: */*", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header holds a line end")
    text = "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls), text


class Response(asyncio.Protocol):
    """A connection, and the answer that is on it now.

    Attributes:
        status: The HTTP status.
        headers: By name, in small letters; of a header that came twice, the last.
    """

    status: int
    headers: dict[str, str]

    def __init__(self, pool: "Pool", origin: Origin, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._problem: Exception | None = None
        self.origin = origin
        self.deadline = 0.0
        """When whoever waits gives up, by the loop's clock; 0: never."""

        self.idle_since = 0.0
        self._reset(stream=False)

    def _reset(self, *, stream: bool) -> None:
        self.status, self.headers = 0, {}
        self._header_bytes = 0
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._stream = stream
        self._begun = self._complete = self._keep = self._paused = self._lingering = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._complete:  # nobody asked: what else this connection would say can't be trusted
            self._fail(ProtocolError("data without a request"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            reason = problem.__context__ if isinstance(problem.__context__, ProtocolError) else None
            self._fail(reason or ProtocolError(f"not HTTP: {problem}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._begun and exc is None and not framed:
            self._complete = True  # the end of the connection is the end of the answer
        if not self._complete:
            self._problem = self._problem or exc or ConnectionResetError("the connection was closed")
        self._wake()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ProtocolError(f"headers of more than {MAX_HEADER_BYTES} bytes")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if (coding := self.headers.get("content-encoding", "identity")) != "identity":
            raise ProtocolError(
                f"the answer is compressed ({coding}), though the gateway asked for none of that"
            )
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._begun = True
            if self._stream:
                self._wake()

    def on_body(self, body: bytes) -> None:
        if self._lingering:
            return
        self._pieces.append(body)
        self._size += len(body)
        if self._stream:
            if self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            self._wake()
        elif self._size > self._max_bytes:
            raise ProtocolError(f"an answer of more than {self._max_bytes} bytes")

    def on_message_complete(self) -> None:
        if self.status < 200:  # 100 and 103 stand before the answer
            self.headers = {}
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()  # the parser forgets it with the next byte
        self._wake()
        if self._lingering:
            self.done()

    # What `Pool` and the readers call.

    async def exchange(self, payload: bytes, *, stream: bool) -> None:
        """Send a request, and wait for the whole answer, or of a stream for its headers.

        Raises:
            ProtocolError, OSError: There is none.
            TimeoutError: The deadline came first.
        """
        self._reset(stream=stream)
        self._transport.write(payload)
        while not (self._complete or (stream and self._begun)):
            await self._wait()

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
            ProtocolError, OSError: It broke off.
            TimeoutError: The deadline came first.
        """
        while not self._pieces:
            if self._complete:
                return b""
            self.deadline = self._pool.loop.time() + seconds
            await self._wait()
        return self.body()

    def done(self) -> None:
        """Give the connection back, if another answer may follow on it; else close it.

        Of an answer that is all but at its end (the last bytes of a stream say only that it is over) the rest is
        waited for, without anybody waiting.
        """
        if self._begun and not self._complete and self._problem is None:
            self._lingering, self.deadline = True, self._pool.loop.time() + LINGER_SECONDS
            self.body()
            return
        if self._keep and self._problem is None and not self._transport.is_closing():
            self._pool.release(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._pool.forget(self)
        self._transport.abort()

    def expire(self) -> None:
        """Tell who waits that its time is up."""
        self.deadline = 0.0
        self._fail(TimeoutError())

    async def _wait(self) -> None:
        if self._problem is not None:
            raise self._problem
        self._waiter = self._pool.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None
        if self._problem is not None:
            raise self._problem

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, problem: Exception) -> None:
        self._problem = self._problem or problem
        self._transport.abort()
        self._wake()


class Pool:
    """Connections of one event loop, kept for the next request.

    Args:
        max_bytes: The largest answer that is read whole.
    """

    def __init__(self, max_bytes: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._max_bytes = max_bytes
        self._idle: dict[Origin, list[Response]] = {}
        self._busy: set[Response] = set()
        self._ticking = False
        self._tls: ssl.SSLContext | None = None

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect: float,
        wait: float,
        stream: bool,
    ) -> Response:
        """The answer, whole or, of a stream, its headers. Whoever gets it calls `done` or `abort`.

        Args:
            method: The HTTP method.
            url: An http:// or https:// address.
            headers: Those beside `Host`, `Accept` and `Content-Length`.
            body: The body.
            connect: Seconds that making a connection may take.
            wait: Seconds from then until the answer is whole, or a stream's headers are there.
            stream: Whether to read the body as it comes.

        Raises:
            ConnectTimeout, TimeoutError: It took longer.
            ConnectFailed, ProtocolError, OSError: There is none.
        """
        origin, lines = head(method, url, tuple(headers.items()))
        connection = self._take(origin) or await self._connect(origin, connect)
        connection.deadline = self.loop.time() + wait
        self._busy.add(connection)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(TICK_SECONDS, self._tick)
        try:
            await connection.exchange(b"%b%d\r\n\r\n%b" % (lines, len(body), body), stream=stream)
        except BaseException:
            connection.abort()
            raise
        return connection

    def release(self, connection: Response) -> None:
        """Keep a connection for the next request."""
        self._busy.discard(connection)
        connection.idle_since = self.loop.time()
        self._idle.setdefault(connection.origin, []).append(connection)

    def forget(self, connection: Response) -> None:
        """Count a connection no more."""
        self._busy.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def close(self) -> None:
        """Close every connection; requests under way fail."""
        for connection in [*self._busy, *(c for idle in self._idle.values() for c in idle)]:
            connection.abort()

    def _take(self, origin: Origin) -> Response | None:
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if self.loop.time() - connection.idle_since < KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, seconds: float) -> Response:
        try:
            async with asyncio.timeout(seconds):
                context = await self._context() if origin.tls else None
                _, connection = await self.loop.create_connection(
                    lambda: Response(self, origin, self._max_bytes), origin.host, origin.port, ssl=context
                )
        except TimeoutError:
            raise ConnectTimeout from None
        except OSError as problem:
            raise ConnectFailed(problem.errno, problem.strerror or str(problem)) from problem
        return connection

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Reading the system's certificates takes tens of milliseconds.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _tick(self) -> None:
        now = self.loop.time()
        for connection in [c for c in self._busy if 0 < c.deadline < now]:
            connection.expire()
        for idle in self._idle.values():
            for connection in [c for c in idle if now - c.idle_since > KEEP_ALIVE_SECONDS]:
                connection.abort()
        self._ticking = bool(self._busy) or any(self._idle.values())
        if self._ticking:
            self.loop.call_later(TICK_SECONDS, self._tick)
