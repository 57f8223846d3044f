"""A blocking stream: one task on the loop owns it from open to close, and whoever leaves it ends that task."""

import asyncio
import gc
import pickle
import sys
import threading
from queue import SimpleQueue
from typing import Any

import anyio
import pytest

from gateway_async import AsyncStream
from gateway_async.errors import RateLimited
from gateway_sync import _loop, streaming
from gateway_sync._bridge import Bridged, run
from gateway_sync.streaming import MOST
from tests.support.server import wait_until
from tests.sync.sources import SOON, Chunks, Connections, forever, interrupt_and_wait, nothing, stream


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

    def collected() -> bool:
        gc.collect()  # which does nothing while another thread's collection is under way
        return source.closed.wait(0.1)

    wait_until(collected, SOON, "the stream stayed open")


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


def test_a_stream_holds_its_client() -> None:
    """`for chunk in Client().stream(…)` drops the client before the first chunk: its connections must stay."""
    held, source = Connections(), Chunks(2, then=forever)
    opened = stream(source, holder=Bridged(held))

    assert next(opened) == {"i": 0}
    run(nothing)
    assert not held.closed.is_set()

    del opened
    assert held.closed.wait(SOON)


def test_an_open_stream_can_not_be_pickled() -> None:
    """The message says what can be."""
    with stream(Chunks(1)) as opened, pytest.raises(TypeError, match="Pickle the client"):
        pickle.dumps(opened)
