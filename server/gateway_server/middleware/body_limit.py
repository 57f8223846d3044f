"""How large a request's body may be."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_async.errors import RequestTooLarge


class BodyLimit:
    """Refuse a body larger than the limit, before it is read where its length is announced.

    The refusal is raised out of `receive`, so that the endpoint that reads the body answers it in its own dialect.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: Callable[[], int]) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        announced, most = 0, self.max_bytes()
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                announced = int(value) if len(value) < 19 else most + 1
        size = 0

        async def receive_bounded() -> Message:
            nonlocal size
            if announced > most:
                raise _too_large(most)
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > most:
                    raise _too_large(most)
            return message

        await self.app(scope, receive_bounded, send)


def _too_large(most: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the body is larger than the {most / 2**20:g} MB that this gateway takes (server.max_body_mb)"
    )
