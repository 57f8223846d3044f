"""A line for every request, when its answer is out."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("gateway_server.access")


class AccessLog:
    """Log who asked for what, the status, how long it took and the request's id. Nothing of a body or a header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            client = scope.get("client")
            _log.info(
                "%s %s %s %s %.1fms %s",
                client[0] if client else "-",
                scope["method"],
                scope["path"].encode("unicode_escape").decode(),
                status or "left",
                (time.perf_counter() - began) * 1000,
                scope.get("request_id", b"-").decode("latin-1"),
            )
