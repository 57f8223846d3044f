"""What every endpoint that calls a model does: read the body, answer or stream, fail in the caller's dialect."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway_async.call import Answer
from gateway_async.errors import GatewayError, PermissionDenied, UpstreamInvalid
from gateway_async.gateway import RouteEntry
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.tokens import Tokens
from gateway_server.deadline import timeout_of
from gateway_server.dialects import Dialect
from gateway_server.disconnect import LeaveWatches
from gateway_server.event_stream import send_events
from gateway_server.heartbeats import Heartbeats
from gateway_server.middleware.auth import caller_of
from gateway_server.responses import CUT_SHORT, LEFT, raw, send_error, send_json


class ModelEndpoint(ABC):
    """An ASGI app that answers one kind of call; subclasses say what a body asks for."""

    def __init__(self, live: LiveGateway, dialect: Dialect) -> None:
        self.live = live
        self.gateway = live.gateway
        self.dialect = dialect
        self.watches = LeaveWatches()
        self.heartbeats = Heartbeats(lambda: live.config.server.heartbeat_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
            if body is None:
                await send_error(send, LEFT, self.dialect)
                return
            entry, data = self.asked(scope, body)
            answer = self._stream if data.get("stream") is True else self._whole
            await answer(entry, data, scope, receive, send)
        except GatewayError as error:
            if isinstance(error, PermissionDenied):
                scope["app"].refusals.note(scope, error)
            await send_error(send, error, self.dialect)

    @abstractmethod
    def asked(self, scope: Scope, body: bytes) -> tuple[RouteEntry, dict[str, Any]]:
        """The route that a request is for, and what is asked of it."""

    async def _whole(
        self, entry: RouteEntry, data: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        answer = None
        with self.watches.watch(receive) as caller:
            try:
                answer = await self.gateway.handle(
                    entry, data, caller=caller_of(scope), timeout=timeout_of(scope)
                )
            except asyncio.CancelledError:
                await send_error(send, LEFT if caller.left else CUT_SHORT, self.dialect)
                raise
        if answer is None:  # the caller left
            return
        if not isinstance(answer, Answer):
            await answer.aclose()
            raise UpstreamInvalid("the route's provider gave a stream to a request for a whole answer")
        if "tokens" in scope:
            scope["tokens"] = answer.usage
        await send_json(send, answer.body, headers=raw(answer.headers))

    async def _stream(
        self, entry: RouteEntry, data: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        def used(tokens: Tokens) -> None:
            scope["tokens"] = tokens

        timeout = timeout_of(scope)
        with self.watches.watch(receive) as caller:
            out = self.heartbeats.begin(send)
            try:
                answering = self.gateway.handle(
                    entry, data, caller=caller_of(scope), timeout=timeout, on_usage=used
                )
                await send_events(out, answering, self.dialect)
            except asyncio.CancelledError:
                if not out.begun:
                    await send_error(send, LEFT if caller.left else CUT_SHORT, self.dialect)
                raise


async def read_body(receive: Receive) -> bytes | None:
    """The request's whole body; None if the caller left before it was sent."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))
    pieces: list[bytes] = []
    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
        message = await receive()
    return None
