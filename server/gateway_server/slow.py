"""Requests that don't come in: a caller has so many seconds for a request's headers and body, however it drips."""

import asyncio
from collections.abc import Collection
from typing import Any

import uvicorn
from starlette.types import Scope

from gateway_async.errors import GatewayError, error_code
from gateway_server.connection import Connection
from gateway_server.dialects import dialect_of

TICK_SECONDS = 1.0
"""Connections are looked through this often; a request that comes in between two looks costs nothing."""

LINGER_SECONDS = 2.0
"""So long a refusal may wait until its reader takes it."""

IDLE_SECONDS = 75.0
"""A connection without a request is kept for so long. Clients close theirs before, so that no request meets a closing
door."""


class TimedConfig(uvicorn.Config):
    """uvicorn's configuration, for servers that wait so long for a request.

    Args:
        app: Where the app is, for uvicorn.
        request_seconds: How long a request may take to come in, headers and body.
        more: What else uvicorn takes.
    """

    def __init__(self, app: str, *, request_seconds: float, **more: Any) -> None:
        super().__init__(app, http=Connection, **more)
        self.late = Late(request_seconds)


class Late:
    """Closes the connections of a server whose requests don't come in whole in time.

    One timer looks after all of them. What counts is when a request began (or the connection, of its first one), not
    when its last byte came. Who waits for an answer, reads one slowly, or is idle between two requests is let alone.

    Args:
        seconds: How long a request may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ticking = False
        self._waits: dict[Any, tuple[Scope | None, float]] = {}
        """Connection → the request that is awaited on it, and since when."""

    def watch(self, connections: Collection[Any]) -> None:
        """Look after these connections as long as there are any."""
        if not self._ticking:
            self._ticking = True
            self._later(connections)

    def _later(self, connections: Collection[Any]) -> None:
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick, connections)

    def _tick(self, connections: Collection[Connection]) -> None:
        self._ticking = bool(connections)
        if self._ticking:
            self._later(connections)
        now, before = asyncio.get_running_loop().time(), self._waits
        self._waits = {}
        for connection in list(connections):
            if connection.transport.is_closing():
                continue
            if connection.awaited:
                self._look(connection, now, before.get(connection))
            elif connection.idle and now - connection.idle_since > IDLE_SECONDS:
                connection.transport.close()

    def _look(self, connection: Connection, now: float, before: tuple[Scope | None, float] | None) -> None:
        scope = connection.scope
        request, since = before or (None, now)
        if request is not None and request is not scope:
            since = now  # another one than at the last look
        if now - since > self._seconds:
            connection.cut(_answer(scope.get("path", "") if scope else "", self._seconds))
            asyncio.get_running_loop().call_later(LINGER_SECONDS, connection.transport.abort)
        else:
            self._waits[connection] = scope, since


def _answer(path: str, seconds: float) -> bytes:
    text = f"the request did not come in whole within {seconds:g} s (server.request_seconds)"
    status, body = dialect_of(path).error(GatewayError(text, status=408, error_code=error_code(408)))
    head = f"HTTP/1.1 {status} Request Timeout\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
