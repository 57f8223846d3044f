"""Limits on tokens: what calls used is counted when they end, in whatever way they do."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest

from gateway_async.call import Answer, StreamAnswer
from gateway_async.errors import RateLimited, UpstreamError, UpstreamRefused
from gateway_async.stores.base import Window
from gateway_async.stores.shared_memory import SharedMemoryCounters
from tests.policies.limited import Failing, call, gateway_of, passes
from tests.support.configs import HELLO, upstream_route
from tests.support.tasks import others_done
from tests.support.upstream import (
    CUT,
    DONE,
    GATE,
    HOLD,
    MockUpstream,
    Script,
    chat,
    delta,
    error,
    event,
    json_reply,
    stream,
)

Json = dict[str, Any]

MANY = 1000
USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
FRAME = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-mock"}
LAST = event({**FRAME, "choices": [], "usage": USAGE})
TOLD = stream(delta("Hello"), delta(" there"), delta(finish="stop"), LAST, DONE)
ASKED: Json = {"stream": True, "stream_options": {"include_usage": True}}


def route(upstream: MockUpstream, kind: str = "chat", tokens: int = MANY, **more: Any) -> Json:
    """A route to the mock upstream that may use so many tokens in a minute."""
    limit = {"tokens": tokens, "renewal_period": "minute"}
    return upstream_route(kind, kind, upstream.url, limits=[limit], **more)


class Ledger(SharedMemoryCounters):
    """Counters that remember what was added."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self.added: list[int] = []

    def _add(self, windows: Sequence[Window], amount: int) -> None:
        self.added.append(amount)
        super()._add(windows, amount)


async def streamed(answer: Answer | StreamAnswer) -> list[Json]:
    """The chunks of a stream, read to its end."""
    assert not isinstance(answer, Answer)
    try:
        return [json.loads(chunk) async for batch in answer for chunk in batch]
    finally:
        await answer.aclose()


def text(chunks: Sequence[Json]) -> str:
    """What the chunks add up to."""
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


# --- whole answers -------------------------------------------------------------------------------------------------


async def test_calls_pass_while_tokens_are_left(upstream: MockUpstream) -> None:
    """Each uses 5; the third meets a limit of 10, and the one that had a single one left could pass."""
    async with gateway_of(route(upstream, tokens=10)) as gateway:
        first = await call(gateway)
        second = await call(gateway)
        with pytest.raises(RateLimited, match="its limit is 10 tokens per minute; call again in") as refused:
            await call(gateway)

    assert dict(first.headers)["ratelimit-remaining"] == "10"
    assert dict(second.headers)["ratelimit-remaining"] == "5"
    assert dict(refused.value.headers)["ratelimit-remaining"] == "0"
    assert len(upstream.received) == 2


async def test_calls_and_tokens_of_one_limit_both_hold(upstream: MockUpstream) -> None:
    """Whichever is used up first."""
    both = [{"calls": 2, "tokens": 100, "renewal_period": "minute"}]
    async with gateway_of(upstream_route("chat", "chat", upstream.url, limits=both)) as gateway:
        assert [await passes(gateway) for _ in range(3)] == [True, True, False]
    both = [{"calls": 100, "tokens": 10, "renewal_period": "minute"}]
    async with gateway_of(upstream_route("chat", "chat", upstream.url, limits=both)) as gateway:
        assert [await passes(gateway) for _ in range(3)] == [True, True, False]


async def test_embeddings_count_by_their_prompt(upstream: MockUpstream) -> None:
    """They have no completion."""
    rows = [{"index": 0, "object": "embedding", "embedding": [0.1] * 100}]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    upstream.reply(json_reply({"object": "list", "model": "m", "data": rows, "usage": usage}))
    counters = Ledger()
    async with gateway_of(route(upstream, "embeddings"), counters=counters) as gateway:
        await call(gateway, route="embeddings", data={"input": "Hello"})

    assert counters.added == [7]


async def test_an_answer_that_tells_no_usage_is_estimated(upstream: MockUpstream) -> None:
    """A token for every four bytes of what was asked and what was said."""
    upstream.reply(chat("x" * 400, usage=None))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        await call(gateway, data={"messages": [{"role": "user", "content": "y" * 200}]})

    assert counters.added == [150]


async def test_a_call_that_fails_uses_nothing(upstream: MockUpstream) -> None:
    """It has no answer."""
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        for reply in (error(500), error(400), stream(CUT)):
            upstream.reply(reply)
            for streams in (False, True):
                with pytest.raises(UpstreamError):
                    await call(gateway, stream=streams)

    assert counters.added == []


async def test_a_caller_who_leaves_before_the_answer_has_used_the_prompt(upstream: MockUpstream) -> None:
    """The provider may have begun; else nobody who leaves in time would meet a limit."""
    upstream.reply(chat(before=HOLD))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        waiting = asyncio.create_task(
            call(gateway, data={"messages": [{"role": "user", "content": "y" * 80}]})
        )
        await asyncio.to_thread(upstream.request)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert counters.added == [20]


async def test_a_caller_who_leaves_a_queue_has_used_nothing(upstream: MockUpstream) -> None:
    """No provider has heard of its call."""
    upstream.reply(chat(before=HOLD))
    counters = Ledger()
    async with gateway_of({**route(upstream), "concurrency": {"max": 1}}, counters=counters) as gateway:
        first, second = (asyncio.create_task(call(gateway)) for _ in range(2))
        await asyncio.to_thread(upstream.request)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert counters.added == []
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    assert len(upstream.received) == 1
    assert len(counters.added) == 1


# --- streams -------------------------------------------------------------------------------------------------------


async def test_a_stream_counts_by_its_last_chunk(upstream: MockUpstream) -> None:
    """A caller who asks for that gets it, and every chunk as it came."""
    upstream.reply(TOLD)
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        chunks = await streamed(await call(gateway, **ASKED))

    assert chunks[-1]["usage"] == USAGE
    assert text(chunks) == "Hello there"
    assert counters.added == [42]


async def test_the_usage_is_asked_for_where_the_caller_does_not(upstream: MockUpstream) -> None:
    """Who gets no chunk that it did not ask for; what else it asked for goes upstream."""
    upstream.reply(TOLD)
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        plain = await streamed(await call(gateway, stream=True))
        options = {"include_usage": False, "include_obfuscation": False}
        await streamed(await call(gateway, stream=True, stream_options=options))

    first, second = (request.json for request in upstream.received)
    assert first == {"model": "gpt-mock", **HELLO, **ASKED}
    assert second["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert [chunk for chunk in plain if not chunk["choices"]] == []
    assert text(plain) == "Hello there"
    assert counters.added == [42, 42]


async def test_options_that_are_none_are_as_good_as_absent(upstream: MockUpstream) -> None:
    """Clients send null for what they leave out."""
    upstream.reply(TOLD)
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        await streamed(await call(gateway, stream=True, stream_options=None))

    assert upstream.received[0].json["stream_options"] == {"include_usage": True}
    assert counters.added == [42]


async def test_a_limit_on_calls_adds_nothing_for_a_stream(upstream: MockUpstream) -> None:
    """What it counts is known before."""
    counters = Ledger()
    upstream.reply(TOLD)
    limit = {"calls": 10, "renewal_period": "minute"}
    one = upstream_route("chat", "chat", upstream.url, limit=limit)
    async with gateway_of(one, counters=counters) as gateway:
        chunks = await streamed(await call(gateway, stream=True))

    assert text(chunks) == "Hello there"
    assert counters.added == []


async def test_a_provider_that_refuses_to_be_asked_is_not_asked_again(upstream: MockUpstream) -> None:
    """Azure's older versions do; the call goes on without, and what it used is estimated."""
    refusal = {"error": {"message": "Unrecognized request argument supplied: stream_options"}}
    upstream.reply(json_reply(refusal, 400, before=GATE))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        answering = asyncio.create_task(call(gateway, stream=True))
        await asyncio.to_thread(upstream.request)
        upstream.answer_with(stream(delta("Hello"), delta(" there"), delta(finish="stop"), DONE))
        upstream.open_gate()
        first = await streamed(await answering)
        await streamed(await call(gateway, stream=True))

    assert text(first) == "Hello there"
    assert ["stream_options" in request.json for request in upstream.received] == [True, False, False]
    assert counters.added == [3 + 3] * 2


async def test_a_refusal_that_only_says_the_word_changes_nothing(upstream: MockUpstream) -> None:
    """A caller who makes the provider say it would be counted by an estimate from then on, and so would all."""
    upstream.reply(error(400, "no such model: stream_options"))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        with pytest.raises(UpstreamRefused):
            await call(gateway, stream=True)
        upstream.answer_with(TOLD)
        await streamed(await call(gateway, stream=True))

    assert counters.added == [42]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([delta("x" * 40), delta("y" * 40), CUT], id="broken off"),
        pytest.param([delta("x" * 40), delta("y" * 40), event({"error": {"message": "no"}})], id="failed"),
        pytest.param([delta("x" * 40), delta("y" * 40), delta(finish="stop"), DONE], id="silent"),
    ],
)
async def test_a_stream_that_does_not_tell_is_estimated(script: Script, upstream: MockUpstream) -> None:
    """By the prompt, and by what it brought; once."""
    upstream.reply(stream(*script))
    counters = Ledger()
    data = {"messages": [{"role": "user", "content": "y" * 400}]}
    async with gateway_of(route(upstream), counters=counters) as gateway:
        with suppress(UpstreamError):
            await streamed(await call(gateway, data=data, stream=True))

    assert counters.added == [100 + 20]


async def test_a_caller_who_leaves_a_stream_has_used_what_came(upstream: MockUpstream) -> None:
    """It closes the stream, perhaps twice; what was used counts at once, and the next call meets the limit."""
    upstream.reply(stream(*(delta("x" * 40) for _ in range(10)), GATE, LAST, DONE))
    counters = Ledger()
    async with gateway_of(route(upstream, tokens=4), counters=counters) as gateway:
        answer = await call(gateway, stream=True)
        assert not isinstance(answer, Answer)
        await anext(answer)
        await answer.aclose()
        await answer.aclose()
        assert not await passes(gateway)

    assert len(counters.added) == 1


async def test_a_caller_who_is_cancelled_within_a_stream_is_counted(upstream: MockUpstream) -> None:
    """Though nothing can be waited for any more."""
    upstream.reply(stream(delta("Hello"), HOLD))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        answer = await call(gateway, stream=True)
        assert not isinstance(answer, Answer)
        await anext(answer)
        reading = asyncio.create_task(streamed(answer))
        await asyncio.sleep(0)  # it waits for more now
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await others_done()
        assert len(counters.added) == 1


async def test_usage_in_every_chunk_counts_once(upstream: MockUpstream) -> None:
    """Some providers tell it each time, as it is so far; the chunks that say something else too stay."""
    chunks = [
        event(
            {
                **FRAME,
                "choices": [
                    {"index": 0, "delta": {"content": "x"}, "finish_reason": None if n < 3 else "stop"}
                ],
                "usage": {"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n},
            }
        )
        for n in (1, 2, 3)
    ]
    upstream.reply(stream(*chunks, DONE))
    counters = Ledger()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        got = await streamed(await call(gateway, stream=True))

    assert text(got) == "xxx"
    assert counters.added == [8]


# --- how it is counted ---------------------------------------------------------------------------------------------


async def test_the_end_of_the_gateway_waits_until_all_is_counted(upstream: MockUpstream) -> None:
    """Nobody else would."""

    class Slow(Ledger):
        async def add(self, windows: Sequence[Window], amount: int) -> None:
            await asyncio.sleep(0.05)
            await super().add(windows, amount)

        def add_now(self, windows: Sequence[Window], amount: int) -> bool:
            return False

    counters = Slow()
    async with gateway_of(route(upstream), counters=counters) as gateway:
        await call(gateway)
        assert counters.added == []

    assert counters.added == [5]


async def test_an_answer_does_not_wait_for_its_count(upstream: MockUpstream, tmp_path: Path) -> None:
    """Another process may hold the counters just then; it is counted when they are free."""
    upstream.reply(chat(before=GATE))
    counters = Ledger(tmp_path / "counters")
    async with gateway_of(route(upstream, tokens=5), counters=counters) as gateway:
        answering = asyncio.create_task(call(gateway))
        await asyncio.to_thread(upstream.request)
        with (tmp_path / "counters").open("rb") as other:
            flock(other, LOCK_EX)
            upstream.open_gate()
            assert isinstance(await answering, Answer)
            assert counters.added == []
        await others_done()
        assert not await passes(gateway)

    assert counters.added == [5]


async def test_what_can_not_be_counted_harms_no_answer(
    upstream: MockUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has its answer; the log says once that limits are not counted."""
    counters = Failing(SharedMemoryCounters())
    async with gateway_of(route(upstream), counters=counters) as gateway:
        for _ in range(3):
            assert isinstance(await call(gateway), Answer)

    assert len([record for record in caplog.records if "limits can't be counted" in record.message]) == 1
