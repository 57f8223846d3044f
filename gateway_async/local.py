"""The transport without a network: the engine in this process, with the same bytes in and out as over HTTP."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from gateway_async.call import Answer, StreamAnswer
from gateway_async.config import GatewayConfig
from gateway_async.errors import InvalidRequest, NotSupported
from gateway_async.gateway import Gateway
from gateway_async.paging import decode_token, encode_token
from gateway_async.streaming import ChunkSource
from gateway_async.validation import decode, refuse_model
from gateway_async.wire import encode

Json = dict[str, Any]


class Local:
    """A gateway in this process: a `Transport`.

    Args:
        config: What the gateway serves.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._gateway = Gateway(config)

    async def health(self) -> Json:
        """It is there."""
        return {"status": "OK"}

    async def routes(self, page_token: str | None) -> Json:
        """A page of routes."""
        routes, following = self._gateway.routes(0 if page_token is None else decode_token(page_token))
        page: Json = {"routes": [route.model_dump(mode="json") for route in routes]}
        return page if following is None else {**page, "next_page_token": encode_token(following)}

    async def route(self, name: str) -> Json:
        """One route."""
        return self._gateway.find(name).route.model_dump(mode="json")

    async def create_route(self, route: Json) -> Json:
        """Not offered yet."""
        raise NotSupported("routes of a gateway in this process are those of its configuration")

    async def delete_route(self, name: str) -> None:
        """Not offered yet."""
        raise NotSupported("routes of a gateway in this process are those of its configuration")

    async def limits(self, route: str) -> Json:
        """Not offered yet."""
        raise NotSupported("the get_limits API is not available yet")

    async def set_limits(self, limits: Json) -> Json:
        """Not offered yet."""
        raise NotSupported("the set_limits API is not available yet")

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route."""
        answer = await self._handle(route, data)
        if not isinstance(answer, Answer):
            await answer.aclose()
            raise InvalidRequest.field("stream", "query gives whole answers; call stream for a streamed one")
        result: Json = from_json(answer.body)
        return result

    async def stream(self, route: str, data: Mapping[str, Any]) -> ChunkSource:
        """The answer of a route, chunk by chunk."""
        answer = await self._handle(route, {**data, "stream": True})
        assert not isinstance(answer, Answer)
        return LocalChunks(answer)

    async def aclose(self) -> None:
        """Close the connections to the providers."""
        await self._gateway.aclose()

    async def _handle(self, route: str, data: Any) -> Answer | StreamAnswer:
        entry = self._gateway.find(route)
        request = decode(encode(data))
        refuse_model(request)
        return await self._gateway.handle(entry, request)


class LocalChunks:
    """The chunks of the engine's stream: a `ChunkSource`."""

    def __init__(self, answer: StreamAnswer) -> None:
        self._answer = answer
        self._ready: deque[bytes] = deque()

    async def next(self) -> Json | None:
        """The next chunk; None at the end."""
        if not self._ready:
            try:
                self._ready.extend(await self._answer.__anext__())
            except StopAsyncIteration:
                return None
        chunk: Json = from_json(self._ready.popleft())
        return chunk

    async def aclose(self) -> None:
        """Stop the answer, also upstream."""
        await self._answer.aclose()
