"""Calls over the loop thread. What goes wrong with one if it is made carelessly is a test each, here and in
`test_streaming` and `test_process`.
"""

import asyncio
import contextvars
import gc
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from gateway_async.errors import RateLimited
from gateway_sync import MlflowGatewayClient, SyncStream, _bridge, _loop
from gateway_sync._bridge import Bridged, run
from tests.sync.gateway import gateway
from tests.sync.scripts import LOOPS, script
from tests.sync.sources import SOON, Chunks, Connections, forever, interrupt_and_wait, nothing, stream


def test_a_call_gives_what_the_coroutine_returns() -> None:
    """Arguments go in by position and by name, the result comes out."""

    async def join(*words: str, by: str) -> str:
        return by.join(words)

    assert run(join, "a", "b", by="-") == "a-b"


def test_an_error_is_raised_where_the_call_was_made() -> None:
    """It is the very error, and its traceback shows both sides."""
    error = RateLimited("no more")

    async def fail() -> None:
        raise error

    with pytest.raises(RateLimited) as raised:
        run(fail)

    assert raised.value is error
    names = [entry.name for entry in raised.traceback]
    assert names[0] == "test_an_error_is_raised_where_the_call_was_made"
    assert names[-1] == "fail"


def test_an_error_does_not_wait_for_the_garbage_collector() -> None:
    """No cycle of error, traceback and frame keeps alive what the caller's frames hold."""

    async def fail() -> None:
        raise RateLimited("no more")

    def handle() -> "weakref.ref[BaseException]":
        try:
            run(fail)
        except RateLimited as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        left = handle()
        for _ in range(200):  # the loop's thread has yet to leave what it did for the call
            if left() is None:
                break
            time.sleep(0.01)
        assert left() is None
    finally:
        gc.enable()


def test_context_variables_reach_the_call() -> None:
    """A trace that the application has begun goes on in the call."""
    trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace")
    trace.set("t-1")

    async def read() -> str:
        return trace.get()

    assert run(read) == "t-1"


def test_all_threads_share_one_loop_thread() -> None:
    """However many threads and clients there are."""
    start, found = threading.Barrier(8), set()

    async def here() -> int:
        return threading.get_ident()

    def call() -> None:
        start.wait()
        found.add(run(here))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 1
    assert found.isdisjoint(thread.ident for thread in threads)


async def test_a_call_works_where_an_event_loop_runs() -> None:
    """The loop here is blocked meanwhile, as documented; the loop of the call is elsewhere."""
    assert run(asyncio.sleep, 0, "done") == "done"
    assert [chunk["i"] for chunk in stream(Chunks(3))] == [0, 1, 2]


def test_a_call_from_the_loop_thread_is_refused() -> None:
    """It would wait for itself; the error says so instead."""

    async def call() -> None:
        run(nothing)

    async def read(opened: SyncStream[Any]) -> None:
        next(opened)

    with pytest.raises(RuntimeError, match="from within its own loop thread"):
        run(call)
    with stream(Chunks(1, then=forever)) as opened, pytest.raises(RuntimeError, match="own loop thread"):
        run(read, opened)


def test_closing_in_the_loop_thread_does_not_wait() -> None:
    """A `__del__` that closes may run in any thread, also in that one."""
    source, held = Chunks(0, then=forever), Connections()
    opened, client = stream(source), Bridged(held)

    async def close() -> None:
        opened.close()
        client._close()

    run(close)

    assert source.closed.wait(SOON)
    assert held.closed.wait(SOON)


# A BaseException


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_reaches_the_caller_and_not_the_loop(kind: type[BaseException]) -> None:
    """`SystemExit` in one client's call must not stop the loop of all clients."""

    async def end() -> None:
        raise kind("from within")

    with pytest.raises(kind, match="from within"):
        run(end)

    assert run(asyncio.sleep, 0, "still here") == "still here"


@pytest.mark.parametrize("loop", LOOPS)
def test_what_ends_a_program_in_a_task_of_a_call_does_not_stop_the_loop(loop: str) -> None:
    """Also where it is raised in a task that the call has begun, which asyncio lets out of the loop."""
    printed = script(
        """
import asyncio
logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it is logged

async def end():
    raise SystemExit("from within")

async def call():
    await asyncio.create_task(end())

try:
    run(call)
except SystemExit as error:
    print(error)
print(run(asyncio.sleep, 0, "still here"))
""",
        loop=loop,
    )
    assert printed.split("\n") == ["from within", "still here", ""]


# Ctrl-C


def test_an_interrupted_call_is_cancelled() -> None:
    """Ctrl-C ends the call on the loop too, before it leaves the caller."""
    ended = threading.Event()

    with pytest.raises(KeyboardInterrupt):
        run(interrupt_and_wait, ended)

    assert ended.is_set()


def test_an_interrupted_call_that_had_not_begun_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled before its first step runs none of its code: the caller must not wait for any."""
    monkeypatch.setattr(_bridge, "GRACE", 600)
    thread, blocked, go_on = _loop.process().thread(), threading.Event(), threading.Event()
    post = thread.post

    def post_and_look(function: Callable[..., object], *args: Any) -> None:
        post(function, *args)
        if function.__name__ == "start":
            signal.raise_signal(signal.SIGINT)
        if function.__name__ == "cancel":
            go_on.set()

    thread.post(blocked.set)
    thread.post(go_on.wait, SOON)
    assert blocked.wait(SOON)
    monkeypatch.setattr(thread, "post", post_and_look)

    with pytest.raises(KeyboardInterrupt):
        run(forever)

    monkeypatch.undo()
    assert run(asyncio.sleep, 0, "still here") == "still here"


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interrupted_program_ends_as_usual(loop: str) -> None:
    """The caller handles `KeyboardInterrupt`, goes on to call, and ends without a word."""
    printed = script(
        """
import asyncio

async def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(600)
    finally:
        print("cancelled")

try:
    run(interrupted)
except KeyboardInterrupt:
    print(run(asyncio.sleep, 0, "handled"))
""",
        loop=loop,
    )
    assert printed.split() == ["cancelled", "handled"]


# The life of a client


def test_a_client_that_nobody_holds_closes_its_connections() -> None:
    """A program that makes a client for every call does not run out of sockets."""
    held = Connections()
    client = Bridged(held)
    assert run(client._async.query) == "answer"

    del client

    assert held.closed.wait(SOON)


def test_a_pickled_client_is_its_recipe() -> None:
    """Address and settings travel, connections do not."""
    with gateway() as server, MlflowGatewayClient(server.url, api_key="k") as client:
        connection = client.query("chat", {})["connection"]
        with pickle.loads(pickle.dumps(client)) as other:
            assert type(other) is MlflowGatewayClient
            assert other.gateway_uri == server.url
            assert other.query("chat", {})["connection"] != connection
        assert client.query("chat", {})["connection"] == connection
