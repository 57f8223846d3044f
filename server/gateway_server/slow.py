"""Requests that don't come in: a caller has so many seconds for a request's headers and body, however it drips."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_async.errors import GatewayError, error_code
from gateway_server.dialects import dialect_of

TICK_SECONDS = 1.0
"""Connections are looked through this often; a request that comes in between two looks costs nothing."""

LINGER_SECONDS = 2.0
"""So long a refusal may wait until its reader takes it."""


class TimedConfig(uvicorn.Config):
    """uvicorn's configuration, for servers that wait so long for a request.

    Args:
        app: Where the app is, for uvicorn.
        request_seconds: How long a request may take to come in, headers and body.
        more: What else uvicorn takes.
    """

    def __init__(self, app: str, *, request_seconds: float, **more: Any) -> None:
        super().__init__(app, http=TimedProtocol, **more)
        self.late = Late(request_seconds)


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's connection, which is looked after from its beginning."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin with a new connection."""
        super().connection_made(transport)
        if isinstance(self.config, TimedConfig):
            self.config.late.watch(self.connections)


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

    def _tick(self, connections: Collection[Any]) -> None:
        self._ticking = bool(connections)
        if self._ticking:
            self._later(connections)
        now, before = time.monotonic(), self._waits
        self._waits = {}
        for connection in list(connections):
            if not _is_awaited(connection) or connection.transport.is_closing():
                continue
            request, since = before.get(connection, (None, now))
            if request is not None and request is not connection.scope:
                since = now  # another one than at the last look
            if now - since > self._seconds:
                _close(connection, self._seconds)
            else:
                self._waits[connection] = connection.scope, since


def _is_awaited(connection: Any) -> bool:
    """Whether the caller has yet to send a request, or the rest of one."""
    cycle = connection.cycle
    if cycle is None:
        return True
    if cycle.response_complete:
        # Between two requests uvicorn's own timer runs, which the first byte of the next one stops.
        return connection.timeout_keep_alive_task is None or connection.scope is not cycle.scope
    return cycle.more_body and not connection.pipeline


def _close(connection: Any, seconds: float) -> None:
    """Close a connection, with an answer where its request had begun and none was sent yet."""
    transport, cycle, scope = connection.transport, connection.cycle, connection.scope
    half = cycle is not None and cycle.scope is scope
    if scope is not None and not (half and cycle.response_started):
        transport.write(_answer(scope.get("path", ""), seconds))
    if half:  # as uvicorn does when a caller leaves
        cycle.disconnected = True
        cycle.message_event.set()
    transport.close()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)


def _answer(path: str, seconds: float) -> bytes:
    text = f"the request did not come in whole within {seconds:g} s (server.request_seconds)"
    status, body = dialect_of(path).error(GatewayError(text, status=408, error_code=error_code(408)))
    head = f"HTTP/1.1 {status} Request Timeout\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
