"""What goes wrong with a loop in a thread if it is done carelessly: each a test."""

import asyncio
import contextvars
import gc
import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

import anyio
import pytest

from gateway_async import AsyncStream
from gateway_async.errors import RateLimited
from gateway_sync import MlflowGatewayClient, SyncStream, _bridge, _loop, streaming
from gateway_sync._bridge import Bridged, run
from gateway_sync.streaming import MOST
from tests.support.upstream import MockUpstream
from tests.sync.gateway import gateway
from tests.sync.scripts import LOOPS, script

SOON = 20.0
"""Seconds to wait for what happens at once."""


class Chunks:
    """A `ChunkSource` that counts, and remembers who called it.

    Attributes:
        given: How many chunks were taken from it.
        closed: Set when it was closed.
        tasks: The tasks in which it was used.
    """

    def __init__(self, n: int, *, then: Callable[[], Awaitable[Any]] | None = None) -> None:
        self.n, self.then = n, then
        self.given = 0
        self.closed = threading.Event()
        self.tasks: set[object] = set()

    async def next(self) -> dict[str, Any] | None:
        self.tasks.add(asyncio.current_task())
        if self.given == self.n:
            if self.then is not None:
                await self.then()
            return None
        self.given += 1
        return {"i": self.given - 1}

    async def aclose(self) -> None:
        self.tasks.add(asyncio.current_task())
        self.closed.set()

    async def open(self) -> "Chunks":
        self.tasks.add(asyncio.current_task())
        return self


def stream(source: Any, holder: object = None) -> SyncStream[dict[str, Any]]:
    """The blocking stream of a source."""
    return SyncStream(holder, lambda: AsyncStream(source.open, lambda chunk: chunk))


class Connections:
    """The async side of a client, seen from its connections."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def query(self) -> str:
        return "answer"

    async def aclose(self) -> None:
        self.closed.set()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def nothing() -> None:
    pass


async def interrupt_and_wait(ended: threading.Event) -> None:
    """What the user does who presses Ctrl-C while this call is under way."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await forever()
    finally:
        ended.set()


# Calls


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
        assert handle()() is None
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


def test_what_ends_a_program_within_a_stream_reaches_the_reader() -> None:
    """As from a call; and the stream is closed."""

    async def end() -> None:
        raise SystemExit("from within")

    source = Chunks(1, then=end)
    opened = stream(source)
    assert next(opened) == {"i": 0}

    with pytest.raises(SystemExit, match="from within"):
        next(opened)

    assert source.closed.is_set()
    assert run(asyncio.sleep, 0, "still here") == "still here"


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


def test_an_interrupted_reader_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting for a chunk stops the answer and lets go of the connection."""
    waits, ended = threading.Event(), threading.Event()
    get = streaming._Relay.get

    def get_and_say(relay: Any) -> Any:
        waits.set()
        return get(relay)

    async def interrupt() -> None:
        await asyncio.get_running_loop().run_in_executor(None, waits.wait, SOON)
        await interrupt_and_wait(ended)

    source = Chunks(1, then=interrupt)
    opened = stream(source)
    assert next(opened) == {"i": 0}
    monkeypatch.setattr(streaming._Relay, "get", get_and_say)

    with pytest.raises(KeyboardInterrupt):
        next(opened)

    assert ended.is_set()
    assert source.closed.is_set()
    assert list(opened) == []


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


# Streams


def test_one_task_owns_a_stream_from_open_to_close() -> None:
    """What the stream opens in a task, such as a cancel scope, is closed in that task."""

    class Scoped(Chunks):
        scope: anyio.CancelScope

        async def open(self) -> "Chunks":
            self.scope = anyio.CancelScope()
            self.scope.__enter__()
            return await super().open()

        async def aclose(self) -> None:
            self.scope.__exit__(None, None, None)
            await super().aclose()

    whole, left = Scoped(100), Scoped(100, then=forever)

    assert [chunk["i"] for chunk in stream(whole)] == list(range(100))
    with stream(left) as opened:
        assert next(opened) == {"i": 0}

    for source in whole, left:
        assert source.closed.is_set()
        assert len(source.tasks) == 1
    assert run(asyncio.sleep, 0, "still here") == "still here"


def test_a_refusal_shows_at_the_call() -> None:
    """Not first at the first chunk."""

    class Refusing:
        async def open(self) -> Chunks:
            raise RateLimited("no more", retry_after=3)

    with pytest.raises(RateLimited) as refused:
        stream(Refusing())

    assert refused.value.retry_after == 3


def test_an_error_after_the_beginning_comes_in_its_turn() -> None:
    """The chunks before it are read first; the stream is over after it."""

    async def fail() -> None:
        raise RateLimited("no more")

    source = Chunks(3, then=fail)
    opened = stream(source)
    seen: list[int] = []

    with pytest.raises(RateLimited):
        seen.extend(chunk["i"] for chunk in opened)

    assert source.closed.is_set()
    assert list(opened) == []


def test_a_slow_reader_slows_the_stream() -> None:
    """Few chunks wait for the reader; as it reads, more are fetched, and none is lost."""
    source = Chunks(10 * MOST)
    opened = stream(source)
    run(nothing)  # the owner goes on until it has to wait; only then comes the turn of this

    given = source.given
    assert MOST - 1 <= given <= MOST  # that the call went through is handed over too

    assert next(opened) == {"i": 0}
    run(nothing)
    assert source.given == given
    assert [chunk["i"] for chunk in opened] == list(range(1, 10 * MOST))


def test_no_chunk_is_lost_between_a_fast_stream_and_a_fast_reader() -> None:
    """Neither waits for the other for ever, whoever is ahead."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert [chunk["i"] for chunk in stream(Chunks(20_000))] == list(range(20_000))
    finally:
        sys.setswitchinterval(interval)


def test_a_reader_that_is_faster_than_expected_does_not_stop_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If all is taken just before the owner says that it waits, nobody will tell it to go on: it must look again."""
    taken: list[Any] = []

    class Raced(SimpleQueue[Any]):
        def qsize(self) -> int:
            size = super().qsize()
            if size >= MOST and not taken:
                taken.extend(self.get_nowait() for _ in range(size))
            return size

    monkeypatch.setattr(streaming, "SimpleQueue", Raced)
    relay = streaming._Relay[dict[str, Any]](_loop.process().thread())
    source = Chunks(MOST * 3 // 2)

    async def own() -> None:
        relay.start(lambda: AsyncStream(source.open, lambda chunk: chunk), (), {})

    run(own)
    relay.wait(SOON)

    assert source.closed.is_set()
    assert len(taken) == MOST


def test_every_reader_sees_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a second one, who waits where one should."""
    ready = threading.Barrier(5)
    get = streaming._Relay.get

    def get_together(relay: Any) -> Any:
        ready.wait(SOON)
        return get(relay)

    async def end() -> None:
        await asyncio.get_running_loop().run_in_executor(None, ready.wait, SOON)

    opened = stream(Chunks(0, then=end))
    monkeypatch.setattr(streaming._Relay, "get", get_together)
    readers = [threading.Thread(target=list, args=(opened,)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(SOON)

    assert not any(reader.is_alive() for reader in readers)


def test_leaving_a_stream_closes_it() -> None:
    """At the end of the `with`, before the next statement."""
    source = Chunks(2, then=forever)

    with stream(source) as opened:
        assert next(opened) == {"i": 0}

    assert source.closed.is_set()
    assert list(opened) == []
    opened.close()


def test_a_stream_that_nobody_holds_is_closed() -> None:
    """`break` out of `for chunk in client.stream(…)` is enough."""
    source = Chunks(2, then=forever)

    for _ in stream(source):
        break

    assert source.closed.wait(SOON)


def test_a_stream_in_garbage_is_closed() -> None:
    """Also when only the garbage collector finds it."""
    source = Chunks(MOST * 2)
    cycle: list[Any] = [stream(source)]
    cycle.append(cycle)
    del cycle

    gc.collect()

    assert source.closed.wait(SOON)


def test_closing_from_another_thread_frees_the_reader() -> None:
    """The reader, who waits for a chunk, sees the end of the stream."""
    waits = threading.Event()

    async def wait() -> None:
        waits.set()
        await forever()

    source = Chunks(2, then=wait)
    opened = stream(source)
    seen: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: seen.extend(opened))
    reader.start()
    assert waits.wait(SOON)

    opened.close()

    assert source.closed.is_set()
    reader.join(SOON)
    assert not reader.is_alive()
    assert all("i" in chunk for chunk in seen)


def test_closing_twice_does_not_cut_the_clean_up_short() -> None:
    """The second `close`, from another thread, waits as the first does."""
    at_it, go_on = threading.Event(), threading.Event()

    class Slow(Chunks):
        async def aclose(self) -> None:
            at_it.set()
            await asyncio.get_running_loop().run_in_executor(None, go_on.wait, SOON)
            await super().aclose()

    source = Slow(1, then=forever)
    opened = stream(source)
    first = threading.Thread(target=opened.close)
    first.start()
    assert at_it.wait(SOON)
    second = threading.Thread(target=opened.close)
    second.start()
    run(nothing)
    go_on.set()
    first.join(SOON)
    second.join(SOON)

    assert source.closed.is_set()
    assert not first.is_alive()
    assert not second.is_alive()


# Pickling, and the life of a client


def test_a_client_that_nobody_holds_closes_its_connections() -> None:
    """A program that makes a client for every call does not run out of sockets."""
    held = Connections()
    client = Bridged(held)
    assert run(client._async.query) == "answer"

    del client

    assert held.closed.wait(SOON)


def test_a_stream_holds_its_client() -> None:
    """`for chunk in Client().stream(…)` drops the client before the first chunk: its connections must stay."""
    held, source = Connections(), Chunks(2, then=forever)
    opened = stream(source, holder=Bridged(held))

    assert next(opened) == {"i": 0}
    run(nothing)
    assert not held.closed.is_set()

    del opened
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


def test_an_open_stream_can_not_be_pickled() -> None:
    """The message says what can be."""
    with stream(Chunks(1)) as opened, pytest.raises(TypeError, match="Pickle the client"):
        pickle.dumps(opened)


# Fork


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_fork_has_its_own_thread_and_sockets(loop: str) -> None:
    """Parent and child call on with the same client objects, and a stream of the parent goes on undisturbed."""
    with gateway() as server:
        printed = script(
            """
client = MlflowGatewayClient(sys.argv[1])
set_gateway_uri(sys.argv[1])
mine = client.query("chat", {})["connection"]
fluent = query("chat", {})["connection"]
stream = MlflowGatewayClient(sys.argv[1]).stream("chat", {"n": 4, "hold_at": 2})
assert next(stream) == {"i": 0}

if not (child := os.fork()):
    theirs = {client.query("chat", {})["connection"] for _ in range(3)}
    assert len(theirs) == 1 and mine not in theirs
    assert query("chat", {})["connection"] not in {mine, fluent, *theirs}
    try:
        next(stream)
    except RuntimeError as error:
        print(error)
    stream.close()
    del stream
    client.close()
    sys.exit()

assert os.waitpid(child, 0)[1] == 0
assert client.query("release", {})["connection"] == mine
assert query("chat", {})["connection"] == fluent
assert list(stream) == [{"i": 1}, {"i": 2}, {"i": 3}]
print("parent")
""",
            server.url,
            loop=loop,
        )
    assert printed.split("\n") == [
        "this stream ended with the process that opened it; make the call again here",
        "parent",
        "",
    ]


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_pool_of_forked_workers_works(loop: str) -> None:
    """Each worker uses the client that the parent made and used, and gets it pickled as well."""
    with gateway() as server:
        printed = script(
            """
import multiprocessing

client = MlflowGatewayClient(sys.argv[1])
ours = client.query("chat", {})["connection"]

def ask(other):
    return [each.query("chat", {})["connection"] for each in (client, other)]

with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map(ask, [client] * 4)
    pool.close()
    pool.join()
assert all(ours not in pair for pair in found), found
assert client.query("chat", {})["connection"] == ours
print("done")
""",
            server.url,
            loop=loop,
        )
    assert printed == "done\n"


@needs_fork
@pytest.mark.parametrize("loop", LOOPS)
def test_a_fork_has_its_own_engine(loop: str) -> None:
    """A gateway within the process opens its own connections to the providers."""
    upstream = MockUpstream()
    try:
        printed = script(
            """
model = {"provider": "openai", "name": "m", "config": {"openai_api_key": "k", "openai_api_base": sys.argv[1]}}
config = {"endpoints": [{"name": "chat", "endpoint_type": "llm/v1/chat", "model": model}]}
hello = {"messages": [{"role": "user", "content": "Hello"}]}
client = MlflowGatewayClient.local(config)

def ask():
    print(client.query("chat", hello)["choices"][0]["message"]["content"], flush=True)

ask()
if not (child := os.fork()):
    ask()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
ask()
""",
            upstream.url,
            loop=loop,
        )
    finally:
        upstream.close()
    assert printed.splitlines() == ["Hello there"] * 3


@needs_fork
def test_a_fork_can_not_use_the_parents_httpx_client() -> None:
    """Its connections are the parent's; the error says what to do."""
    with gateway() as server:
        printed = script(
            """
import httpx
client = MlflowGatewayClient(sys.argv[1], http_client=httpx.AsyncClient())
if not (child := os.fork()):
    try:
        client.health()
    except RuntimeError as error:
        print(error)
    sys.exit()
os.waitpid(child, 0)
""",
            server.url,
        )
    assert "make it anew in the child process" in printed


# The end of the interpreter


ENDINGS = {
    "an open client": 'client = MlflowGatewayClient(url); client.query("chat", {})',
    "the functions' client": 'set_gateway_uri(url); query("chat", {})',
    "an open stream": 'stream = MlflowGatewayClient(url).stream("chat", {"n": 2, "hold_at": 1}); next(stream)',
    "a full stream": 'stream = MlflowGatewayClient(url).stream("chat", {"n": 999}); next(stream)',
    "a client that was never used": "client = MlflowGatewayClient(url)",
    "a daemon thread that waits": """
client = MlflowGatewayClient(url)
stream = client.stream("chat", {"n": 2, "hold_at": 1})
begun = threading.Event()
async def wait():
    begun.set()
    await run_forever()
async def run_forever():
    import asyncio
    await asyncio.sleep(600)
threading.Thread(target=lambda: list(stream), daemon=True).start()
threading.Thread(target=lambda: run(wait), daemon=True).start()
begun.wait()
""",
    "an exit hook that calls": """
import atexit
client = MlflowGatewayClient(url)
atexit.register(lambda: client.query("chat", {}))
client.health()
""",
    "an object that closes in __del__": """
class Owner:
    def __init__(self):
        self.client = MlflowGatewayClient(url)
        self.stream = self.client.stream("chat", {"n": 2, "hold_at": 1})
        self.me = self
    def __del__(self):
        self.stream.close()
        self.client.close()
owner = Owner()
sys.modules["builtins"].owner = owner
""",
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("what", ENDINGS)
def test_the_interpreter_ends_in_silence_with(what: str, loop: str) -> None:
    """No warning, no error and no wait, whatever is still open."""
    with gateway() as server:
        printed = script(f"url = sys.argv[1]\n{ENDINGS[what]}\nprint('end')", server.url, loop=loop)
    assert printed == "end\n"


def test_clients_are_closed_when_the_interpreter_ends() -> None:
    """What they have to write or to send goes out."""
    printed = script(
        """
from gateway_sync._bridge import Bridged

class Connections:
    async def query(self):
        return "answer"
    async def aclose(self):
        print("closed", flush=True)

client = Bridged(Connections())
print(run(client._async.query))
"""
    )
    assert printed.split() == ["answer", "closed"]


def test_a_call_after_the_end_says_so() -> None:
    """Whoever calls after the loop has ended gets an error, and does not wait for ever."""
    printed = script(
        """
import atexit
sys.modules["builtins"].last = type("Last", (), {"__del__": lambda self: after()})()

def after():
    try:
        run(print)
    except RuntimeError as error:
        os.write(1, str(error).encode())
"""
    )
    assert printed == "the interpreter is exiting: the gateway can't be called any more"
