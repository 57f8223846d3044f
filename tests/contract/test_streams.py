"""Streams over HTTP: when they begin, how they end, and what becomes of one that breaks off or is left."""

import asyncio
import gc
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient, ChatChunk, GatewayError
from gateway_async.errors import ConnectionFailed, NotFound
from tests.contract.conftest import Connect
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of, read_into
from tests.support.configs import upstream_route
from tests.support.upstream import CUT, HOLD, MockUpstream, delta, event, stream, words

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


async def test_an_error_within_a_stream_is_raised(connect: Connect, fake: FakeGateway) -> None:
    """After the chunks before it, with the status that it would have had."""
    failure = {
        "detail": "openai broke off",
        "error_code": "BAD_GATEWAY",
        "message": "openai broke off",
        "status": 502,
    }
    fake.answer(stream(delta("Hel"), delta("lo"), event(failure)))
    got: list[ChatChunk] = []

    with pytest.raises(GatewayError, match="openai broke off") as failed:
        await read_into(got, connect(fake.url).stream_chat("chat", HELLO))

    assert [chunk.choices[0].delta.content for chunk in got] == ["Hel", "lo"]
    assert failed.value.status == 502


@pytest.mark.parametrize("end", [CUT, b'data: {"choi'])
async def test_a_stream_that_breaks_off_is_an_error(connect: Connect, fake: FakeGateway, end: Any) -> None:
    """Never a silent end."""
    fake.answer(stream(delta("Hel"), end))
    got: list[Any] = []

    with pytest.raises(ConnectionFailed):
        await read_into(got, connect(fake.url).stream("chat", HELLO))

    assert len(got) == 1
    assert fake.count == 1


async def test_a_stream_that_falls_silent_times_out(connect: Connect, fake: FakeGateway) -> None:
    """`timeout` is the longest wait for one chunk."""
    fake.answer(stream(delta("Hel"), HOLD))
    got: list[Any] = []

    with pytest.raises(GatewayError, match=r"1\.5 seconds"):
        await read_into(got, connect(fake.url, timeout=1.5).stream("chat", HELLO))

    assert len(got) == 1


async def test_a_stream_may_take_longer_than_the_timeout(connect: Connect, fake: FakeGateway) -> None:
    """As long as chunks come."""
    fake.answer(words(*["word"] * 8, pace=0.25))

    assert len(await all_of(connect(fake.url, timeout=1.5).stream("chat", HELLO))) == 9


async def test_a_stream_that_is_left_closes_its_connection(connect: Connect, fake: FakeGateway) -> None:
    """So that the gateway can stop as well."""
    fake.answer(stream(delta("Hel"), HOLD))

    async with connect(fake.url).stream("chat", HELLO) as chunks:
        async for _chunk in chunks:
            break

    assert fake.left(fake.request())


async def test_a_stream_is_not_called_before_it_is_used(fake: FakeGateway) -> None:
    """`await` makes the call, so that a refusal shows there; once closed it is at its end."""
    fake.answer(words("Hello"))
    async with AsyncGatewayClient(fake.url) as client:
        unused = client.stream("chat", HELLO)
        assert fake.count == 0

        opened = await unused
        assert fake.count == 1
        await opened.aclose()
        await opened.aclose()
        assert [chunk async for chunk in opened] == []

        fake.answer(refused(404))
        with pytest.raises(NotFound):
            await client.stream("chat", HELLO)


async def test_done_ends_a_stream(connect: Connect, fake: FakeGateway) -> None:
    """As OpenAI's servers end theirs; nothing is read beyond."""
    fake.answer(words("Hello"))

    assert len(await all_of(connect(fake.url).stream("chat", HELLO))) == 2


@pytest.mark.parametrize("way", ["http", "local"])
async def test_a_stream_that_is_left_and_forgotten_is_closed(upstream: MockUpstream, way: str) -> None:
    """Nobody has to know that `async for` closes nothing when it is left."""
    upstream.reply(stream(delta("Hello"), HOLD))
    local = AsyncGatewayClient.local({"endpoints": [upstream_route("chat", "chat", upstream.url)]})
    # Over HTTP the upstream stands for the gateway: its chunks look alike.
    async with local if way == "local" else AsyncGatewayClient(upstream.url) as client:
        async for chunk in client.stream("chat", HELLO):
            assert chunk["choices"][0]["delta"]["content"] == "Hello"
            break
        gc.collect()
        await asyncio.to_thread(upstream.left, upstream.request())
