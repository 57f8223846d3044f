"""The transport without a network: the engine in this process, with the same bytes in and out as over HTTP."""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json

from gateway_async.call import Answer, Caller, StreamAnswer
from gateway_async.config import GatewayConfig
from gateway_async.errors import GatewayError, InvalidRequest
from gateway_async.live.hosting import host
from gateway_async.paging import decode_token, encode_token
from gateway_async.streaming import ChunkSource
from gateway_async.validation import decode, json_object, refuse_model
from gateway_async.wire import encode

Json = dict[str, Any]


class Local:
    """A gateway in this process: a `Transport`.

    Without a `store` in the configuration, what is changed lives as long as this object.

    Args:
        config: What the gateway serves.
        timeout: Seconds that a whole answer may take; None: as many as its route allows.
    """

    def __init__(self, config: GatewayConfig, timeout: float | None = None) -> None:
        self._timeout = timeout
        self._live, self._changes = host(config, store=config.store, path=None, trusted=True)
        self._follows = config.store is not None
        self._opening: asyncio.Task[None] | None = None

    async def health(self) -> Json:
        """It is there."""
        return {"status": "OK"}

    async def routes(self, page_token: str | None) -> Json:
        """A page of routes."""
        await self._open()
        routes, following = self._live.gateway.routes(0 if page_token is None else decode_token(page_token))
        page: Json = {"routes": [route.model_dump(mode="json") for route in routes]}
        return page if following is None else {**page, "next_page_token": encode_token(following)}

    async def route(self, name: str) -> Json:
        """One route."""
        await self._open()
        return _told(self._live.find(name).route)

    async def create_route(self, route: Json) -> Json:
        """The route that was created."""
        await self._open()
        return _told(await self._changes.create_route(_plain(route), _PROCESS))

    async def update_route(self, name: str, changes: Json) -> Json:
        """The route that was changed."""
        await self._open()
        return _told(await self._changes.update_route(name, _plain(changes), _PROCESS))

    async def export_route(self, name: str) -> Json:
        """A route as an endpoint of a configuration file."""
        await self._open()
        return await self._changes.export_route(name)

    async def delete_route(self, name: str) -> None:
        """Delete a route."""
        await self._open()
        await self._changes.delete_route(name, _PROCESS)

    async def limits(self, route: str) -> Json:
        """The limits of a route."""
        await self._open()
        return _told(self._changes.limits(route))

    async def set_limits(self, limits: Json) -> Json:
        """The limits that were set."""
        await self._open()
        return _told(await self._changes.set_limits(_plain(limits), _PROCESS))

    async def reset_limits(self, route: str) -> Json:
        """The limits of a route, once those that were set are forgotten."""
        await self._open()
        return _told(await self._changes.reset_limits(route, _PROCESS))

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route."""
        answer = await self._handle(route, data, self._timeout)
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
        """Close the connections to the providers and to the store."""
        opening, self._opening = self._opening, None
        if opening is not None and opening.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([opening])
        await self._live.aclose()

    async def _open(self) -> None:
        """Take up what the store holds, if there is one."""
        if not self._follows:
            return
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening.get_loop() is not loop:
            self._opening = loop.create_task(self._live.open())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        except GatewayError:
            if self._opening is opening:
                self._opening = None  # the next call tries again
            raise
        if self._live.stale:
            await self._live.catch_up()

    async def _handle(self, route: str, data: Any, timeout: float | None = None) -> Answer | StreamAnswer:
        await self._open()
        entry = self._live.find(route)
        request = decode(encode(data))
        refuse_model(request)
        return await self._live.gateway.handle(entry, request, timeout=timeout)


_PROCESS = Caller(admin=True)
"""Who calls here: the process itself."""


def _told(answer: BaseModel) -> Json:
    return answer.model_dump(mode="json")


def _plain(body: Any) -> Json:
    """What a caller gives, as it would come over HTTP."""
    return json_object(encode(body))


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
