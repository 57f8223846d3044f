"""Routes with several destinations: who answers when one fails, over real sockets."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest

from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError, RateLimited, Unavailable, UnsupportedParameter, UpstreamError
from tests.policies.destined import (
    ask,
    asked,
    claude,
    gateway_of,
    in_order,
    key,
    model,
    open_stream,
    read_text,
    text_of,
    through,
    told,
)
from tests.support.configs import HELLO
from tests.support.ports import closed_port
from tests.support.upstream import (
    CUT,
    DONE,
    GATE,
    HOLD,
    MockUpstream,
    Reply,
    chat,
    delta,
    error,
    event,
    json_reply,
    stream,
    words,
)

Upstreams = list[MockUpstream]

RETRIED = [408, 429, 500, 502, 503, 504, 529]


def nobody() -> str:
    """An address where nobody listens."""
    return f"http://127.0.0.1:{closed_port()}"


async def test_a_destination_that_is_not_there_is_passed_over(upstreams: Upstreams) -> None:
    """The answer tells who gave it, and that it took two attempts."""
    async with gateway_of(through(nobody(), upstreams[0])) as gateway:
        answer = await ask(gateway)
        assert told(answer) == ("openai/m1", 2)
        assert text_of(answer) == "I am 0"


@pytest.mark.parametrize("status", [*RETRIED, 401, 404])
async def test_a_failure_goes_to_the_next(upstreams: Upstreams, status: int) -> None:
    """Whole answers and streams alike."""
    first, second, _ = upstreams
    first.reply(error(status))
    async with gateway_of(through(first, second)) as gateway:
        assert told(await ask(gateway)) == ("openai/m1", 2)
        second.answer_with(words("Hi"))
        answer = await open_stream(gateway)
        assert told(answer) == ("openai/m1", 2)
        assert await read_text(answer) == "Hi"
    assert asked(first, second) == [2, 2]


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_what_is_the_callers_fault_goes_nowhere(upstreams: Upstreams, status: int) -> None:
    """It is told as the one that was asked told it; no breaker counts it."""
    first, second, _ = upstreams
    first.reply(error(status, "bad request"))
    async with gateway_of(through(first, second, retry={}, breaker={"failures": 1})) as gateway:
        for _ in range(3):
            with pytest.raises(UpstreamError, match="bad request") as refused:
                await ask(gateway)
            assert told(refused.value) == ("openai/m0", 1)
    assert asked(first, second) == [3, 0]


REFUSED = {
    "context_length": {"code": "context_length_exceeded", "message": "maximum context length is 10 tokens"},
    "content_policy": {"code": "content_policy_violation", "message": "not that"},
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refusal_goes_on_where_the_route_says_so(
    upstreams: Upstreams, reason: str, streamed: bool
) -> None:
    """Not otherwise; and never to the same destination, nor is it a failure of that."""
    first, second, _ = upstreams
    refusal = json_reply({"error": {"type": "invalid_request_error", **REFUSED[reason]}}, 400)
    second.reply(words("Hi") if streamed else chat())

    async def call(gateway: Any) -> tuple[str, int]:
        return told(await (open_stream(gateway) if streamed else ask(gateway)))

    for falls in ([reason], ["failure", "timeout", "rate_limit"]):
        first.reply(refusal)
        route = through(first, second, fallback_on=falls, retry={}, breaker={"failures": 1})
        async with gateway_of(route) as gateway:
            for _ in range(2):
                if falls == [reason]:
                    assert await call(gateway) == ("openai/m1", 2)
                else:
                    with pytest.raises(UpstreamError) as refused:
                        await call(gateway)
                    assert told(refused.value) == ("openai/m0", 1)
                    assert refused.value.refusal == reason
        assert asked(first) == [2]


@pytest.mark.parametrize("status", RETRIED)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_may_pass_is_tried_again(upstreams: Upstreams, status: int, streamed: bool) -> None:
    """On the one destination that there is, until it answers."""
    first = upstreams[0]
    first.reply(words("Hi") if streamed else chat())
    first.first(error(status), error(status))
    async with gateway_of(through(first, retry={"attempts": 3})) as gateway:
        answer = await (open_stream(gateway) if streamed else ask(gateway))
        assert told(answer) == ("openai/m0", 3)
        if not streamed:
            return
        assert await read_text(answer) == "Hi"  # type: ignore[arg-type] # it is a stream


UNSAFE: dict[str, Reply] = {
    "broken off before its status": Reply(before=CUT),
    "broken off after it": stream(CUT),
    "half an answer": Reply(b'{"choices":', headers={"content-length": "100"}),
    "no answer of a model": Reply(b"<html>Welcome</html>", content_type="text/html"),
}


@pytest.mark.parametrize("reply", UNSAFE.values(), ids=UNSAFE)
async def test_what_may_have_been_begun_is_not_tried_again_there(upstreams: Upstreams, reply: Reply) -> None:
    """The provider may have worked on it; another destination is asked all the same."""
    first, second, _ = upstreams
    first.reply(reply)
    async with gateway_of(through(first, retry={"attempts": 3})) as gateway:
        with pytest.raises(UpstreamError) as failed:
            await ask(gateway)
        assert told(failed.value) == ("openai/m0", 1)
    assert asked(first) == [1]

    async with gateway_of(through(first, second, retry={"attempts": 3})) as gateway:
        assert told(await ask(gateway)) == ("openai/m1", 2)
    assert asked(first, second) == [2, 1]


async def test_who_is_not_there_is_asked_again(upstreams: Upstreams) -> None:
    """Nothing of the request can have come there."""
    async with gateway_of(through(nobody(), retry={"attempts": 3})) as gateway:
        with pytest.raises(UpstreamError, match="can't be reached") as failed:
            await ask(gateway)
    assert told(failed.value) == ("openai/m0", 3)


async def test_a_wait_that_the_provider_asks_for_is_kept(upstreams: Upstreams) -> None:
    """In seconds or as a date; a longer one is told to the caller."""
    first = upstreams[0]
    route = through(first, retry={"attempts": 2})
    async with gateway_of(route) as gateway:
        first.first(error(429, retry_after="0.6"))
        began = time.monotonic()
        assert told(await ask(gateway)) == ("openai/m0", 2)
        assert time.monotonic() - began >= 0.6

        at = int(time.time()) + 2
        first.first(error(429, retry_after=formatdate(at, usegmt=True)))
        assert told(await ask(gateway)) == ("openai/m0", 2)
        assert time.time() >= at - 0.05

        first.reply(error(429, retry_after="30"))
        with pytest.raises(UpstreamError) as limited:
            await ask(gateway)
        assert told(limited.value) == ("openai/m0", 1)
        assert limited.value.retry_after == 30
    assert asked(first) == [1]


async def test_a_destination_that_wants_a_pause_gets_one(upstreams: Upstreams) -> None:
    """The others answer meanwhile; when all want one the caller is told how long."""
    first, second, _ = upstreams
    first.reply(error(429, retry_after="30"))
    async with gateway_of(through(first, second)) as gateway:
        assert told(await ask(gateway)) == ("openai/m1", 2)
        assert told(await ask(gateway)) == ("openai/m1", 1)
        assert asked(first) == [1]

        second.reply(error(503, retry_after="20"))
        with pytest.raises(UpstreamError):
            await ask(gateway)
        with pytest.raises(RateLimited, match="asked for a pause") as paused:
            await ask(gateway)
        assert paused.value.retry_after is not None
        assert 15 < paused.value.retry_after <= 20
        assert dict(paused.value.headers) == {"x-gateway-route": "route", "x-gateway-attempts": "0"}
    assert asked(first, second) == [1, 1]


BEFORE_THE_FIRST: dict[str, Reply] = {
    "an error as the first event": stream(
        event({"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}), DONE
    ),
    "an error after comments": stream(b": wait\n\n", event({"error": {"message": "no"}})),
    "nothing at all": stream(),
    "a connection that is closed": stream(CUT),
    "one that is closed after comments": stream(b": wait\n\n", 0.05, CUT),
    "an event that is none": stream(b"data: {oops\n\n"),
    "a page": Reply(b"<html>Welcome</html>", content_type="text/html"),
    "only comments": Reply(content_type="text/event-stream", script=[b": wait\n\n", 0.1] * 100),
    "only silence": stream(HOLD),
    "no headers": Reply(before=HOLD),
}


@pytest.mark.parametrize("how", BEFORE_THE_FIRST)
async def test_a_stream_goes_elsewhere_until_its_first_chunk(upstreams: Upstreams, how: str) -> None:
    """However it fails before; the connection to one that is too slow is closed."""
    first, second, _ = upstreams
    first.reply(BEFORE_THE_FIRST[how])
    second.reply(words("Hi", " there"))
    async with gateway_of(through(first, second, timeouts={"first_byte": 0.5})) as gateway:
        answer = await open_stream(gateway)
        assert told(answer) == ("openai/m1", 2)
        assert await read_text(answer) == "Hi there"
        if how.startswith(("only", "no ")):
            await asyncio.to_thread(first.left, first.request())


AFTER_THE_FIRST: dict[str, Reply] = {
    "it is closed": stream(delta("Hi"), GATE, CUT),
    "it reports an error": stream(delta("Hi"), GATE, event({"error": {"message": "no", "code": 503}})),
    "it ends too soon": stream(delta("Hi"), GATE),
    "it says nothing more": stream(delta("Hi"), GATE, HOLD),
}


@pytest.mark.parametrize("reply", AFTER_THE_FIRST.values(), ids=AFTER_THE_FIRST)
async def test_nothing_is_tried_again_after_the_first_chunk(upstreams: Upstreams, reply: Reply) -> None:
    """The caller has it; but the destination has failed, and the next call goes elsewhere."""
    first, second, _ = upstreams
    first.reply(reply)
    second.reply(words("Hi"))
    route = through(first, second, retry={}, timeouts={"idle": 0.5}, breaker={"failures": 1})
    async with gateway_of(route) as gateway:
        answer = await open_stream(gateway)
        assert told(answer) == ("openai/m0", 1)
        first.open_gate()
        with pytest.raises(UpstreamError):
            await read_text(answer)
        assert asked(first, second) == [1, 0]
        assert told(await open_stream(gateway)) == ("openai/m1", 1)


async def test_whoever_leaves_while_the_gateway_waits_stops_it(upstreams: Upstreams) -> None:
    """Nobody is asked any more, neither the same nor the next."""
    first, second, _ = upstreams
    first.reply(error(503, retry_after="0.7"))
    async with gateway_of(through(first, second, retry={"attempts": 5})) as gateway:
        leaving = asyncio.create_task(ask(gateway))
        request = await asyncio.to_thread(first.request)
        await asyncio.to_thread(first.sent, request)
        await asyncio.sleep(0.1)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.sleep(1)
    assert asked(first, second) == [1, 0]


@pytest.mark.parametrize("streamed", [False, True])
async def test_whoever_leaves_while_another_is_asked_stops_it(upstreams: Upstreams, streamed: bool) -> None:
    """The connection to that one is closed at once, and the third is not asked."""
    first, second, third = upstreams
    first.reply(error(503))
    second.reply(Reply(before=HOLD))
    async with gateway_of(through(first, second, third, retry={"attempts": 5})) as gateway:
        leaving = asyncio.create_task(open_stream(gateway) if streamed else ask(gateway))
        request = await asyncio.to_thread(second.request)
        leaving.cancel()
        await asyncio.to_thread(second.left, request)
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert asked(second, third) == [1, 0]


async def test_a_destination_that_cannot_carry_a_request_is_passed_over(upstreams: Upstreams) -> None:
    """It is not even asked; where none can, the caller is told of the parameter."""
    first, second, _ = upstreams
    async with gateway_of(in_order(claude(0, first.url), model(1, second.url))) as gateway:
        assert told(await ask(gateway, seed=7)) == ("openai/m1", 1)
        assert asked(first, second) == [0, 1]
        second.reply(error(503, "overloaded"))
        with pytest.raises(UpstreamError, match="overloaded"):
            await ask(gateway, seed=7)

    async with gateway_of(in_order(claude(0, first.url), claude(1, second.url))) as gateway:
        with pytest.raises(UnsupportedParameter, match="seed") as refused:
            await ask(gateway, seed=7)
        assert dict(refused.value.headers)["x-gateway-attempts"] == "0"


CLAUDE = json_reply(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m1",
        "content": [{"type": "text", "text": "I am Claude"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
)


async def test_what_is_left_out_is_told_of_the_one_that_answers(upstreams: Upstreams) -> None:
    """Each destination leaves out what it has nothing for, and no more."""
    first, second, _ = upstreams
    first.reply(error(503))
    second.reply(CLAUDE)
    route = in_order(model(0, first.url), claude(1, second.url), drop_unsupported=True)
    async with gateway_of(route) as gateway:
        answer = await ask(gateway, seed=7)
        assert told(answer) == ("anthropic/m1", 2)
        assert dict(answer.headers)["x-gateway-dropped-params"] == "seed"
        assert first.received[0].json["seed"] == 7
        assert "seed" not in second.received[0].json

        first.reply(chat())
        assert "x-gateway-dropped-params" not in dict((await ask(gateway, seed=7)).headers)


def _claude_says(*texts: str) -> Reply:
    def named(kind: str, **more: Any) -> bytes:
        return b"event: %b\n" % kind.encode() + event({"type": kind, **more})

    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": {},
    }
    return stream(
        named("message_start", message=message),
        named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(named("content_block_delta", index=0, delta={"type": "text_delta", "text": t}) for t in texts),
        named("content_block_stop", index=0),
        named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        named("message_stop"),
    )


async def test_providers_of_different_kinds_answer_for_each_other(upstreams: Upstreams) -> None:
    """The caller sees one shape, whoever it was."""
    first, second, _ = upstreams
    models = [model(0, first.url), claude(1, second.url)]
    for route, failing, other, answers, name in (
        (in_order(*models), first, second, (CLAUDE, _claude_says("I am", " Claude")), "anthropic/m1"),
        (in_order(*models[::-1]), second, first, (chat("I am"), words("I", " am")), "openai/m0"),
    ):
        failing.reply(error(529, "overloaded"))
        async with gateway_of(route) as gateway:
            other.reply(answers[0])
            answer = await ask(gateway)
            assert told(answer) == (name, 2)
            assert text_of(answer).startswith("I am")
            other.reply(answers[1])
            streamed = await open_stream(gateway)
            assert told(streamed) == (name, 2)
            assert (await read_text(streamed)).startswith("I am")


async def test_completions_and_embeddings_go_elsewhere_too(upstreams: Upstreams) -> None:
    """As chats do."""
    first, second, _ = upstreams
    first.reply(error(500))
    text = {"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]}
    numbers = {"object": "list", "data": [{"index": 0, "object": "embedding", "embedding": [1.0]}]}
    for kind, data, reply in (
        ("completions", {"prompt": "Hello"}, text),
        ("embeddings", {"input": "Hello"}, numbers),
    ):
        second.reply(json_reply({"id": "1", "created": 1, "model": "m", **reply}))
        async with gateway_of(through(first, second, kind=kind)) as gateway:
            assert told(await ask(gateway, data)) == ("openai/m1", 2)


async def test_no_destination_sees_the_key_of_another(upstreams: Upstreams) -> None:
    """Nor does the caller, whatever they answer."""
    urls = [each.url for each in upstreams]
    for place, each in enumerate(upstreams):
        each.reply(error(503, f"no to {key(place)}"))
    route = in_order(model(0, urls[0]), claude(1, urls[1]), model(2, urls[2]), retry={"attempts": 2})
    async with gateway_of(route) as gateway:
        for call in (ask, open_stream):
            with pytest.raises(UpstreamError, match="no to") as failed:
                await call(gateway)
            shown = (
                f"{failed.value!r} {failed.value.body()} {failed.value.headers} {failed.value.__context__!r}"
            )
            assert "canary" not in shown
    for place, each in enumerate(upstreams):
        for request in each.received:
            seen = f"{request.path} {request.headers} {request.body!r}"
            assert key(place) in seen
            assert not any(key(other) in seen for other in range(3) if other != place)


async def test_weights_share_the_calls(upstreams: Upstreams) -> None:
    """Those of weight 0 are asked only when the others can't answer."""
    first, second, third = upstreams
    weights = [(first, 3), (second, 1), (third, 0)]
    destinations = [
        {"model": model(place, each.url), "weight": weight} for place, (each, weight) in enumerate(weights)
    ]
    route = {"name": "route", "endpoint_type": "llm/v1/chat", "destinations": destinations}
    async with gateway_of(route) as gateway:
        for _ in range(12):
            assert told(await ask(gateway))[1] == 1
        assert asked(*upstreams) == [9, 3, 0]
        for each in (first, second):
            each.reply(error(500))
        assert told(await ask(gateway)) == ("openai/m2", 3)


async def test_a_route_that_does_not_change_keeps_what_it_knows(upstreams: Upstreams) -> None:
    """A reload of the others does not send calls to a destination that rests; a change of its own does."""
    first, second, _ = upstreams
    first.reply(error(500))
    route = through(first, second, breaker={"failures": 1})
    async with gateway_of(route) as gateway:
        await ask(gateway)
        other = {**through(second), "name": "other"}
        gateway.serve(load_config({"endpoints": [other, route]}).routes)
        assert told(await ask(gateway)) == ("openai/m1", 1)
        assert asked(first) == [1]

        gateway.serve(load_config({"endpoints": [{**route, "retry": {}}]}).routes)
        await ask(gateway)
        assert asked(first)[0] > 1


async def test_half_of_the_destinations_failing_no_call_fails(upstreams: Upstreams) -> None:
    """A breaker sees to it that few calls find out."""
    first, second, _ = upstreams
    first.reply(error(500))
    for balance in ("weighted", "least_pending", "latency"):
        route = {**through(first, second, balance=balance)}
        for destination in route["destinations"]:
            destination["priority"] = 1
        first.received.clear()
        async with gateway_of(route) as gateway:
            answers = await asyncio.gather(*(ask(gateway) for _ in range(20)))
            answers += [await ask(gateway) for _ in range(100)]
        assert {text_of(answer) for answer in answers} == {"I am 1"}
        assert asked(first)[0] <= 25


async def test_a_storm_does_not_feed_itself(upstreams: Upstreams) -> None:
    """A hundred calls to a destination that fails: a fifth more, and the few that may be made at once."""
    first = upstreams[0]
    first.reply(error(503))
    async with gateway_of(through(first, retry={"attempts": 3, "budget": 0.2})) as gateway:
        failed = await asyncio.gather(*(ask(gateway) for _ in range(100)), return_exceptions=True)
    assert all(isinstance(each, GatewayError) for each in failed)
    assert 100 < asked(first)[0] <= 126


async def test_one_destination_with_a_breaker_rests(upstreams: Upstreams) -> None:
    """The caller gets 503 and how long, and the provider nothing."""
    first = upstreams[0]
    first.reply(error(500))
    async with gateway_of(through(first, breaker={"failures": 2, "open_seconds": 0.5})) as gateway:
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await ask(gateway)
        with pytest.raises(Unavailable, match="openai/m0 has failed and rests") as rests:
            await ask(gateway)
        assert rests.value.retry_after == 1
        assert asked(first) == [2]
        first.reply(chat())
        await asyncio.sleep(0.5)
        assert told(await ask(gateway, HELLO)) == ("openai/m0", 1)
