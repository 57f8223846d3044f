"""What every endpoint that calls a model does: read the body, answer or stream, fail in the caller's dialect."""

import asyncio

from starlette.types import Receive, Scope, Send

from gateway_async.call import Answer, StreamAnswer
from gateway_async.errors import GatewayError, PermissionDenied
from gateway_async.live.live_gateway import LiveGateway
from gateway_server.dialects import Dialect
from gateway_server.disconnect import LeaveWatches
from gateway_server.responses import CUT_SHORT, LEFT, raw, send_error, send_json, send_stream


class ModelEndpoint:
    """An ASGI app that answers one kind of call; subclasses say how a body becomes an answer."""

    def __init__(self, live: LiveGateway, dialect: Dialect) -> None:
        self.live = live
        self.gateway = live.gateway
        self.dialect = dialect
        self.watches = LeaveWatches()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
            if body is None:
                await send_error(send, LEFT, self.dialect)
                return
            whole: Answer | None = None
            with self.watches.watch(receive) as caller:
                try:
                    answer = await self.answer(scope, body)
                except asyncio.CancelledError:
                    await send_error(send, LEFT if caller.left else CUT_SHORT, self.dialect)
                    raise
                if not isinstance(answer, Answer):
                    await send_stream(send, answer, self.dialect)
                    return
                whole = answer
            if whole is not None:  # None: the caller left
                await send_json(send, whole.body, headers=raw(whole.headers))
        except GatewayError as error:
            if isinstance(error, PermissionDenied):
                scope["app"].refusals.note(scope, error)
            await send_error(send, error, self.dialect)

    async def answer(self, scope: Scope, body: bytes) -> Answer | StreamAnswer:
        """The answer to a body."""
        raise NotImplementedError


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
