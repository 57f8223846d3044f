"""How large a request's body may be."""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_async.errors import RequestTooLarge
from gateway_server.fields import fields_of


class BodyLimit:
    """Refuse a body larger than the limit, before it is read where its length is announced.

    The refusal is raised out of `receive`, so that the endpoint that reads the body answers it in its own dialect.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: Callable[[], int]) -> None:
        self.app = app
        self.max_bytes = max_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it gives that of what is behind.
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            most = self.max_bytes()
            announced = _announced(scope, most)
            if announced is None or announced > most:
                receive = _bounded(receive, announced or 0, most)
        return self.app(scope, receive, send)


def _announced(scope: Scope, most: int) -> int | None:
    """How long the body is, which the server sees to; None where its end is not known."""
    fields = fields_of(scope)
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or b"transfer-encoding" in fields:
        return None
    return int(length) if len(length) < 19 else most + 1


def _bounded(receive: Receive, announced: int, most: int) -> Receive:
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

    return receive_bounded


def _too_large(most: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the body is larger than the {most / 2**20:g} MB that this gateway takes (server.max_body_mb)"
    )
