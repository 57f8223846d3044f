"""The way to the providers through the proxies that the environment names, by aiohttp.

The same interface as `upstream.Direct`; several times slower, and only used where there is a proxy.
"""

import asyncio
import time
from collections.abc import Mapping

import aiohttp

from gateway_async import http1
from gateway_async.config import TimeoutsConfig
from gateway_async.errors import UpstreamError, UpstreamInvalid
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse
from gateway_async.upstream import MAX_ANSWER_BYTES, failure, host_of

_FAILURES = (aiohttp.ClientError, OSError, ValueError)


class Proxied:
    """Sends requests through the environment's proxies: a `Transport`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> UpstreamResponse:
        """The whole answer; see `upstream.Transport.send`."""
        wait = timeouts.first_byte
        if deadline is not None:
            wait = min(wait, max(deadline - time.monotonic(), 0.001))
        stream = await self._open(request, timeouts, wait)
        try:
            return await stream.read_all()
        finally:
            await stream.aclose(finished=True)

    async def open(self, request: UpstreamRequest, timeouts: TimeoutsConfig) -> "ProxiedStream":
        """The answer as it comes; see `upstream.Transport.open`."""
        return await self._open(request, timeouts, timeouts.first_byte)

    async def aclose(self) -> None:
        """Close every connection. The next request opens them again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self, request: UpstreamRequest, timeouts: TimeoutsConfig, wait: float) -> "ProxiedStream":
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "ai-gateway-sdk", "Accept-Encoding": "identity"},
                trust_env=True,
            )
        try:
            response = await self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=wait),
                allow_redirects=False,
            )
        except _FAILURES as problem:
            raise _failure(request, problem, timeouts, wait) from problem
        return ProxiedStream(response, request, timeouts, wait)


class ProxiedStream:
    """An answer as it comes: an `upstream.UpstreamStream`."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: UpstreamRequest,
        timeouts: TimeoutsConfig,
        wait: float,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._request = request
        self._timeouts = timeouts
        self._wait = wait

    async def read(self) -> bytes:
        """The next bytes, as many as there are; none at the end."""
        try:
            async with asyncio.timeout(self._wait):
                data = await self._response.content.readany()
        except _FAILURES as problem:
            raise _failure(self._request, problem, self._timeouts, self._wait) from problem
        self._wait = self._timeouts.idle
        return data

    async def read_all(self) -> UpstreamResponse:
        """The rest, as a whole answer."""
        pieces, size = [], 0
        while data := await self.read():
            pieces.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                raise UpstreamInvalid(
                    f"{host_of(self._request)}: the answer is larger than {MAX_ANSWER_BYTES} bytes"
                )
        return UpstreamResponse(self.status, self.headers, b"".join(pieces))

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection; see `upstream.UpstreamStream.aclose`."""
        if finished and self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _failure(
    request: UpstreamRequest, problem: Exception, timeouts: TimeoutsConfig, wait: float
) -> UpstreamError:
    """The error for what aiohttp raised."""
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        problem = http1.ConnectTimeout()
    elif isinstance(problem, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        problem = http1.ConnectFailed(
            0, f"the proxy of the environment does not lead there ({type(problem).__name__})"
        )
    elif isinstance(problem, aiohttp.ClientConnectorError):
        problem = http1.ConnectFailed(problem.os_error.errno, problem.os_error.strerror or "no connection")
    elif isinstance(problem, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError) and not isinstance(
        problem, TimeoutError
    ):
        problem = ConnectionResetError()
    elif isinstance(problem, aiohttp.ClientError) and not isinstance(problem, TimeoutError):
        problem = http1.ProtocolError(f"not HTTP ({type(problem).__name__})")
    return failure(request, problem, timeouts.connect, wait)
