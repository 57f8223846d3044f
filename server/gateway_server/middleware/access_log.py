"""A line for every request, when its answer is out."""

import asyncio
import logging
import time
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from gateway_async.tokens import Tokens

FLUSH_SECONDS = 0.1
"""Lines are written together this often: a write for each would cost more than all else that the log does."""

_log = logging.getLogger("gateway_server.access")


class _Entry(NamedTuple):
    """What a line says."""

    at: float
    """When the answer was out, in seconds since 1970."""

    client: str
    method: str
    path: str
    status: int
    seconds: float
    request_id: bytes
    used: Tokens | None


class AccessLines:
    """The lines that wait to be written. Whoever ends the app flushes them."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, scope: Scope, status: int, seconds: float) -> None:
        """Have a line written soon: who asked for what, the status, how long it took, the request's id, tokens.

        The tokens of the prompt and of the answer, if they are known; behind a ~ where they are an estimate. Nothing
        of a body or a header. Status 0 is that of a caller who left before there was an answer.
        """
        client = scope.get("client")
        self._entries.append(
            _Entry(
                time.time(),
                client[0] if client else "-",
                scope["method"],
                scope["path"],
                status,
                seconds,
                scope["request_id"],
                scope.get("tokens"),
            )
        )
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits: one record, a line for each request."""
        self._loop = None
        entries, self._entries = self._entries, []
        if entries:
            _log.info("\n".join(map(_line, entries)))


def _line(entry: _Entry) -> str:
    at, client, method, path, status, seconds, request_id, used = entry
    tokens = f" {'~' if used.estimated else ''}{used.prompt}+{used.completion} tokens" if used else ""
    if not (path.isascii() and path.isprintable()):
        path = path.encode("unicode_escape").decode()
    return (
        f"{_stamp(int(at))},{int(at % 1 * 1000):03d} INFO {client} {method} {path} {status or 'left'} "
        f"{seconds * 1000:.1f}ms {request_id.decode('latin-1')}{tokens}"
    )


@lru_cache(maxsize=2)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
