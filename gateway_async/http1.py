"""An HTTP/1.1 client for one job: send a request, read the answer whole or as it comes, keep the connection.

It exists because the hop to the provider is the largest part of what a request costs, and a general client does much
that a gateway has no use for. No redirects, no cookies, no proxies, no compression: for a proxy, `upstream` takes
aiohttp. httptools parses; one timer looks after the deadlines of all connections.

What a server may get wrong, and what comes of it:

- More bytes than the answer has: the answer counts, the connection does not serve again.
- Fewer, or anything that is not HTTP/1: an error. The parser is not lenient: no bare line feeds, no folded headers, no
  `Content-Length` beside `Transfer-Encoding`, which servers and proxies have been seen to read differently.
- An answer before its request is on the way: the connection is closed.
"""

import asyncio
import math
import os
import re
import socket
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

import httptools
from aiohappyeyeballs import start_connection

TICK_SECONDS = 0.05
"""Deadlines are kept to this."""

KEEP_ALIVE_SECONDS = 15.0
"""An idle connection is not used after this: servers close theirs, and a request in that moment would be lost."""

LINGER_SECONDS = 1.0
"""How long a connection waits for the end of an answer that nobody reads any more."""

NEXT_ADDRESS_SECONDS = 0.25
"""A host's next address is tried beside the one before it after this: RFC 8305, 'happy eyeballs'."""

MAX_HEADER_BYTES = 2**16
"""Of an answer's headers; each counts for 32 more than it has, so that a flood of small ones ends too."""

HIGH_WATER = 2**18
"""A stream whose reader is slower than its upstream holds this much; then the upstream waits."""

USER_AGENT = "ai-gateway-sdk"

_AUTHORITY = re.compile(r"[\w.~!$&'()*+,;=%:\[\]-]+", re.ASCII)
_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"content-length", "transfer-encoding", "host", "connection", "accept-encoding"})


class ProtocolError(Exception):
    """The server sent what is not HTTP, or more than there may be."""


class ConnectFailed(OSError):
    """No connection could be made."""


class ConnectTimeout(TimeoutError):
    """No connection was made in time."""


class Unfinished(TimeoutError):
    """An answer that had begun was not whole in time."""


def compressed(coding: str) -> ProtocolError:
    """The error for an answer that would have to be unpacked: nobody asked for it, and it may unpack to anything."""
    return ProtocolError(f"the answer is compressed ({coding}), though the gateway asked for none of that")


def distrusted(problem: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate."""
    return f"its certificate is not valid: {problem.verify_message}"


def reason(problem: OSError) -> str:
    """Why no connection could be made, without the words that a loop puts around it."""
    if problem.errno is not None and problem.errno > 0 and not isinstance(problem, ssl.SSLError):
        return os.strerror(problem.errno)
    return problem.strerror or str(problem) or type(problem).__name__


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


@lru_cache(maxsize=4096)
def head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes, and its first lines up to the length of its body.

    Raises:
        ValueError: A part of it can't stand in a request. The message holds no header's value.
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
    lines = {
        "host": f"Host: {_authority(parts)}",
        "accept": "Accept: */*",
        "accept-encoding": "Accept-Encoding: identity",
        "user-agent": f"User-Agent: {USER_AGENT}",
    }
    if parts.username is not None:
        lines["authorization"] = f"Authorization: {_basic(parts)}"
    for name, value in headers:
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name!r} is no header that a request to a provider may have")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"the header {name} holds a line end or another character that no header can carry"
            )
        lines[name.lower()] = f"{name}: {value}"
    text = "\r\n".join([f"{method} {path} HTTP/1.1", *lines.values(), "Content-Length: "]).encode("latin-1")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls), text


def _authority(parts: SplitResult) -> str:
    """Host and port as they stand in the `Host` header."""
    authority = parts.netloc.rpartition("@")[2]
    if not authority.isascii():
        authority = authority.encode("idna").decode()
    if not _AUTHORITY.fullmatch(authority):
        raise ValueError(f"{authority!r} is no host")
    return authority


def _basic(parts: SplitResult) -> str:
    """The `Authorization` that name and password in an address stand for."""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


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

    def __init__(self, pool: "Pool", origin: Origin, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._problem: Exception | None = None
        self.origin = origin
        self.deadline = 0.0
        """When whoever waits gives up, by the loop's clock; 0: nobody waits."""

        self.idle_since = 0.0
        self._reset(stream=False)
        self._complete = True  # nothing was asked yet

    def _reset(self, *, stream: bool) -> None:
        self.status, self.headers = 0, {}
        self._header_bytes = self._bodiless_bytes = 0
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
        self._bodiless_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            reason = problem.__context__ if isinstance(problem.__context__, ProtocolError) else None
            self._fail(reason or ProtocolError(f"not HTTP: {problem}"))
            return
        if self._bodiless_bytes > MAX_HEADER_BYTES:
            # A header that has not ended, endless trailers, the extensions of a chunk: the parser would hold them all.
            self._fail(ProtocolError(f"more than {MAX_HEADER_BYTES} bytes without a body among them"))

    def connection_lost(self, exc: Exception | None) -> None:
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
        self._header_bytes += len(name) + len(value) + 32
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ProtocolError(f"headers of more than {MAX_HEADER_BYTES} bytes")
        if self._begun:
            return  # a trailer: nobody reads them, and they must not change what the headers said
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self.headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._check_interim()
            return
        headers = self.headers
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
        self._bodiless_bytes = 0
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
        if not self._begun:  # 100 and 103 stand before the answer
            self.headers = {}
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
    def usable(self) -> bool:
        """Whether a request may be written on it: the connection stands."""
        return self._problem is None and not self._transport.is_closing()

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
        self.deadline = 0.0

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
            await self._wait()
        self.deadline = 0.0  # while its reader works on it, nobody waits
        return self.body()

    def done(self) -> None:
        """Give the connection back, if another answer may follow on it; else close it.

        Of an answer that is all but at its end (the last bytes of a stream say only that it is over) the rest is
        waited for, without anybody waiting.
        """
        if not self.usable or self._waiter is not None:
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
        self._transport.abort()

    def expire(self) -> None:
        """Tell who waits that its time is up."""
        self.deadline = 0.0
        self._fail(Unfinished() if self._begun and not self._stream else TimeoutError())

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
        self._idle: dict[Origin, dict[Response, None]] = {}
        """Each origin's connections without a request, the one that was used last at the end."""

        self._busy: set[Response] = set()
        self._ticking = self._closed = False
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = asyncio.Lock()

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        connect: float,
        wait: float,
        total: float = math.inf,
        stream: bool,
    ) -> Response:
        """The answer, whole or, of a stream, its headers. Whoever gets it calls `done` or `abort`.

        Args:
            method: The HTTP method.
            url: An http:// or https:// address.
            headers: Those beside `Host`, `Accept-Encoding` and `Content-Length`.
            body: The body.
            connect: Seconds that making a connection may take.
            wait: Seconds from then until the answer's headers are there.
            total: Seconds from now until the answer is whole, or a stream's headers are there.
            stream: Whether to read the body as it comes.

        Raises:
            ValueError: The address or a header can't be sent.
            ConnectTimeout, TimeoutError: It took longer.
            ConnectFailed, ProtocolError, OSError: There is none.
        """
        origin, lines = head(method, url, tuple(headers.items()))
        now = self.loop.time()
        until = now + total
        connection = self._take(origin, now)
        if connection is None:
            connection = await self._connect(origin, min(connect, total))
            now = self.loop.time()
        connection.deadline = min(now + wait, until)
        connection.until = connection.deadline if stream else until
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
        self._idle.setdefault(connection.origin, {})[connection] = None

    def forget(self, connection: Response) -> None:
        """Count a connection no more."""
        self._busy.discard(connection)
        if (idle := self._idle.get(connection.origin)) is not None:
            idle.pop(connection, None)

    def close(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        for connection in [*self._busy, *(c for idle in self._idle.values() for c in idle)]:
            connection.abort()

    def _take(self, origin: Origin, now: float) -> Response | None:
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if now - connection.idle_since < KEEP_ALIVE_SECONDS and connection.usable:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, seconds: float) -> Response:
        try:
            async with asyncio.timeout(seconds):
                connection = await self._open(origin)
        except TimeoutError:
            raise ConnectTimeout from None
        except ssl.SSLCertVerificationError as problem:
            raise ConnectFailed(problem.errno, distrusted(problem)) from problem
        except OSError as problem:
            raise ConnectFailed(problem.errno, reason(problem)) from problem
        except UnicodeError as problem:
            raise ConnectFailed(None, "its name is no name of a host") from problem
        if self._closed or not connection.usable:
            connection.abort()
            raise ConnectFailed(None, "the connection was closed before a request was sent")
        return connection

    async def _open(self, origin: Origin) -> Response:
        host, port, tls = origin
        context = await self._context() if tls else None
        addresses = await self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        opened = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, loop=self.loop)
        _, connection = await self.loop.create_connection(
            lambda: Response(self, origin, self._max_bytes),
            sock=opened,
            ssl=context,
            server_hostname=host.rstrip(".") if tls else None,
        )
        return connection

    async def _context(self) -> ssl.SSLContext:
        async with self._tls_lock:  # a burst of first requests makes one
            if self._tls is None:
                # Reading the system's certificates takes tens of milliseconds.
                context = await asyncio.to_thread(ssl.create_default_context)
                context.set_alpn_protocols(["http/1.1"])
                self._tls = context
            return self._tls

    def _tick(self) -> None:
        now = self.loop.time()
        for connection in [c for c in self._busy if 0 < c.deadline < now]:
            connection.expire()
        oldest = now - KEEP_ALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            while idle and (connection := next(iter(idle))).idle_since < oldest:
                connection.abort()
            if not idle:
                del self._idle[origin]
        self._ticking = bool(self._busy or self._idle)
        if self._ticking:
            self.loop.call_later(TICK_SECONDS, self._tick)
