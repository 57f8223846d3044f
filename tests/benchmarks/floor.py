"""The floor: what uvicorn and Starlette cost alone. Every chat gets the same 1 KB, without an upstream."""

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .mock_upstream import CHAT

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(CHAT)).encode())]


class Constant:
    """Read the request to its end, answer the mock upstream's chat answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": CHAT})


app = Starlette(
    routes=[
        Route("/health", Constant(), methods=["GET"]),
        Route("/gateway/{route}/invocations", Constant(), methods=["POST"]),
        Route("/v1/chat/completions", Constant(), methods=["POST"]),
    ]
)
