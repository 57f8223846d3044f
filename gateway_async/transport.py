"""How a client reaches a gateway over HTTP.

The only module that imports httpx. (0.28 is its last release; httpx2 goes on with the same API.) The transport without
a network between is `local`.
"""

import os
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from weakref import WeakKeyDictionary

import anyio
import httpx
from anyio.lowlevel import current_token
from pydantic_core import from_json

from gateway_async.address import without_credentials
from gateway_async.credentials.databricks import is_databricks, resolve
from gateway_async.error_responses import from_response
from gateway_async.errors import (
    ConfigError,
    ConnectionFailed,
    GatewayError,
    InvalidAnswer,
    RequestTimeout,
)
from gateway_async.retries import Retries
from gateway_async.sse import Decoder
from gateway_async.streaming import ChunkSource
from gateway_async.wire import encode

T = TypeVar("T")

Json = dict[str, Any]

CONNECT_SECONDS = 10.0
"""How long making a connection may take."""

ROUTES = "/api/2.0/gateway/routes/"
LIMITS = "/api/2.0/gateway/limits/"


class Http:
    """A gateway over HTTP, through one pool of connections.

    Args:
        uri: Scheme, host and, where the gateway is mounted, the path before its own; or `databricks[://profile]`.
        api_key: Sent as a bearer token; else `GATEWAY_API_KEY` of the environment, if it is set.
        timeout: Seconds that a call may take, retries included; for a stream, until its first chunk and between
            two chunks.
        max_retries: How often a call is made again after it failed in a way that may pass.
        client: The caller's own httpx client; it is not closed here.
    """

    def __init__(
        self,
        uri: str,
        *,
        api_key: str | None = None,
        timeout: float = 300.0,
        max_retries: int = 3,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        if isinstance(client, httpx.Client):
            raise TypeError(
                "http_client is an httpx.AsyncClient, also for the blocking client; this is an httpx.Client"
            )
        try:
            _ = urlsplit(uri).port  # httpx takes any number, and overflows when it connects
        except ValueError as problem:
            shown = without_credentials(uri)
            raise ConfigError(f"the gateway's address {shown!r} can't be used: {problem}") from None
        self._uri = uri.rstrip("/")
        self._databricks = is_databricks(uri)
        key = (api_key or os.environ.get("GATEWAY_API_KEY") or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("the gateway's key holds characters that no HTTP header can carry")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS), pool=None)
        self._retries = Retries(max_retries, timeout)
        self._pools = Pools(tls=not self._uri.startswith("http://"))
        self._client = client

    async def health(self) -> Json:
        """`GET /health`."""
        return await self._json("GET", "/health")

    async def routes(self, page_token: str | None) -> Json:
        """A page of routes."""
        query = "" if page_token is None else f"?page_token={quote(page_token, safe='')}"
        return await self._json("GET", ROUTES + query)

    async def route(self, name: str) -> Json:
        """One route."""
        return await self._json("GET", ROUTES + quote(name, safe=""))

    async def create_route(self, route: Json) -> Json:
        """The route that was created."""
        return await self._json("POST", ROUTES, route)

    async def update_route(self, name: str, changes: Json) -> Json:
        """The route that was changed."""
        return await self._json("PATCH", ROUTES + quote(name, safe=""), changes)

    async def export_route(self, name: str) -> Json:
        """A route as an endpoint of a configuration file."""
        return await self._json("GET", f"{ROUTES}{quote(name, safe='')}/export")

    async def delete_route(self, name: str) -> None:
        """Delete a route."""
        await self._json("DELETE", ROUTES + quote(name, safe=""))

    async def limits(self, route: str) -> Json:
        """The limits of a route."""
        return await self._json("GET", LIMITS + quote(route, safe=""))

    async def set_limits(self, limits: Json) -> Json:
        """The limits that were set."""
        return await self._json("POST", LIMITS, limits)

    async def reset_limits(self, route: str) -> Json:
        """The limits of a route, once those that were set are forgotten."""
        return await self._json("DELETE", LIMITS + quote(route, safe=""))

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route. The gateway is told how long the client waits for it."""
        path, body = _invocations(route), encode(data)
        until = time.monotonic() + self._timeout

        def attempt() -> Awaitable[Json]:
            left = max(until - time.monotonic(), 0.001)
            return self._send("POST", path, body, {"X-Request-Timeout": f"{left:.3f}"})

        return await self._in_time("POST", path, attempt)

    async def stream(self, route: str, data: Mapping[str, Any]) -> ChunkSource:
        """The answer of a route, chunk by chunk."""
        path = _invocations(route)
        body = encode({**data, "stream": True})
        response = await self._in_time("POST", path, lambda: self._open("POST", path, body))
        if "text/event-stream" not in response.headers.get("content-type", ""):
            await response.aclose()
            raise self._no_gateway(response, f"POST {path}", "an event stream")
        return HttpChunks(response, self._timeout)

    async def aclose(self) -> None:
        """Close this loop's pool, unless it is the caller's. The next call opens it again."""
        await self._pools.close()

    async def base(self) -> tuple[str, Mapping[str, str]]:
        """The address that stands before every path, and the headers that let us in."""
        if self._databricks:
            return await anyio.to_thread.run_sync(resolve, self._uri, abandon_on_cancel=True)
        return self._uri, self._headers

    async def _json(self, method: str, path: str, payload: Any = None) -> Json:
        body = None if payload is None else encode(payload)
        return await self._in_time(method, path, lambda: self._send(method, path, body))

    async def _in_time(self, method: str, path: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What an attempt, or one after it, gives within the client's timeout."""
        with anyio.move_on_after(self._timeout):
            result: T = await self._retries.run(attempt)
            return result
        raise _timed_out(method, path, self._timeout)

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> Json:
        response = await self._open(method, path, body, headers)
        try:
            content = await response.aread()
        except httpx.HTTPError as problem:
            raise _failure(problem, method, path, self._timeout, sent=True) from problem
        finally:
            await response.aclose()
        try:
            answer = from_json(content or b"{}")
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._no_gateway(response, f"{method} {path}", "a JSON object")
        return answer

    def _no_gateway(self, response: httpx.Response, call: str, wanted: str) -> InvalidAnswer:
        what = response.headers.get("content-type") or "something without a content type"
        where = without_credentials(self._uri)
        return InvalidAnswer(
            f"{call}: the answer is {what}, not {wanted}; is {where} the address of a gateway?"
        )

    async def _open(
        self, method: str, path: str, body: bytes | None, more: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The response, its body not read yet.

        Raises:
            GatewayError: It is no success, or there is none.
        """
        client = self._client or await self._pools.get()
        base, headers = await self.base()
        if more is not None:
            headers = {**headers, **more}
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            request = client.build_request(
                method, base + path, content=body, headers=headers, timeout=self._limits
            )
            response = await client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPError as problem:
            raise _failure(problem, method, path, self._timeout, sent=method == "POST") from problem
        except httpx.InvalidURL as problem:
            shown = without_credentials(self._uri)
            raise ConfigError(f"the gateway's address {shown!r} can't be used: {problem}") from None
        if response.status_code < 300:
            return response
        try:
            content = await response.aread()
        except httpx.HTTPError:
            content = b""
        finally:
            await response.aclose()
        raise _refusal(response, content, f"{method} {path}")


class Pools:
    """A pool for each event loop that calls, since connections can't change loops.

    It is closed when its loop ends, or when nobody holds it any more.

    Args:
        tls: Whether connections are to be encrypted. Where none is, the certificates are not loaded, which takes as
            long as a hundred calls.
    """

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self._of: WeakKeyDictionary[Any, tuple[httpx.AsyncClient, AsyncGenerator[None]]] = WeakKeyDictionary()

    async def get(self) -> httpx.AsyncClient:
        """The pool of the loop that runs, opened if need be."""
        loop = current_token().native_token
        pool, _ = self._of.get(loop, (None, None))
        if pool is None or pool.is_closed:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
            pool = httpx.AsyncClient(limits=limits, verify=self._tls)
            closer = _close_with_the_loop(pool)
            await anext(closer)
            self._of[loop] = pool, closer
        return pool

    async def close(self) -> None:
        """Close the pool of the loop that runs."""
        _, closer = self._of.pop(current_token().native_token, (None, None))
        if closer is not None:
            await closer.aclose()


async def _close_with_the_loop(pool: httpx.AsyncClient) -> AsyncGenerator[None]:
    # A loop that ends closes its async generators: the one hook that it offers.
    try:
        yield
    finally:
        await pool.aclose()


class HttpChunks:
    """The chunks of one HTTP response: a `ChunkSource`."""

    def __init__(self, response: httpx.Response, timeout: float) -> None:
        self._response = response
        self._bytes = response.aiter_bytes()
        self._decoder = Decoder()
        self._ready: deque[bytes] = deque()
        self._timeout = timeout
        self._ended = False

    async def next(self) -> Json | None:
        """The next chunk; None at the end."""
        while not self._ready and not self._ended:
            try:
                data = await self._bytes.__anext__()
            except StopAsyncIteration:
                data = b""
            except httpx.HTTPError as problem:
                path = self._response.request.url.path
                raise _failure(problem, "POST", path, self._timeout, sent=True) from problem
            self._ended = not data
            try:
                events = self._decoder.feed(data) if data else self._decoder.close()
            except ValueError as problem:
                raise InvalidAnswer(f"the stream can't be read: {problem}") from None
            self._ready.extend(event.data for event in events)
        if not self._ready:
            return None
        data = self._ready.popleft()
        if data == b"[DONE]":
            return None
        return read_chunk(data)

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._response.aclose()


def _invocations(route: str) -> str:
    return f"/gateway/{quote(route, safe='')}/invocations"


def read_chunk(data: bytes) -> Json:
    """The chunk that these bytes are.

    Raises:
        GatewayError: They are an error that the gateway reports within the stream, or no chunk at all.
    """
    try:
        chunk = from_json(data)
    except ValueError:
        chunk = None
    if not isinstance(chunk, dict):
        raise ConnectionFailed("the stream broke off within a chunk")
    if "error_code" in chunk and "choices" not in chunk:
        status = chunk.get("status")
        raise from_response(status if isinstance(status, int) else 502, chunk)
    return chunk


def _refusal(response: httpx.Response, content: bytes, call: str) -> GatewayError:
    try:
        body = from_json(content)
    except ValueError:
        body = content.decode("utf-8", "replace")[:500]
    if response.has_redirect_location:
        body = f"the gateway's address has moved to {response.headers['location']}"
    after = response.headers.get("retry-after", "")
    retry_after = float(after) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", after) else None
    return from_response(response.status_code, body, retry_after=retry_after, call=call)


def _failure(problem: httpx.HTTPError, method: str, path: str, timeout: float, *, sent: bool) -> GatewayError:
    """The error for a call without an answer.

    Args:
        problem: What httpx raised.
        method: The call's method.
        path: The call's path.
        timeout: The client's timeout in seconds.
        sent: The gateway may have taken the request, so that it must not be made again.
    """
    if isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout):
        host = urlsplit(str(problem.request.url)).netloc.rpartition("@")[2]
        why = str(problem) or f"no connection within {min(timeout, CONNECT_SECONDS):g} seconds"
        return ConnectionFailed(f"no gateway can be reached at {host}: {why}", may_repeat=True)
    if isinstance(problem, httpx.TimeoutException):
        return _timed_out(method, path, timeout)
    if isinstance(problem, httpx.UnsupportedProtocol):
        return ConfigError(f"the gateway's address needs http:// or https:// before it: {problem}")
    why = str(problem) or type(problem).__name__
    return ConnectionFailed(
        f"{method} {path}: the connection broke before the answer was whole: {why}", may_repeat=not sent
    )


def _timed_out(method: str, path: str, timeout: float) -> RequestTimeout:
    return RequestTimeout(f"{method} {path}: no answer within the client's timeout of {timeout:g} seconds")
