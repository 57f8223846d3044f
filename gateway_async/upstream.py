"""The way to the providers: the one interface by which the engine sends requests to them.

Connections are reused; redirects are not followed, cookies are not kept. Underneath is our own HTTP/1.1 client, or
aiohttp where the environment names a proxy.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Mapping
from typing import Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from gateway_async import http1
from gateway_async.config import TimeoutsConfig
from gateway_async.errors import UpstreamError, UpstreamInvalid, UpstreamTimeout, UpstreamUnavailable
from gateway_async.network_guard import ForbiddenAddress
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse

MAX_ANSWER_BYTES = 256 * 2**20
"""An answer larger than this is refused, so that no upstream can fill the memory."""


class UpstreamStream(Protocol):
    """An answer as it comes. Its owner must close it."""

    status: int
    headers: Mapping[str, str]

    def read(self, *, first: bool = False) -> Awaitable[bytes]:
        """The next bytes, as many as there are; none at the end.

        Args:
            first: What came so far is no token yet, only comments, say: `first_byte` is still the limit.

        Raises:
            UpstreamTimeout: None came within the route's `first_byte` or `idle` seconds.
            UpstreamUnavailable: The connection broke.
        """
        ...

    async def read_all(self) -> UpstreamResponse:
        """The rest, as a whole answer."""
        ...

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection. May be called twice.

        Args:
            finished: All that matters was read: the connection may serve again. Else it is closed at once, so that
                the provider stops.
        """
        ...


class Transport(Protocol):
    """What sends requests."""

    async def send(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> UpstreamResponse:
        """The whole answer.

        Args:
            request: What to send.
            timeouts: How long each part may take.
            deadline: When the answer must be whole, on the clock of `time.monotonic`.

        Raises:
            UpstreamTimeout: It was not there in time.
            UpstreamUnavailable: The provider can't be reached, or broke the connection off.
            UpstreamInvalid: It is not HTTP, or larger than `MAX_ANSWER_BYTES`.
        """
        ...

    async def open(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> UpstreamStream:
        """The answer as it comes.

        Args:
            request: What to send.
            timeouts: How long each part may take.
            deadline: When the answer must be whole, on the clock of `time.monotonic`; None: whenever it ends.

        Raises:
            UpstreamTimeout: The headers were not there in time.
            UpstreamUnavailable: The provider can't be reached, or broke the connection off.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection. The next request opens them again."""
        ...


class Upstream:
    """Sends each request directly, or through the proxy that the environment names for its host.

    Args:
        guard: Where connections may lead; without one, anywhere. With one, requests through a proxy are refused,
            since it is the proxy that finds out the address.
    """

    def __init__(self, guard: http1.Guard | None = None) -> None:
        self._guard = guard
        self._direct = Direct(guard)
        self._proxied: Transport | None = None
        self._proxies = {scheme: proxy for scheme, proxy in getproxies().items() if scheme != "no"}

    def send(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> Awaitable[UpstreamResponse]:
        """The whole answer; see `Transport.send`."""
        transport = self._transport(request) if self._proxies else self._direct
        return transport.send(request, timeouts, deadline)

    def open(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> Awaitable[UpstreamStream]:
        """The answer as it comes; see `Transport.open`."""
        transport = self._transport(request) if self._proxies else self._direct
        return transport.open(request, timeouts, deadline)

    async def aclose(self) -> None:
        """Close every connection. The next request opens them again."""
        await self._direct.aclose()
        if self._proxied is not None:
            await self._proxied.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _transport(self, request: UpstreamRequest) -> Transport:
        try:
            parts = urlsplit(request.url)
        except ValueError:
            return self._direct  # which says what is wrong with it
        if not (self._proxies.get(parts.scheme) or self._proxies.get("all")) or proxy_bypass(
            parts.hostname or ""
        ):
            return self._direct
        if self._guard is not None:
            self._guard.note(parts.hostname or "", "the proxy of the environment")
            raise UpstreamError(
                f"{host_of(request)} would be reached through the proxy of the environment, which leaves the gateway no"
                " way to see what is dialled; name the host in NO_PROXY, or write the route into the configuration file"
            )
        if self._proxied is None:
            from gateway_async.upstream_proxy import Proxied  # aiohttp, for those who have a proxy

            self._proxied = Proxied()
        return self._proxied


class Direct:
    """Sends requests over connections of its own: a `Transport`.

    Args:
        guard: Where they may lead; without one, anywhere.
    """

    def __init__(self, guard: http1.Guard | None = None) -> None:
        self._guard = guard
        self._pool: http1.Pool | None = None

    async def send(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> UpstreamResponse:
        """The whole answer; see `Transport.send`."""
        total = seconds_left(timeouts, deadline)
        try:
            response = await self._request(request, timeouts, total, stream=False)
        except (http1.ProtocolError, OSError, ValueError) as problem:
            raise failure(
                request, problem, min(timeouts.connect, total), min(timeouts.first_byte, total), total
            ) from problem
        answer = UpstreamResponse(response.status, response.headers, response.body())
        response.done()
        return answer

    async def open(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> "DirectStream":
        """The answer as it comes; see `Transport.open`."""
        left = math.inf if deadline is None else time_left(deadline)
        try:
            response = await self._request(request, timeouts, left, stream=True)
        except (http1.ProtocolError, OSError, ValueError) as problem:
            raise failure(
                request, problem, min(timeouts.connect, left), min(timeouts.first_byte, left)
            ) from problem
        return DirectStream(response, request, timeouts, deadline)

    async def aclose(self) -> None:
        """Close every connection. The next request opens them again."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if pool.loop is asyncio.get_running_loop():
            pool.close()
            await asyncio.sleep(0)  # sockets close in the loop's next round
        elif not pool.loop.is_closed():
            pool.loop.call_soon_threadsafe(pool.close)

    def _request(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, total: float, *, stream: bool
    ) -> Awaitable[http1.Response]:
        pool = self._pool
        if pool is None or pool.loop is not asyncio.get_running_loop():
            pool = self._pool = http1.Pool(MAX_ANSWER_BYTES, self._guard)
        return pool.request(
            request.method,
            request.url,
            request.headers,
            request.body,
            connect=timeouts.connect,
            wait=timeouts.first_byte,
            total=total,
            stream=stream,
            unique=request.unique,
            time_left=request.time_left,
        )


class DirectStream:
    """An answer as it comes: an `UpstreamStream`."""

    def __init__(
        self,
        response: http1.Response,
        request: UpstreamRequest,
        timeouts: TimeoutsConfig,
        deadline: float | None = None,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._deadline = deadline
        self._response: http1.Response | None = response
        self._request = request
        self._timeouts = timeouts
        self._begun = False

    def read(self, *, first: bool = False) -> Awaitable[bytes]:
        """The next bytes, as many as there are; see `UpstreamStream.read`."""
        if (response := self._response) is None:
            return _nothing()
        if self._begun and not first:
            seconds = wait = self._timeouts.idle
        else:
            # The headers may come long before the first token: both have `first_byte` together.
            wait = self._timeouts.first_byte
            seconds = max(response.until - asyncio.get_running_loop().time(), 0)
        if self._deadline is not None and (left := self._deadline - time.monotonic()) < seconds:
            if left <= 0:  # what is there already could be read for ever
                raise out_of_time(self._request)
            seconds = left
        return self._read(response, seconds, wait)

    async def read_all(self) -> UpstreamResponse:
        """The rest, as a whole answer; for as long as an answer that is not streamed may take."""
        total, pieces, size = seconds_left(self._timeouts, self._deadline), [], 0
        end = time.monotonic() + total
        while (response := self._response) is not None:
            data = await self._read(response, max(end - time.monotonic(), 0), total)
            if not data:
                break
            pieces.append(data)
            if (size := size + len(data)) > MAX_ANSWER_BYTES:
                raise too_large(self._request)
        return UpstreamResponse(self.status, self.headers, b"".join(pieces))

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection; see `UpstreamStream.aclose`."""
        response, self._response = self._response, None
        if response is None:
            return
        if finished:
            response.done()
        else:
            response.abort()

    async def _read(self, response: http1.Response, seconds: float, wait: float) -> bytes:
        try:
            data = await response.read(seconds)
        except (http1.ProtocolError, OSError) as problem:
            if isinstance(problem, TimeoutError) and is_past(self._deadline):
                raise out_of_time(self._request) from problem.with_traceback(None)
            raise failure(self._request, problem, self._timeouts.connect, wait) from problem
        self._begun = True
        return data


async def _nothing() -> bytes:
    return b""


def seconds_left(timeouts: TimeoutsConfig, deadline: float | None) -> float:
    """How long a whole answer may take from now on."""
    return timeouts.total if deadline is None else min(time_left(deadline), timeouts.total)


def time_left(deadline: float) -> float:
    """Seconds until a time of `time.monotonic`; more than none, for those who need a moment."""
    return max(deadline - time.monotonic(), 0.001)


def failure(
    request: UpstreamRequest, problem: Exception, connect: float, wait: float, total: float = 0
) -> UpstreamError:
    """The error for a request without an answer; it names the host and never the path or a header.

    Args:
        request: What was sent.
        problem: What went wrong.
        connect: Seconds that making the connection might take.
        wait: Seconds that were waited for the answer, or for its next piece.
        total: Seconds that the whole answer might take.
    """
    problem.__traceback__ = (
        None  # its connection keeps it: both, and the request, would wait for the collector
    )
    host = host_of(request)
    if isinstance(problem, http1.ConnectTimeout):
        return _unreached(UpstreamTimeout(f"{host} could not be reached within {connect:.3g} s"))
    if isinstance(problem, http1.Unfinished):
        return UpstreamTimeout(f"{host} began its answer and did not finish it within {total:.3g} s")
    if isinstance(problem, TimeoutError):
        return UpstreamTimeout(f"{host} sent nothing for {wait:.3g} s, which is as long as this call waits")
    if isinstance(problem, http1.ConnectFailed):
        return _unreached(UpstreamUnavailable(f"{host} can't be reached: {problem.strerror or problem}"))
    if isinstance(problem, OSError):
        return UpstreamUnavailable(
            f"{host} broke the connection off before its answer was complete", status=502
        )
    if isinstance(problem, ForbiddenAddress):  # not for now, but until somebody changes the route
        return UpstreamError(str(problem))
    if isinstance(problem, ValueError):
        return UpstreamUnavailable(f"{host} can't be asked: {problem}", status=502)
    return UpstreamInvalid(f"{host}: {problem}")


def _unreached(error: UpstreamError) -> UpstreamError:
    error.reached = False
    return error


def is_past(deadline: float | None) -> bool:
    """Whether a time of `time.monotonic` is over."""
    return deadline is not None and time.monotonic() >= deadline


def out_of_time(request: UpstreamRequest) -> UpstreamTimeout:
    """The error for a stream that goes on when its caller's time is up."""
    return UpstreamTimeout(f"{host_of(request)} did not end its answer in the time that the caller gave")


def too_large(request: UpstreamRequest) -> UpstreamInvalid:
    """The error for an answer that would fill the memory."""
    return UpstreamInvalid(f"{host_of(request)}: the answer is larger than {MAX_ANSWER_BYTES} bytes")


def host_of(request: UpstreamRequest) -> str:
    """Host and port of a request, without what may stand before an @."""
    authority = request.url.partition("://")[2] or request.url
    return re.split(r"[/?#]", authority, maxsplit=1)[0].rpartition("@")[2]
