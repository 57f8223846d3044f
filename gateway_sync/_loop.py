"""The thread in which the async side runs.

A process has one such thread, whatever the number of clients, and starts it at the first call. It is the one piece of
module-level state of the package: connections outlive a call, and the loop that they belong to has to be somewhere.
"""

import atexit
import contextlib
import os
import threading
from _thread import get_ident
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    import asyncio  # at run time only where it is needed: it is a quarter of what importing this package may take

P = ParamSpec("P")
R = TypeVar("R")

GRACE = 1.0
"""Seconds that clean-up may take while somebody waits who wants to leave: after Ctrl-C, and when the process ends."""

GLANCE = 1.0
"""Seconds after which a wait looks up. A signal wakes it, but not on Windows, nor if it comes as the wait begins."""


class Closable(Protocol):
    """Something that lives on the loop and has connections."""

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class LoopThread:
    """An event loop and the thread that runs it, a daemon: no program waits for it.

    Attributes:
        loop: To be touched within its thread only.
        gone: Nothing runs here any more: the process ends, or it is a fork of the one whose thread this was.
        inherited: In a fork, the parent's clients; see `_fork`.
    """

    def __init__(self) -> None:
        self.gone = False
        self.loop = _new_loop()
        self.inherited: list[Closable] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="gateway_sync", daemon=True)
        self._thread.start()
        self._ident = self._thread.ident

    def is_here(self) -> bool:
        """Whether the caller is in this thread."""
        return get_ident() == self._ident

    def refuse_here(self) -> None:
        """Refuse to wait in this very thread, which would have to do what is waited for.

        Raises:
            RuntimeError: The caller is in this thread.
        """
        if get_ident() == self._ident:
            raise RuntimeError(
                "a blocking call of gateway_sync from within its own loop thread (an httpx hook? a provider?) would "
                "wait for itself: use gateway_async there"
            )

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called in the loop, soon; from any thread. Does nothing when the loop is gone."""
        if not self.gone:
            with contextlib.suppress(RuntimeError):  # it was closed just now
                self.loop.call_soon_threadsafe(function, *args)

    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Task[R]":
        """A task of the loop, held until it is done (the loop itself holds tasks weakly). In this thread only."""
        task = self.loop.create_task(function(*args, **kwargs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end(self, clients: Iterable[Closable]) -> None:
        """Cancel what is under way, close the clients, and stop; within bounds."""
        self.gone = True  # first: whoever is cancelled is not to be told
        self.loop.call_soon_threadsafe(self.task, self._end, list(clients))
        self._thread.join(2 * GRACE)

    async def _end(self, clients: list[Closable]) -> None:
        import asyncio

        try:
            async with asyncio.timeout(GRACE):
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for task in others:
                    task.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)
                await self.loop.shutdown_asyncgens()
        except TimeoutError:
            pass  # the process ends all the same, and takes the connections with it
        finally:
            self.loop.stop()

    def _run(self) -> None:
        while not self.gone:
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - SystemExit in one call must not end the loop of all
                self.loop.call_exception_handler(
                    {"message": "a task tried to end the loop", "exception": error}
                )
        self.loop.close()


def _new_loop() -> "asyncio.AbstractEventLoop":
    try:
        import uvloop
    except ImportError:
        import asyncio

        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Process:
    """What a process has one of. A fork gets a new one, by which clients see that they come from the parent.

    Attributes:
        lock: Held while one of these is changed.
        clients: To be closed when the process ends.
        running: The loop thread, once it was needed.
        shared: The client of the module-level functions, and what it was made of.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clients: WeakSet[Closable] = WeakSet()
        self.running: LoopThread | None = None
        self.shared: tuple[object, Any] | None = None
        self._ends = False

    def thread(self) -> LoopThread:
        """The loop thread, started by the first who needs it.

        Raises:
            RuntimeError: The interpreter is exiting.
        """
        if (running := self.running) is not None:
            return running
        with self.lock:
            if self._ends:
                raise RuntimeError("the interpreter is exiting: the gateway can't be called any more")
            if self.running is None:
                self.running = LoopThread()
            return self.running

    def end(self) -> None:
        """Stop the loop thread, for good."""
        with self.lock:
            self._ends, running, self.running = True, self.running, None
        if running is not None:
            running.end(self.clients)


_process = Process()


def process() -> Process:
    """That of this process."""
    return _process


def _fork() -> None:
    """Begin anew in a child process.

    Here the parent's connections must not even be freed: that could unregister the parent's sockets from the epoll
    that both processes share. The loop itself is never freed (a fork leaks the frames of the threads that it lacks),
    nor is what hangs on it.
    """
    global _process
    if (lost := _process.running) is not None:
        lost.gone = True
        lost.inherited = list(_process.clients)
    _process = Process()


# Registered now, not at the first call: the last registered is the first called, and a program's own exit hooks may
# still make calls.
atexit.register(lambda: _process.end())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)
