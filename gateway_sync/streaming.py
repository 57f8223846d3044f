"""A streamed answer in the hands of a blocking caller."""

from _thread import allocate_lock
from collections.abc import Awaitable, Callable
from math import inf
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, Self, TypeVar

from gateway_async import AsyncStream
from gateway_sync._loop import GLANCE, GRACE, LoopThread, process

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
T = TypeVar("T")

MOST = 32
"""Chunks that may wait for the reader. Then the stream is not read on before half of them are taken."""


class SyncStream(Generic[T]):
    """The chunks of an answer, as they come.

    The call is made at once, so that a refusal shows there. The stream closes by itself at its end, at an error, and
    when nobody holds it any more; who leaves earlier closes it:

        with client.stream("chat", data) as stream:
            for chunk in stream:
                ...

    A reader that is slower than the answer slows the answer. The stream belongs to the process that opened it, and
    to one reader at a time; `close` may be called from any thread.

    Args:
        holder: What must not be freed before the stream: a client closes its connections when it is.
        function: Opens the async stream.
        args: For the function.
        kwargs: For the function.

    Raises:
        GatewayError: The call is refused; while iterating, the stream failed after it began.
    """

    _relay: "_Relay[T] | None" = None

    def __init__(
        self,
        holder: object,
        function: Callable[P, Awaitable[AsyncStream[T]]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        thread = process().thread()
        thread.refuse_here()
        self._holder = holder
        self._closed = False
        self._relay = _Relay(thread)
        thread.post(self._relay.start, function, args, kwargs)
        self._take(self._relay)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        relay = self._relay
        if self._closed or relay is None:
            raise StopIteration
        item = self._take(relay)
        if isinstance(item, _Mark) or self._closed:
            raise StopIteration
        if relay.full and relay.items.qsize() <= MOST // 2:
            relay.go_on()
        return item

    def close(self) -> None:
        """Stop the answer, also upstream, and let go of the connection. May be called twice."""
        closed, self._closed = self._closed, True
        if self._relay is not None:
            if not closed:
                self._relay.stop()
            if not self._relay.thread.is_here():
                self._relay.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._relay is not None and not self._closed:
            self._relay.stop()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open stream can't be pickled: its connection stays here. Pickle the client")

    def _take(self, relay: "_Relay[T]") -> "T | _Mark":
        """The next that the owner hands over. If that is an error, it is raised."""
        if relay.thread.gone:
            raise RuntimeError("this stream ended with the process that opened it; make the call again here")
        relay.thread.refuse_here()
        try:
            item = relay.get()
        except BaseException:  # Ctrl-C
            self._closed = True
            relay.stop()
            relay.wait(GRACE)
            raise
        if isinstance(item, _Mark) and item.last:
            closed, self._closed = self._closed, True
            relay.items.put(_Mark(last=True))  # for whoever else waits
            error, item.error = item.error, None
            if error is not None and not closed:
                try:
                    raise error
                finally:
                    del error  # as in `run`
        return item


class _Mark:
    """What is no chunk: the call went through, or the stream is over."""

    def __init__(self, *, last: bool, error: BaseException | None = None) -> None:
        self.last, self.error = last, error


class _Relay(Generic[T]):
    """Stands between the reading thread and the one task on the loop that owns the stream from open to close.

    Were the stream stepped from the reader's side, each step would be a task of its own; but what a stream opens, such
    as a cancel scope, must be closed by the task that opened it. The relay does not hold the `SyncStream`, so that
    dropping that one can end the task.

    Attributes:
        items: What is handed over.
        full: The owner waits for the reader.
    """

    def __init__(self, thread: LoopThread) -> None:
        import asyncio

        self.thread = thread
        self.items: SimpleQueue[T | _Mark] = SimpleQueue()
        self.full = False
        self._room = asyncio.Event()
        self._done = allocate_lock()
        self._done.acquire()
        self._task: asyncio.Task[BaseException | None] | None = None
        self._cancelled = False

    def start(
        self,
        function: Callable[..., Awaitable[AsyncStream[T]]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._task = self.thread.task(self._own, function, args, kwargs)
        self._task.add_done_callback(self._finish)

    def get(self) -> T | _Mark:
        """From the reader: the next item, waited for."""
        while True:
            try:
                return self.items.get(timeout=GLANCE)
            except Empty:
                pass

    def go_on(self) -> None:
        """From the reader: there is room again."""
        self.full = False
        self.thread.post(self._room.set)

    def stop(self) -> None:
        """From anywhere: end the stream."""
        self.thread.post(self._cancel)

    def wait(self, timeout: float = inf) -> None:
        """Until the stream is closed, or the time is over."""
        while not self.thread.gone and timeout > 0:
            if self._done.acquire(timeout=min(timeout, GLANCE)):
                self._done.release()
                return
            timeout -= GLANCE

    async def _own(
        self,
        function: Callable[..., Awaitable[AsyncStream[T]]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> BaseException | None:
        items = self.items
        try:
            stream = await function(*args, **kwargs)
            items.put(_Mark(last=False))
            try:
                async for chunk in stream:
                    items.put(chunk)
                    while items.qsize() >= MOST:
                        self._room.clear()
                        self.full = True
                        if items.qsize() >= MOST:  # still: the reader may have seen `full` too late
                            await self._room.wait()
            finally:
                await stream.aclose()
        except BaseException as error:  # noqa: BLE001 - for the reader; SystemExit must not leave the task
            return error
        return None

    def _finish(self, task: "asyncio.Task[BaseException | None]") -> None:
        if not self.thread.gone:  # at exit only daemon threads wait, and they are to stay silent
            self.items.put(_Mark(last=True, error=None if task.cancelled() else task.result()))
            self._done.release()

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:  # a second cancellation would hit the clean-up
            self._cancelled = True
            self._task.cancel()
