"""The connections of one event loop, and the timer that looks after them."""

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from aiohappyeyeballs import start_connection

from gateway_async.http1.connection import Response
from gateway_async.http1.errors import ConnectFailed, ConnectTimeout, distrusted, reason
from gateway_async.http1.request import Origin, first_lines, head

TICK_SECONDS = 0.05
"""Deadlines are kept to this."""

KEEP_ALIVE_SECONDS = 15.0
"""An idle connection is not used after this: servers close theirs, and a request in that moment would be lost."""

STALE_SECONDS = 1.0
"""A kept connection that ends within this, without a byte, was closed before the request came: it is sent once more."""

NEXT_ADDRESS_SECONDS = 0.25
"""A host's next address is tried beside the one before it after this: RFC 8305, 'happy eyeballs'."""


class Guard(Protocol):
    """Says where connections may lead."""

    def admit(self, host: str, addresses: Iterable[str]) -> None:
        """Accept all that is about to be dialled.

        Args:
            host: As the request's address has it.
            addresses: The addresses behind it.

        Raises:
            ValueError: One of them is not allowed; none is dialled.
        """
        ...

    def note(self, host: str, where: str) -> None:
        """Take note of a host that was refused elsewhere, and of what it leads to."""
        ...


class Pool:
    """Connections of one event loop, kept for the next request.

    Args:
        max_bytes: The largest answer that is read whole.
        guard: Asked before a connection is made; without one, it may lead anywhere.
    """

    def __init__(self, max_bytes: int, guard: Guard | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self._max_bytes = max_bytes
        self._guard = guard
        self._idle: dict[Origin, dict[Response, None]] = {}
        """Each origin's connections without a request, the one that was used last at the end."""

        self._busy: set[Response] = set()
        self._ticking = self._closed = False
        self._lookups: dict[tuple[str, int], asyncio.Future[Any]] = {}
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
        unique: bool = False,
        time_left: float | None = None,
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
            unique: The headers never come again, as those of a signed request: nothing of them is kept.
            time_left: Told in `X-Request-Timeout`, in seconds.

        Raises:
            ValueError: The address or a header can't be sent.
            ConnectTimeout, TimeoutError: It took longer.
            ConnectFailed, ProtocolError, OSError: There is none.
        """
        origin, lines = (first_lines if unique else head)(method, url, tuple(headers.items()))
        now = self.loop.time()
        until = now + total
        more = b"" if time_left is None else b"X-Request-Timeout: %.3f\r\n" % time_left
        payload = b"%b%d\r\n%b\r\n%b" % (lines, len(body), more, body)
        if (kept := self._take(origin, now)) is not None:
            try:
                return await self._exchange(kept, payload, now, wait, until, stream=stream)
            except ConnectionError:
                now = self.loop.time()
                if not kept.silent or now - kept.asked > STALE_SECONDS:
                    raise
                # The server had closed it, as it may at any time: the request never came to anybody.
        connection = await self._connect(origin, min(connect, until - now))
        return await self._exchange(connection, payload, self.loop.time(), wait, until, stream=stream)

    def _exchange(
        self, connection: Response, payload: bytes, now: float, wait: float, until: float, *, stream: bool
    ) -> Awaitable[Response]:
        """The answer on a connection: in so many seconds its headers, by that time all of it."""
        headers_by = now + wait
        connection.asked = now
        connection.deadline = headers_by if headers_by < until else until
        connection.until = connection.deadline if stream else until
        self._busy.add(connection)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(TICK_SECONDS, self._tick)
        return connection.exchange(payload, stream=stream)

    def release(self, connection: Response) -> None:
        """Keep a connection for the next request."""
        self._busy.discard(connection)
        connection.idle_since = self.loop.time()
        if (idle := self._idle.get(connection.origin)) is None:
            idle = self._idle[connection.origin] = {}
        idle[connection] = None

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
            if now - connection.idle_since < KEEP_ALIVE_SECONDS and connection.usable():
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
        if self._closed or not connection.usable():
            connection.abort()
            raise ConnectFailed(None, "the connection was closed before a request was sent")
        return connection

    async def _open(self, origin: Origin) -> Response:
        host, port, tls = origin
        context = await self._context() if tls else None
        addresses = await self._addresses(host, port)
        # Here and not before: a name may mean another address each time it is asked.
        if self._guard is not None:
            self._guard.admit(host, [str(place[0]) for *_, place in addresses])
        opened = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, loop=self.loop)
        _, connection = await self.loop.create_connection(
            lambda: Response(self, origin, self._max_bytes),
            sock=opened,
            ssl=context,
            server_hostname=host.rstrip(".") if tls else None,
        )
        return connection

    async def _addresses(self, host: str, port: int) -> list[Any]:
        """What stands behind a name; those who ask while it is looked up share the answer.

        The threads that look up are few: a name server that hangs must not fill their queue.
        """
        if (lookup := self._lookups.get((host, port))) is None:
            found = self.loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            lookup = self._lookups[host, port] = asyncio.ensure_future(found)
            lookup.add_done_callback(partial(self._looked_up, (host, port)))
        return await asyncio.shield(lookup)

    def _looked_up(self, place: tuple[str, int], lookup: asyncio.Future[Any]) -> None:
        del self._lookups[place]
        if not lookup.cancelled():
            lookup.exception()  # seen, though all who asked may have left

    async def _context(self) -> ssl.SSLContext:
        async with self._tls_lock:  # a burst of first requests makes one
            if self._tls is None:
                # Reading the system's certificates takes tens of milliseconds.
                context = await asyncio.to_thread(ssl.create_default_context)
                context.set_alpn_protocols(["http/1.1"])
                self._tls = context
            return self._tls

    def _tick(self) -> None:
        self._ticking = bool(self._busy or self._idle)
        if self._ticking:  # first of all: without it no request would ever time out again
            self.loop.call_later(TICK_SECONDS, self._tick)
        now = self.loop.time()
        for connection in [c for c in self._busy if 0 < c.deadline < now]:
            connection.expire()
        oldest = now - KEEP_ALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            while idle and (connection := next(iter(idle))).idle_since < oldest:
                connection.abort()
            if not idle:
                del self._idle[origin]
