"""How a client reaches a gateway: the calls that every transport offers, and the transport over HTTP.

The only module that imports httpx. (0.28 is its last release; httpx2 goes on with the same API.) The transport without
a network between is `local`.
"""

import os
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import anyio
import httpx
from pydantic_core import from_json, to_json

from gateway_async.databricks import is_databricks, resolve
from gateway_async.errors import ConfigError, ConnectionFailed, GatewayError, RequestTimeout, from_response
from gateway_async.retries import Retries
from gateway_async.sse import Decoder
from gateway_async.streaming import ChunkSource

Json = dict[str, Any]

ROUTES = "/api/2.0/gateway/routes/"
LIMITS = "/api/2.0/gateway/limits/"


class Transport(Protocol):
    """The calls of a gateway, in JSON."""

    async def health(self) -> Json:
        """`GET /health`."""
        ...

    async def routes(self, page_token: str | None) -> Json:
        """A page of routes."""
        ...

    async def route(self, name: str) -> Json:
        """One route."""
        ...

    async def create_route(self, route: Json) -> Json:
        """The route that was created."""
        ...

    async def delete_route(self, name: str) -> None:
        """Delete a route."""
        ...

    async def limits(self, route: str) -> Json:
        """The limits of a route."""
        ...

    async def set_limits(self, limits: Json) -> Json:
        """The limits that were set."""
        ...

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route."""
        ...

    async def stream(self, route: str, data: Mapping[str, Any]) -> ChunkSource:
        """The answer of a route, chunk by chunk."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


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
        self._uri = uri.rstrip("/")
        self._databricks = is_databricks(uri)
        key = api_key or os.environ.get("GATEWAY_API_KEY")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._limits = httpx.Timeout(timeout, connect=min(timeout, 10.0), pool=None)
        self._retries = Retries(max_retries, timeout)
        self._own = client is None
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

    async def delete_route(self, name: str) -> None:
        """Delete a route."""
        await self._json("DELETE", ROUTES + quote(name, safe=""))

    async def limits(self, route: str) -> Json:
        """The limits of a route."""
        return await self._json("GET", LIMITS + quote(route, safe=""))

    async def set_limits(self, limits: Json) -> Json:
        """The limits that were set."""
        return await self._json("POST", LIMITS, limits)

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route."""
        return await self._json("POST", _invocations(route), data)

    async def stream(self, route: str, data: Mapping[str, Any]) -> ChunkSource:
        """The answer of a route, chunk by chunk."""
        path = _invocations(route)
        body = _encode({**data, "stream": True})
        response = await self._retries.run(lambda: self._open("POST", path, body))
        return HttpChunks(response, self._timeout)

    async def aclose(self) -> None:
        """Close the pool, unless it is the caller's. The next call opens it again."""
        if self._own and self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def base(self) -> tuple[str, Mapping[str, str]]:
        """The address that stands before every path, and the headers that let us in."""
        if self._databricks:
            return await anyio.to_thread.run_sync(resolve, self._uri)
        return self._uri, self._headers

    async def _json(self, method: str, path: str, payload: Any = None) -> Json:
        body = None if payload is None else _encode(payload)
        with anyio.move_on_after(self._timeout) as scope:
            answer: Json = await self._retries.run(lambda: self._send(method, path, body))
            return answer
        assert scope.cancelled_caught
        raise _timed_out(method, path, self._timeout)

    async def _send(self, method: str, path: str, body: bytes | None) -> Any:
        response = await self._open(method, path, body)
        try:
            content = await response.aread()
        except httpx.HTTPError as problem:
            raise _failure(problem, method, path, self._timeout, sent=True) from problem
        finally:
            await response.aclose()
        try:
            return from_json(content or b"{}")
        except ValueError:
            what = f"{response.headers.get('content-type') or 'no content type'}, {len(content)} bytes"
            raise GatewayError(
                f"{method} {path}: the answer is not JSON ({what}); is {self._uri} the address of a gateway?"
            ) from None

    async def _open(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        """The response, its body not read yet.

        Raises:
            GatewayError: It is no success, or there is none.
        """
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
            self._client = httpx.AsyncClient(limits=limits)
        base, headers = await self.base()
        if body is not None:
            headers = {**headers, "Content-Type": "application/json"}
        try:
            request = self._client.build_request(
                method, base + path, content=body, headers=headers, timeout=self._limits
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPError as problem:
            raise _failure(problem, method, path, self._timeout, sent=method == "POST") from problem
        except httpx.InvalidURL as problem:
            raise ConfigError(f"the gateway's address {self._uri!r} can't be used: {problem}") from None
        if response.status_code < 300:
            return response
        try:
            content = await response.aread()
        except httpx.HTTPError:
            content = b""
        finally:
            await response.aclose()
        raise _refusal(response, content, f"{method} {path}")


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
            events = self._decoder.feed(data) if data else self._decoder.close()
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


def _encode(payload: Any) -> bytes:
    # NaN goes out as it is and is refused by name, instead of arriving as null, which would mean "not given".
    return to_json(payload, inf_nan_mode="constants")


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
    retry_after = float(after) if after.replace(".", "", 1).isdigit() else None
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
        why = str(problem) or "no answer in time"
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
