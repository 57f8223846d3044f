"""A line for every request, when its answer is out."""

import asyncio
import logging
import time

from starlette.types import Scope

FLUSH_SECONDS = 0.1
"""Lines are written together this often: a write for each would cost more than all else that the log does."""

_log = logging.getLogger("gateway_server.access")


class AccessLines:
    """The lines that wait to be written. Whoever ends the app flushes them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._second, self._stamp = 0, ""

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """Have a line written soon: who asked for what, the status, how long it took, the request's id, tokens.

        The tokens of the prompt and of the answer, if they are known; behind a ~ where they are an estimate. Nothing
        of a body or a header. Status 0 is that of a caller who left before there was an answer.
        """
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        client, path, used = scope.get("client"), scope["path"], scope.get("tokens")
        tokens = f" {'~' if used.estimated else ''}{used.prompt}+{used.completion} tokens" if used else ""
        if not (path.isascii() and path.isprintable()):
            path = path.encode("unicode_escape").decode()
        self._lines.append(
            f"{self._stamp},{int((now - second) * 1000):03d} INFO {client[0] if client else '-'} {scope['method']} "
            f"{path} {status or 'left'} {seconds * 1000:.1f}ms {scope['request_id'].decode('latin-1')}{tokens}"
        )
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
