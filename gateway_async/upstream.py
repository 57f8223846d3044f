"""The way to the providers: the only module of the engine that opens sockets.

A narrow interface (send a request, read an answer whole or piece by piece) over one aiohttp pool per worker.
Connections are reused, redirects are not followed, cookies are not kept, and the proxies of the environment are
honoured.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from gateway_async.config import TimeoutsConfig
from gateway_async.errors import UpstreamError, UpstreamInvalid, UpstreamTimeout, UpstreamUnavailable
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse

MAX_ANSWER_BYTES = 256 * 2**20
"""An answer larger than this is refused, so that no upstream can fill the memory."""

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Upstream:
    """A pool of connections to providers. Opens on first use, in the loop that uses it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

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
            UpstreamInvalid: The answer is larger than `MAX_ANSWER_BYTES`.
        """
        limits = aiohttp.ClientTimeout(
            total=None if deadline is None else max(deadline - time.monotonic(), 0.001),
            sock_connect=timeouts.connect,
            sock_read=timeouts.first_byte,
        )
        try:
            async with self._request(request, limits) as response:
                body = await _read_all(response, request)
                return UpstreamResponse(response.status, response.headers, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _error(request, timeouts, problem) from problem

    async def open(self, request: UpstreamRequest, timeouts: TimeoutsConfig) -> "UpstreamStream":
        """The answer as it comes; the caller must close it.

        Raises:
            UpstreamTimeout: The headers were not there in time.
            UpstreamUnavailable: The provider can't be reached, or broke the connection off.
        """
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=timeouts.connect, sock_read=timeouts.first_byte
        )
        try:
            response = await self._request(request, limits)
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _error(request, timeouts, problem) from problem
        return UpstreamStream(response, request, timeouts)

    async def aclose(self) -> None:
        """Close every connection. The next request opens the pool again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _request(
        self, request: UpstreamRequest, limits: aiohttp.ClientTimeout
    ) -> "aiohttp.client._RequestContextManager":
        session = self._session
        if session is None or session.closed:
            session = self._session = _new_session()
        return session.request(
            request.method,
            request.url,
            data=request.body,
            headers=request.headers,
            timeout=limits,
            allow_redirects=False,
        )


class UpstreamStream:
    """An answer as it comes.

    Attributes:
        status: The HTTP status.
        headers: The response headers, looked up in any case.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, request: UpstreamRequest, timeouts: TimeoutsConfig
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._request = request
        self._timeouts = timeouts
        self._wait = timeouts.first_byte

    async def read(self) -> bytes:
        """The next bytes, as many as there are; none at the end.

        Raises:
            UpstreamTimeout: None came within the route's `first_byte` or `idle` seconds.
            UpstreamUnavailable: The connection broke.
        """
        content = self._response.content
        try:
            if content.total_raw_bytes and (data := content.read_nowait()):
                return data
            async with asyncio.timeout(self._wait):
                data = await content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _error(self._request, self._timeouts, problem, idle=self._wait) from problem
        self._wait = self._timeouts.idle
        return data

    async def read_all(self) -> UpstreamResponse:
        """The rest, as a whole answer."""
        try:
            async with asyncio.timeout(self._timeouts.first_byte):
                body = await _read_all(self._response, self._request)
        except (aiohttp.ClientError, TimeoutError, OSError) as problem:
            raise _error(self._request, self._timeouts, problem) from problem
        return UpstreamResponse(self.status, self.headers, body)

    async def aclose(self) -> None:
        """Give the connection back if the answer was read to its end, else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "ai-gateway-sdk", "Accept-Encoding": "identity"},
        # Looking for a proxy costs at every request: only where the environment names one.
        trust_env=any(os.environ.get(name) for name in _PROXY_VARIABLES),
        read_bufsize=2**18,
    )


async def _read_all(response: aiohttp.ClientResponse, request: UpstreamRequest) -> bytes:
    if (response.content_length or 0) <= MAX_ANSWER_BYTES:
        if response.content_length is not None:
            return await response.read()
        pieces, size = [], 0
        while data := await response.content.readany():
            pieces.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                break
        else:
            return b"".join(pieces)
    response.close()
    raise UpstreamInvalid(f"{_host(request)}: the answer is larger than {MAX_ANSWER_BYTES} bytes")


def _error(
    request: UpstreamRequest, timeouts: TimeoutsConfig, problem: Exception, *, idle: float | None = None
) -> UpstreamError:
    """The error for what aiohttp raised; it names the host and never the path or a header."""
    host = _host(request)
    if isinstance(problem, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout(f"{host} could not be reached within {timeouts.connect:g} s")
    if isinstance(problem, aiohttp.SocketTimeoutError):
        return UpstreamTimeout(f"{host} sent nothing for {timeouts.first_byte:g} s")
    if isinstance(problem, TimeoutError):
        return UpstreamTimeout(
            f"{host} {f'sent nothing for {idle:g} s' if idle else 'took longer than the route allows'}"
        )
    if isinstance(problem, aiohttp.ClientConnectorError):
        return UpstreamUnavailable(
            f"{host} can't be reached: {problem.os_error.strerror or problem.os_error}"
        )
    if isinstance(problem, aiohttp.ClientConnectionError | OSError):
        return UpstreamUnavailable(
            f"{host} broke the connection off before its answer was complete", status=502
        )
    return UpstreamInvalid(f"{host}: the answer is not whole or not HTTP ({type(problem).__name__})")


def _host(request: UpstreamRequest) -> str:
    return urlsplit(request.url).netloc.rpartition("@")[2]
