"""How many calls of models a process of the server takes at once."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_async.config import ConcurrencyConfig
from gateway_async.errors import GatewayError
from gateway_async.policies.places import Places
from gateway_server.deadline import HEADER as TIMEOUT
from gateway_server.deadline import timeout_of
from gateway_server.dialects import dialect_of
from gateway_server.disconnect import LeaveWatches
from gateway_server.fields import fields_of, with_field
from gateway_server.mount import path_within
from gateway_server.responses import CUT_SHORT, LEFT, send_error

MOST_HELD = 2**16
"""Bytes of a body that are read before its turn."""


class Pressure:
    """Let so many calls of models in at once, have others wait for their turn, and refuse those beyond with 503.

    Long bodies are not read before their turn. Whatever calls no model passes: an operator gets in at any time.

    Args:
        app: What is behind.
        places: The places at this moment; None: any number.
    """

    def __init__(self, app: ASGIApp, *, places: Callable[[], Places | None]) -> None:
        self.app = app
        self._places = places
        self._watches = LeaveWatches()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own, so that it costs next to nothing where no places are counted.
        places = self._places()
        if places is None or not _calls_a_model(scope):
            return self.app(scope, receive, send)
        return self._answer(places, scope, receive, send)

    async def _answer(self, places: Places, scope: Scope, receive: Receive, send: Send) -> None:
        if places.enter_at_once():
            request: tuple[Scope, Receive] | None = scope, receive
        else:
            request = await self._when_its_turn_comes(places, scope, receive, send)
        if request is None:
            return
        try:
            await self.app(*request, send)
        finally:
            places.leave()

    async def _when_its_turn_comes(
        self, places: Places, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Scope, Receive] | None:
        """The request, once it has a place; None: it has none, and its caller is told."""
        dialect, held = dialect_of(path_within(scope)), _Held(scope, receive)
        try:
            timeout = timeout_of(scope)
            deadline = None if timeout is None else time.monotonic() + timeout
            with self._watches.watch(held.listen) as caller:
                try:
                    await places.enter(deadline)
                    return (scope if deadline is None else _with_what_is_left(scope, deadline)), held
                except asyncio.CancelledError:
                    await send_error(send, LEFT if caller.left else CUT_SHORT, dialect)
                    raise
        except GatewayError as refused:
            await send_error(send, refused, dialect)
        return None


class _Held:
    """What a caller sends while it waits: held for whoever reads its body, so that its leaving can be seen before.

    Only a short body is. Of a longer one the server behind `receive` takes no more than it does of any that nobody
    reads, and its caller is seen to have left when it has its turn.
    """

    __slots__ = ("_messages", "_receive", "_short")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()
        length = fields_of(scope).get(b"content-length", b"")
        self._short = length.isdigit() and len(length) < 8 and int(length) <= MOST_HELD

    async def __call__(self) -> Message:
        """The next message."""
        return self._messages.popleft() if self._messages else await self._receive()

    async def listen(self) -> Message:
        """A message that is given again to whoever reads."""
        if not self._short:
            await asyncio.get_running_loop().create_future()  # until the turn comes
        message = await self._receive()
        self._messages.append(message)
        return message


def _with_what_is_left(scope: Scope, deadline: float) -> Scope:
    """The request with so much of its caller's time as the waiting has left."""
    left = b"%.3f" % max(deadline - time.monotonic(), 0.001)
    return with_field(scope, TIMEOUT, left)


def places_of(config: ConcurrencyConfig | None, before: Places | None = None) -> Places | None:
    """The server's places: those that it had before, as many as are configured now; None: any number."""
    if config is None:
        return None
    if before is None:
        return Places("the server", config)
    before.configure(config)
    return before


def _calls_a_model(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path = path_within(scope)
    return path.startswith("/v1/") or (
        path.endswith("/invocations") and path.startswith(("/gateway/", "/endpoints/"))
    )
