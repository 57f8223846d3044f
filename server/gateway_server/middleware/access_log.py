"""A line for every request, when its answer is out."""

import asyncio
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FLUSH_SECONDS = 0.1
"""Lines are written together this often: a write for each would cost more than all else that the log does."""

_log = logging.getLogger("gateway_server.access")


class AccessLines:
    """The lines that wait to be written. Whoever ends the app flushes them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._second, self._stamp = 0, ""

    def add(self, text: str) -> None:
        """Have a line written soon, with the time before it."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        self._lines.append(f"{self._stamp},{int((now - second) * 1000):03d} INFO {text}")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits: one record, a line for each request."""
        self._loop = None
        lines, self._lines = self._lines, []
        if lines:
            _log.info("\n".join(lines))


class AccessLog:
    """Log who asked for what, the status, how long it took and the request's id. Nothing of a body or a header."""

    def __init__(self, app: ASGIApp, *, lines: AccessLines) -> None:
        self.app = app
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status: int | str = "left"

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            client, path = scope.get("client"), scope["path"]
            if not (path.isascii() and path.isprintable()):
                path = path.encode("unicode_escape").decode()
            took = (time.perf_counter() - began) * 1000
            request_id = scope.get("request_id", b"-").decode("latin-1")
            self.lines.add(
                f"{client[0] if client else '-'} {scope['method']} {path} {status} {took:.1f}ms {request_id}"
            )
