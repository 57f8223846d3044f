"""Noticing a caller who leaves, so that the upstream call ends with it."""

import asyncio
from types import TracebackType

from starlette.types import Receive

GRACE_SECONDS = 0.05
"""Most answers are out by then: only a call that takes longer pays for being watched."""


class LeaveWatch:
    """While it is entered, a caller who leaves cancels the task that answers it.

    The cancellation ends at the `with` block; `left` tells whether there was one. The request's body must have been
    read before.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self.left = False

    def __enter__(self) -> "LeaveWatch":
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer = loop.call_later(GRACE_SECONDS, self._start, loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.left:
            return False
        assert self._task is not None
        # Somebody else may have cancelled too (the server shutting down): that is theirs to see.
        return self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watcher = loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        assert self._task is not None
        self._task.cancel()
