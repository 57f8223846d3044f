"""The engine in front of an upstream that fails: what its callers get, and what the upstream sees of them."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_async import sse
from gateway_async.call import Answer, StreamAnswer
from gateway_async.config import GatewayConfig
from gateway_async.errors import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway_async.gateway import Gateway
from tests.faults.chaos import (
    END,
    PATIENCE,
    SOON,
    Chaos,
    Peer,
    Script,
    answer,
    answering,
    chunk,
    full_backlog,
    once,
    stalled,
    until,
)
from tests.support.configs import HELLO, KEY, upstream_route
from tests.support.ports import closed_port
from tests.support.upstream import DONE, chat, delta, event

Start = Callable[..., Awaitable[Chaos]]

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHAT = answer(chat("Hello").body)
WORDS = delta("one"), delta("two"), delta(finish="stop")


@asynccontextmanager
async def serving(url: str, **seconds: float) -> AsyncIterator[Gateway]:
    """An engine with one route to this address."""
    timeouts = {"connect": PATIENCE, "first_byte": PATIENCE, "idle": PATIENCE, "total": PATIENCE, **seconds}
    async with Gateway(config(url, timeouts)) as gateway:
        yield gateway


def config(url: str, timeouts: dict[str, float]) -> GatewayConfig:
    """One route to this address."""
    return GatewayConfig.model_validate(
        {"endpoints": [upstream_route("chat", "chat", url, timeouts=timeouts)]}
    )


async def ask(gateway: Gateway) -> bytes:
    """A whole answer."""
    answer = await gateway.handle(gateway.find("chat"), dict(HELLO))
    assert isinstance(answer, Answer)
    return answer.body


async def stream(gateway: Gateway) -> StreamAnswer:
    """A streamed answer, of which the first chunk is there."""
    answer = await gateway.handle(gateway.find("chat"), {**HELLO, "stream": True})
    assert not isinstance(answer, Answer)
    return answer


async def read(answer: StreamAnswer, into: list[str] | None = None) -> list[str]:
    """The words of a stream; those before a failure are in `into`."""
    words = [] if into is None else into
    async for batch in answer:
        for one in batch:
            for choice in json.loads(one)["choices"]:
                words.append(choice["delta"].get("content") or choice["finish_reason"])
    return words


async def at_rest(gateway: Gateway) -> None:
    """Wait until no connection is busy: the ends of all answers have come."""
    pool = gateway._upstream._direct._pool
    assert pool is not None
    await until(lambda: not pool._busy)


def streaming(*events: bytes, end: bytes = END) -> Script:
    """Answer each request with these events, each in a chunk of its own."""
    return answering(EVENTS + b"".join(chunk(one) for one in events) + end)


# What works, and connections that serve again.


async def test_whole_answers_share_a_connection(upstream: Start) -> None:
    """One after the other needs no second one."""
    server = await upstream(answering(CHAT))
    async with serving(server.url) as gateway:
        for _ in range(5):
            assert b"Hello" in await ask(gateway)
    assert server.connections == 1
    await server.peers[0].gone()


async def test_the_connection_of_a_finished_stream_serves_the_next_call(
    upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the last bytes, which say only that it is over, come after the caller has left."""
    monkeypatch.setattr("gateway_async.http1.connection.LINGER_SECONDS", PATIENCE)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(EVENTS + b"".join(map(chunk, WORDS)) + chunk(DONE))
            await asyncio.sleep(0.02)
            await peer.send(END)

    server = await upstream(script)
    async with serving(server.url) as gateway:
        for _ in range(4):
            answer = await stream(gateway)
            assert await read(answer) == ["one", "two", "stop"]
            await answer.aclose()
            await at_rest(gateway)
    assert server.connections == 1


async def test_the_connection_of_an_unfinished_stream_serves_nobody(upstream: Start) -> None:
    """It is closed when its caller leaves, read or unread."""
    server = await upstream(streaming(*WORDS, end=b""))
    async with serving(server.url) as gateway:
        for number in range(3):
            answer = await stream(gateway)
            if number:
                assert await anext(aiter(answer))
            await answer.aclose()
            assert await server.peers[number].gone() < SOON
            await answer.aclose()
    assert [len(peer.asked) for peer in server.peers] == [1, 1, 1]


async def test_events_may_be_cut_anywhere(upstream: Start) -> None:
    """Byte by byte, also within a character."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(EVENTS)
        for byte in delta("Grüße, 世界 🌍") + delta(finish="stop") + DONE:
            await peer.send(chunk(bytes([byte])))
        await peer.send(END)

    server = await upstream(script)
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        assert await read(answer) == ["Grüße, 世界 🌍", "stop"]
        await answer.aclose()


# Streams that break.


BREAKS: dict[str, tuple[bytes, str, type[UpstreamError]]] = {
    "closes": (b"", "close", UpstreamUnavailable),
    "resets": (b"", "reset", UpstreamUnavailable),
    "closes within an event": (b"5\r\nda", "close", UpstreamUnavailable),
    "ends without its mark": (END, "hold", UpstreamInvalid),
    "ends within an event": (chunk(delta("three")[:20]) + END, "hold", UpstreamInvalid),
    "ends within a character": (chunk('data: {"ü'.encode()[:-1]) + END, "hold", UpstreamInvalid),
    "is no HTTP any more": (b"zz\r\n", "hold", UpstreamInvalid),
    "is no JSON": (chunk(b"data: {oops\n\n"), "hold", UpstreamInvalid),
    "is no UTF-8": (chunk(b'data: {"a": "\xff"}\n\n'), "hold", UpstreamInvalid),
    "is no chunk": (chunk(b"data: [1, 2]\n\n"), "hold", UpstreamInvalid),
    "reports an error": (chunk(event({"error": {"message": "overloaded"}})), "hold", UpstreamError),
}
"""How a stream may fail behind its first events: bytes, what the connection does then, and the error."""


@pytest.mark.parametrize("name", BREAKS)
async def test_a_stream_that_breaks_gives_its_chunks_and_then_the_error(name: str, upstream: Start) -> None:
    """Nothing that came is lost, nothing is made up, and the connection serves no more."""
    data, then, kind = BREAKS[name]
    server = await upstream(once(EVENTS + chunk(delta("one")) + chunk(delta("two")) + data, then=then))
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        words: list[str] = []

        with pytest.raises(kind) as failed:
            await read(answer, words)
        await answer.aclose()

        assert type(failed.value) is kind
        assert words == ["one", "two"]
        assert KEY not in str(failed.value)
        await server.peers[0].gone()


@pytest.mark.parametrize("name", BREAKS)
async def test_a_stream_that_breaks_before_its_first_chunk_is_an_error(name: str, upstream: Start) -> None:
    """Not a stream that fails: the caller gets a status."""
    data, then, kind = BREAKS[name]
    server = await upstream(once(EVENTS + data, then=then))
    async with serving(server.url) as gateway:
        with pytest.raises(kind):
            await stream(gateway)
        await server.peers[0].gone()


async def test_an_event_without_an_end_is_refused(upstream: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the memory."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 2**20)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(EVENTS + chunk(delta("one")) + chunk(b"data: "))
        while True:
            await peer.send(chunk(b"x" * 2**16))

    server = await upstream(script)
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        with pytest.raises(UpstreamInvalid, match="larger than"):
            await read(answer)
        await answer.aclose()
        await server.peers[0].gone()


async def test_an_error_in_place_of_a_stream_keeps_its_status(upstream: Start) -> None:
    """The provider's own words and its `Retry-After`."""
    body = b'{"error": {"message": "slow down"}}'
    server = await upstream(answering(answer(body, status="429 Too Many", headers=b"Retry-After: 7\r\n")))
    async with serving(server.url) as gateway:
        for call in (ask, stream):
            with pytest.raises(UpstreamRefused, match="slow down") as refused:
                await call(gateway)
            assert (refused.value.status, refused.value.retry_after) == (429, 7)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (answer(b"{}"), UpstreamInvalid),
        (answer(b'{"choices": [{"message": {"content": "\xff"}}]}'), UpstreamInvalid),
        (answer(b'{"choices": "many"}'), UpstreamInvalid),
        (answer(b'{"error": {"message": "oops"}}'), UpstreamError),
        (answer(b"<html>"), UpstreamInvalid),
        (answer(b""), UpstreamInvalid),
        (b"HTTP/1.1 204 No Content\r\n\r\n", UpstreamInvalid),
        (answer(b"", status="302 Found", headers=b"Location: /\r\n"), UpstreamInvalid),
        (answer(chat("x").body[:-5]), UpstreamInvalid),
    ],
)
async def test_a_whole_answer_that_is_none_is_an_error(
    data: bytes, kind: type[UpstreamError], upstream: Start
) -> None:
    """A status of 200 does not make an answer; the connection is in order and serves again."""
    server = await upstream(answering(data, CHAT))
    async with serving(server.url) as gateway:
        with pytest.raises(kind):
            await ask(gateway)
        assert b"Hello" in await ask(gateway)
    assert server.connections == 1


# Callers who leave.


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 2", EVENTS, EVENTS + chunk(b": wait\n\n"), EVENTS + chunk(delta("one")[:9])]
)
@pytest.mark.parametrize("call", [ask, stream])
async def test_a_call_that_is_cancelled_leaves_its_upstream_at_once(
    call: Callable[[Gateway], Awaitable[Any]], data: bytes, upstream: Start
) -> None:
    """Wherever the answer stands: the provider need not go on for nobody."""
    server = await upstream(once(data))
    async with serving(server.url) as gateway:
        calling = asyncio.ensure_future(call(gateway))
        await until(lambda: server.asked)
        await asyncio.sleep(0.03)
        calling.cancel()

        left = await server.peers[0].gone()

        assert left < SOON
        with pytest.raises(asyncio.CancelledError):
            await calling


async def test_a_stream_whose_reader_is_cancelled_leaves_its_upstream_at_once(upstream: Start) -> None:
    """Also while it waits for the next chunk."""
    server = await upstream(once(EVENTS + chunk(delta("one"))))
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        reading = asyncio.create_task(read(answer))
        await asyncio.sleep(0.05)
        reading.cancel()

        assert await server.peers[0].gone() < SOON
        with pytest.raises(asyncio.CancelledError):
            await reading
        await answer.aclose()


async def test_a_slow_reader_slows_its_upstream_and_nobody_else(upstream: Start) -> None:
    """What is held for it is bounded, and other calls go on."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if server.connections > 1:
            await peer.send(CHAT)
            await answering(CHAT)(peer)
        await peer.send(EVENTS)
        piece = chunk(delta("word " * 1000))
        while True:
            await peer.send(piece)

    server = await upstream(script)
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        sent = await stalled(server.peers[0], below=2**24)  # what the kernel's buffers hold
        for _ in range(20):
            assert b"Hello" in await ask(gateway)

        assert server.peers[0].sent == sent
        assert await anext(aiter(answer))
        await answer.aclose()
        assert await server.peers[0].gone() < SOON


# Each timeout.


async def test_connecting_has_a_limit() -> None:
    """A host that does not answer, and one that refuses."""
    with full_backlog() as port:
        async with serving(f"http://127.0.0.1:{port}", connect=0.15) as gateway:
            for call in (ask, stream):
                began = time.monotonic()
                with pytest.raises(UpstreamTimeout, match=r"could not be reached within 0\.15 s"):
                    await call(gateway)
                assert 0.14 < time.monotonic() - began < SOON
    async with serving(f"http://127.0.0.1:{closed_port()}") as gateway:
        with pytest.raises(UpstreamUnavailable, match="Connection refused"):
            await ask(gateway)


async def test_the_first_byte_has_a_limit(upstream: Start) -> None:
    """Of a stream that is its first token: headers alone are none."""

    async def wait(data: bytes) -> None:
        server = await upstream(once(data))
        async with serving(server.url, first_byte=0.15, total=0.3) as gateway:
            for call in (ask, stream):
                began = time.monotonic()
                with pytest.raises(UpstreamTimeout):
                    await call(gateway)
                assert 0.14 < time.monotonic() - began < SOON
            for peer in server.peers:
                await peer.gone()

    await asyncio.gather(*map(wait, (b"", b"HTTP/1.1 200 OK\r\n", EVENTS, EVENTS + b"5\r\n")))


async def test_a_pause_within_a_stream_has_a_limit(upstream: Start) -> None:
    """The chunks before it were given."""
    server = await upstream(once(EVENTS + chunk(delta("one"))))
    async with serving(server.url, idle=0.15) as gateway:
        answer = await stream(gateway)
        words: list[str] = []
        began = time.monotonic()

        with pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.15 s"):
            await read(answer, words)

        assert 0.14 < time.monotonic() - began < SOON
        assert words == ["one"]
        await answer.aclose()


async def test_a_whole_answer_has_a_limit_in_all(upstream: Start) -> None:
    """Though the upstream sends something all the time."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.drip(CHAT, pause=0.05)

    server = await upstream(script)
    async with serving(server.url, total=1) as gateway:
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await ask(gateway)
        assert 0.99 < time.monotonic() - began < SOON
    await server.peers[0].gone()


async def test_a_stream_may_take_longer_than_a_whole_answer(upstream: Start) -> None:
    """For as long as it goes on."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(EVENTS)
        for one in (*WORDS, DONE):
            await peer.send(chunk(one))
            await asyncio.sleep(0.35)
        await peer.send(END)

    server = await upstream(script)
    async with serving(server.url, first_byte=1, idle=1, total=1) as gateway:
        answer = await stream(gateway)
        assert await read(answer) == ["one", "two", "stop"]
        await answer.aclose()


# The engine itself.


async def test_closing_fails_the_calls_under_way(upstream: Start) -> None:
    """With an error of ours, at once; the engine can be used again."""
    server = await upstream(once(EVENTS + chunk(delta("one"))))
    async with serving(server.url) as gateway:
        answer = await stream(gateway)
        reading = asyncio.create_task(read(answer))
        waiting = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.05)

        await gateway.aclose()

        for task in (reading, waiting):
            with pytest.raises(UpstreamUnavailable):
                await task
        await answer.aclose()
        again = await stream(gateway)
        await again.aclose()


async def test_calls_under_way_outlive_a_reload(upstream: Start) -> None:
    """The next call goes by the new configuration, on connections of the same pool."""
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(EVENTS + chunk(WORDS[0]))
        await go.wait()
        await peer.send(chunk(WORDS[1]) + chunk(WORDS[2]) + chunk(DONE) + END)
        await answering(CHAT)(peer)

    server, other = await upstream(script), await upstream(answering(answer(chat("Other").body)))
    async with serving(server.url) as gateway:
        streamed = await stream(gateway)
        gateway.serve(config(other.url, {}).routes)
        assert b"Other" in await ask(gateway)
        go.set()
        assert await read(streamed) == ["one", "two", "stop"]
        await streamed.aclose()
        gateway.serve(config(server.url, {}).routes)
        await at_rest(gateway)
        assert b"Hello" in await ask(gateway)
    assert server.connections == 1


async def test_in_a_storm_of_faults_each_call_ends_in_an_answer_or_an_error(upstream: Start) -> None:
    """Calls of both kinds, some of them cancelled, on an upstream that does something else each time."""
    chance = random.Random(7)
    whole = EVENTS + b"".join(map(chunk, (*WORDS, DONE))) + END

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            good = whole if b'"stream":true' in asked.body else CHAT
            match chance.randrange(10):
                case 0:
                    return
                case 1:
                    await peer.reset()
                case 2:
                    await peer.send(good[: chance.randrange(len(good))])
                    return
                case 3:
                    await peer.send(good[: chance.randrange(len(good))])
                    await peer.gone()
                case 4:
                    await peer.send(good + good)
                case 5:
                    await peer.send(chance.randbytes(200))
                case 6:
                    await peer.drip(good)
                case 7:
                    await peer.send(good[:100])
                    await asyncio.sleep(0.01)
                    await peer.send(good[100:])
                case _:
                    await peer.send(good)

    async def call(gateway: Gateway, number: int) -> str:
        try:
            async with asyncio.timeout(chance.uniform(0, 0.01) if number % 7 == 0 else 60):
                if number % 2:
                    assert b"Hello" in await ask(gateway)
                    return "answered"
                answer = await stream(gateway)
                try:
                    assert await read(answer) == ["one", "two", "stop"]
                finally:
                    await answer.aclose()
                return "answered"
        except UpstreamError:
            return "failed"
        except TimeoutError:
            return "cancelled"

    async def caller(gateway: Gateway, first: int) -> list[str]:
        return [await call(gateway, number) for number in range(first, first + 25)]

    server = await upstream(script)
    async with serving(server.url, first_byte=0.5, idle=0.5, total=0.5) as gateway:
        callers = await asyncio.gather(*(caller(gateway, 25 * number) for number in range(20)))
    outcomes = list(itertools.chain.from_iterable(callers))
    assert len(outcomes) == 500
    assert outcomes.count("answered") > 100
    assert outcomes.count("failed") > 100
    assert outcomes.count("cancelled") > 5
    for peer in server.peers:
        await peer.gone()
