"""Noticing a caller who leaves, so that the upstream call ends with it."""

import asyncio
from types import TracebackType

from starlette.types import Receive

TICK_SECONDS = 0.025
"""Calls are looked through this often. Most are answered between two looks and cost nothing; one that is seen twice
has its caller watched."""


class LeaveWatches:
    """The calls under way of one app, and who among their callers leaves.

    One timer serves them all, and only while there are calls: a timer for each would cost more than all the rest of
    the watching.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: set[LeaveWatch] = set()

    def watch(self, receive: Receive) -> "LeaveWatch":
        """A context in which the caller's leaving cancels the task; see `LeaveWatch`."""
        return LeaveWatch(self, receive)

    def add(self, call: "LeaveWatch") -> None:
        """Look after a call."""
        self._calls.add(call)
        loop = call.task.get_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(TICK_SECONDS, self._tick, loop)

    def discard(self, call: "LeaveWatch") -> None:
        """Forget a call."""
        self._calls.discard(call)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._calls:
            self._loop = None
            return
        for call in self._calls:
            call.seen(loop)
        loop.call_later(TICK_SECONDS, self._tick, loop)


class LeaveWatch:
    """While it is entered, a caller who leaves cancels the task that answers it.

    The cancellation ends at the `with` block; `left` tells of it. The request's body must have been read before.
    """

    __slots__ = ("_receive", "_seen", "_watcher", "_watches", "left", "task")

    def __init__(self, watches: LeaveWatches, receive: Receive) -> None:
        self._watches = watches
        self._receive = receive
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self._watcher: asyncio.Task[None] | None = None
        self._seen = self.left = False

    def __enter__(self) -> "LeaveWatch":
        self._watches.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watches.discard(self)
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # whose cancellation holds frames that hold this
        if not self.left:
            return False
        # Somebody else may have cancelled too (the server shutting down): that is theirs to see.
        return self.task.uncancel() == 0 and kind is asyncio.CancelledError

    def seen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that the call is still under way; the second time, begin to watch its caller."""
        if self._seen and self._watcher is None:
            self._watcher = loop.create_task(self._watch())
        self._seen = True

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.task.cancel()
