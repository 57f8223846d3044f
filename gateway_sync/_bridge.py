"""Blocking calls of coroutine functions, and the hold that a blocking client has on its async one."""

import copy
from _thread import allocate_lock
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

from gateway_sync._loop import GLANCE, GRACE, Closable, LoopThread, Process, process

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=Closable)


def run(function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What a coroutine function returns, called in the loop thread with the caller's context variables.

    Blocks the caller, also where an event loop runs in the caller's thread. What interrupts the wait, such as Ctrl-C,
    cancels the call as well.

    Raises:
        RuntimeError: The caller is in the loop thread, or the interpreter is exiting.
    """
    thread = process().thread()
    thread.refuse_here()
    call = _Call(thread, function, args, kwargs)
    try:
        thread.post(call.start)
        while not call.done.acquire(timeout=GLANCE):
            pass
    except BaseException:
        thread.post(call.cancel)
        call.done.acquire(timeout=GRACE)
        raise
    if call.error is None:
        return call.result
    # The error holds its traceback, that this frame: unless the frame lets go, all stay until garbage is collected.
    error, call.error = call.error, None
    try:
        raise error
    finally:
        del error


class _Call(Generic[R]):
    """One blocking call. Two raw locks' work; a concurrent Future would cost twice as much."""

    __slots__ = ("args", "done", "error", "function", "kwargs", "result", "task", "thread")

    result: R

    def __init__(
        self,
        thread: LoopThread,
        function: Callable[..., Awaitable[R]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.thread, self.function, self.args, self.kwargs = thread, function, args, kwargs
        self.task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        self.done = allocate_lock()
        self.done.acquire()

    def start(self) -> None:
        self.task = self.thread.task(self.make)

    async def make(self) -> None:
        try:
            self.result = await self.function(*self.args, **self.kwargs)
        except BaseException as error:  # noqa: BLE001 - for the caller; SystemExit must not leave the task
            self.error = error
        if not self.thread.gone:  # at exit only daemon threads wait, and they are to stay silent
            self.done.release()

    def cancel(self) -> None:
        if self.task is not None:
            self.task.add_done_callback(self.settle)
            self.task.cancel()

    def settle(self, _: object) -> None:
        if self.done.locked():  # a task that is cancelled before it begins runs no line of `make`
            self.done.release()


class Bridged(Generic[C]):
    """A blocking client over an async one, which lives on the loop thread.

    The async client is closed when nobody holds the blocking one any more. In a fork it is made again from its recipe,
    which is also what a pickle holds.
    """

    _home: Process | None = None

    def __init__(self, client: C) -> None:
        self._client = client
        self._home = process()
        self._home.clients.add(client)

    @classmethod
    def _around(cls, client: C) -> Self:
        """A blocking client over an async one that is there already."""
        self = cls.__new__(cls)
        Bridged.__init__(self, client)
        return self

    @property
    def _async(self) -> C:
        """The async client, of this process."""
        here = process()
        if self._home is not here:
            with here.lock:
                if self._home is not here:
                    Bridged.__init__(self, _again(self._client))
        return self._client

    def _close(self) -> None:
        """Close the connections that this process has."""
        if (thread := self._thread()) is None:
            return
        if thread.is_here():
            thread.post(thread.task, self._client.aclose)
        else:
            run(self._client.aclose)

    def __del__(self) -> None:
        if (thread := self._thread()) is not None:
            thread.post(thread.task, self._client.aclose)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": copy.copy(self._client), "_home": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Bridged.__init__(self, self._client)

    def _thread(self) -> LoopThread | None:
        return self._home.running if self._home is not None and self._home is process() else None


def _again(client: C) -> C:
    """The same client without its connections."""
    try:
        return copy.copy(client)
    except TypeError as refused:
        raise RuntimeError(
            "this client is from before a fork and has an http_client of your own, whose connections are the parent's: "
            "make it anew in the child process"
        ) from refused
