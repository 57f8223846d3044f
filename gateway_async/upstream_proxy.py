"""The way to the providers through the proxies that the environment names, by aiohttp.

The same interface as `upstream.Direct`; several times slower, and only used where there is a proxy.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError

from gateway_async import http1
from gateway_async.config import TimeoutsConfig
from gateway_async.errors import UpstreamError
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse
from gateway_async.upstream import (
    MAX_ANSWER_BYTES,
    failure,
    is_past,
    out_of_time,
    seconds_left,
    time_left,
    too_large,
)

_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError)
"""What aiohttp raises; a RuntimeError when its session or its connection was closed meanwhile."""


class Proxied:
    """Sends requests through the environment's proxies: a `Transport`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> UpstreamResponse:
        """The whole answer; see `upstream.Transport.send`."""
        total = seconds_left(timeouts, deadline)
        stream = None
        try:
            async with asyncio.timeout(total):
                stream = await self._open(request, timeouts, deadline)
                return await stream.rest()
        except TimeoutError:
            problem = TimeoutError() if stream is None else http1.Unfinished()
            raise failure(request, problem, timeouts.connect, total, total) from None
        finally:
            if stream is not None:
                await stream.aclose(finished=True)

    async def open(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
    ) -> "ProxiedStream":
        """The answer as it comes; see `upstream.Transport.open`."""
        return await self._open(request, timeouts, deadline)

    async def aclose(self) -> None:
        """Close every connection. The next request opens them again."""
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()

    async def _open(
        self, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None
    ) -> "ProxiedStream":
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            self._session, self._loop = _session(), loop
        wait = timeouts.first_byte if deadline is None else min(timeouts.first_byte, time_left(deadline))
        until = loop.time() + wait
        headers = dict(request.headers)
        if request.time_left is not None:
            headers["X-Request-Timeout"] = f"{request.time_left:.3f}"
        try:
            url = _address(request)
            async with asyncio.timeout(wait):
                response = await self._session.request(
                    request.method,
                    url,
                    data=request.body,
                    headers=headers,
                    # `connect` is all of it, the proxy's own answer included; what follows has its limits around it.
                    timeout=aiohttp.ClientTimeout(
                        total=None, connect=timeouts.connect, sock_connect=timeouts.connect
                    ),
                    allow_redirects=False,
                )
        except _FAILURES as problem:
            raise _failure(request, problem, timeouts, wait) from problem
        if (coding := response.headers.get("content-encoding", "identity").lower()) not in ("", "identity"):
            response.close()
            raise failure(request, http1.compressed(coding), timeouts.connect, timeouts.first_byte)
        return ProxiedStream(response, request, timeouts, until, deadline)


class ProxiedStream:
    """An answer as it comes: an `upstream.UpstreamStream`."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        request: UpstreamRequest,
        timeouts: TimeoutsConfig,
        until: float,
        deadline: float | None,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers
        }
        self._response = response
        self._request = request
        self._timeouts = timeouts
        self._until = until
        self._deadline = deadline
        self._begun = False

    async def read(self, *, first: bool = False) -> bytes:
        """The next bytes, as many as there are; see `upstream.UpstreamStream.read`."""
        if self._begun and not first:
            seconds = wait = self._timeouts.idle
        else:
            wait = self._timeouts.first_byte
            seconds = self._until - asyncio.get_running_loop().time()
        if self._deadline is not None and (left := self._deadline - time.monotonic()) < seconds:
            if left <= 0:
                raise out_of_time(self._request)
            seconds = left
        try:
            async with asyncio.timeout(seconds):
                data = await self._response.content.readany()
        except _FAILURES as problem:
            if isinstance(problem, TimeoutError) and is_past(self._deadline):
                raise out_of_time(self._request) from problem
            raise _failure(self._request, problem, self._timeouts, wait) from problem
        self._begun = True
        return data

    async def read_all(self) -> UpstreamResponse:
        """The rest, as a whole answer; for as long as an answer that is not streamed may take."""
        total = seconds_left(self._timeouts, self._deadline)
        try:
            async with asyncio.timeout(total):
                return await self.rest()
        except TimeoutError as problem:
            if is_past(self._deadline):
                raise out_of_time(self._request) from None
            raise failure(self._request, problem, self._timeouts.connect, total) from None

    async def rest(self) -> UpstreamResponse:
        """The rest, as a whole answer, however long it takes."""
        pieces, size = [], 0
        try:
            while data := await self._response.content.readany():
                pieces.append(data)
                if (size := size + len(data)) > MAX_ANSWER_BYTES:
                    raise too_large(self._request)
        except TimeoutError:
            raise
        except _FAILURES as problem:
            raise _failure(self._request, problem, self._timeouts, self._timeouts.total) from problem
        return UpstreamResponse(self.status, self.headers, b"".join(pieces))

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection; see `upstream.UpstreamStream.aclose`."""
        if finished and self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": http1.USER_AGENT, "Accept-Encoding": "identity"},
        auto_decompress=False,
        max_line_size=http1.MAX_HEADER_BYTES,
        max_field_size=http1.MAX_HEADER_BYTES,
        trust_env=True,
    )


def _address(request: UpstreamRequest) -> str:
    """Where a request goes, once it and its headers keep the rules of `http1.head`.

    Raises:
        ValueError: A part of it can't stand in a request.
    """
    http1.head(request.method, request.url, tuple(request.headers.items()))
    if not any(name.lower() == "authorization" for name in request.headers):
        return request.url
    # aiohttp refuses to choose between that and a name in the address.
    parts = urlsplit(request.url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _failure(
    request: UpstreamRequest, problem: Exception, timeouts: TimeoutsConfig, wait: float
) -> UpstreamError:
    """The error for what aiohttp raised."""
    return failure(request, _plain(problem), timeouts.connect, wait)


def _plain(problem: Exception) -> Exception:
    """What `http1` would have raised."""
    match problem:
        case aiohttp.ConnectionTimeoutError():
            return http1.ConnectTimeout()
        case TimeoutError():
            return problem
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            name = type(problem).__name__
            return http1.ConnectFailed(0, f"the proxy of the environment does not lead there ({name})")
        case aiohttp.ClientConnectorCertificateError(
            certificate_error=ssl.SSLCertVerificationError() as reason
        ):
            return http1.ConnectFailed(0, http1.distrusted(reason))
        case aiohttp.ClientConnectorError(os_error=reason):
            return http1.ConnectFailed(reason.errno, http1.reason(reason))
        case aiohttp.InvalidURL():
            return ValueError("its address is none")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | RuntimeError():
            return ConnectionResetError()
        case aiohttp.ClientError() | HttpProcessingError():
            return http1.ProtocolError(f"not HTTP ({type(problem).__name__})")
    return problem
