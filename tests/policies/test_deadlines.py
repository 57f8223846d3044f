"""How long a call may take: each time-out of a route with several destinations, and the caller's own deadline."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway_async.errors import Unavailable, UpstreamError, UpstreamTimeout
from gateway_async.gateway import Gateway
from tests.faults.chaos import full_backlog
from tests.policies.destined import ask, asked, gateway_of, open_stream, read_text, text_of, through, told
from tests.support.upstream import DONE, GATE, HOLD, MockUpstream, Reply, chat, delta, error, stream, words

Upstreams = list[MockUpstream]

LONG = 60.0
"""Seconds that nothing here takes."""

GIVEN = "x-request-timeout"


@contextmanager
def within(least: float, most: float = LONG) -> Iterator[None]:
    """Check that something takes so many seconds."""
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began < most


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_cannot_be_reached_in_time_is_passed_over(upstreams: Upstreams, streamed: bool) -> None:
    """After `connect` seconds; it may also be tried again, since nothing of the request came there."""
    with full_backlog() as port:
        dead, timeouts = f"http://127.0.0.1:{port}", {"connect": 0.3}
        upstreams[0].reply(words("Hi") if streamed else chat())
        async with gateway_of(through(dead, upstreams[0], timeouts=timeouts)) as gateway:
            with within(0.3):
                answer = await (open_stream(gateway) if streamed else ask(gateway))
            assert told(answer) == ("openai/m1", 2)

        async with gateway_of(through(dead, timeouts=timeouts, retry={"attempts": 2})) as gateway:
            with within(0.6), pytest.raises(UpstreamTimeout, match="could not be reached") as failed:
                await ask(gateway)
            assert told(failed.value) == ("openai/m0", 2)


async def test_who_says_nothing_in_time_is_passed_over(upstreams: Upstreams) -> None:
    """After `first_byte` seconds; that is a failure, and no reason to ask it again."""
    first, second, _ = upstreams
    first.reply(Reply(before=HOLD))
    route = through(first, second, timeouts={"first_byte": 0.3}, retry={}, breaker={"failures": 1})
    async with gateway_of(route) as gateway:
        with within(0.3):
            assert told(await ask(gateway)) == ("openai/m1", 2)
        assert told(await ask(gateway)) == ("openai/m1", 1)
    assert asked(first) == [1]


@pytest.mark.parametrize("falls", [["failure"], ["timeout"]])
async def test_a_time_out_goes_on_where_the_route_says_so(upstreams: Upstreams, falls: list[str]) -> None:
    """It is a reason of its own."""
    first, second, _ = upstreams
    first.reply(Reply(before=HOLD))
    async with gateway_of(through(first, second, timeouts={"first_byte": 0.2}, fallback_on=falls)) as gateway:
        if falls == ["timeout"]:
            assert told(await ask(gateway)) == ("openai/m1", 2)
        else:
            with pytest.raises(UpstreamTimeout):
                await ask(gateway)


async def test_a_stream_that_pauses_too_long_ends_with_an_error(upstreams: Upstreams) -> None:
    """After `idle` seconds, and nobody else is asked, since its beginning is out."""
    first, second, _ = upstreams
    first.reply(stream(delta("Hi"), HOLD))
    async with gateway_of(through(first, second, timeouts={"idle": 0.3})) as gateway:
        answer = await open_stream(gateway)
        with within(0.3), pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.3 s"):
            await read_text(answer)
    assert asked(first, second) == [1, 0]


async def test_the_total_bounds_all_attempts_together(upstreams: Upstreams) -> None:
    """With each destination as slow as it may be, the last gets what is left; and it is not to blame."""
    for each in upstreams:
        each.reply(Reply(before=HOLD))
    timeouts = {"first_byte": 0.4, "total": 0.6}
    route = through(*upstreams, timeouts=timeouts, retry={"attempts": 5}, breaker={"failures": 1})
    async with gateway_of(route) as gateway:
        with within(0.6), pytest.raises(UpstreamTimeout) as failed:
            await ask(gateway)
        assert told(failed.value) == ("openai/m1", 2)
        assert asked(*upstreams) == [1, 1, 0]
        upstreams[1].reply(chat())
        assert told(await ask(gateway)) == ("openai/m1", 1)


async def test_the_total_does_not_bound_a_stream(upstreams: Upstreams) -> None:
    """It goes on for as long as something comes."""
    upstreams[0].reply(words("a", "b", "c", "d", pace=0.1))
    async with gateway_of(through(upstreams[0], timeouts={"total": 0.2})) as gateway:
        assert await read_text(await open_stream(gateway)) == "abcd"


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_callers_deadline_bounds_it_all(upstreams: Upstreams, streamed: bool) -> None:
    """The first that says nothing; and no destination is asked, or blamed, afterwards."""
    first, second, _ = upstreams
    first.reply(Reply(before=HOLD))
    async with gateway_of(through(first, second, retry={}, breaker={"failures": 1})) as gateway:
        for _ in range(2):
            call = open_stream if streamed else ask
            with within(0.3), pytest.raises(UpstreamTimeout) as late:
                await call(gateway, timeout=0.3)
            assert told(late.value) == ("openai/m0", 1)
        assert asked(first, second) == [2, 0]
        await asyncio.to_thread(first.left, first.request(1))


async def test_a_deadline_that_is_longer_than_the_routes_own_time_excuses_nobody(
    upstreams: Upstreams,
) -> None:
    """Whoever says nothing for as long as the route waits has failed, though the caller would have waited on."""
    first, second, _ = upstreams
    first.reply(Reply(before=HOLD))
    route = through(first, second, timeouts={"first_byte": 0.3, "total": 0.3}, breaker={"failures": 1})
    async with gateway_of(route) as gateway:
        with pytest.raises(UpstreamTimeout):
            await ask(gateway, timeout=LONG)
        assert told(await ask(gateway)) == ("openai/m1", 1)


async def test_the_deadline_bounds_waits_between_attempts(upstreams: Upstreams) -> None:
    """One that would pass it is not begun."""
    upstreams[0].reply(error(429, retry_after="5"))
    async with gateway_of(through(upstreams[0], retry={"attempts": 3})) as gateway:
        with within(0, 3), pytest.raises(UpstreamError) as limited:
            await ask(gateway, timeout=4)
        assert limited.value.retry_after == 5


async def test_the_deadline_bounds_a_stream_to_its_end(upstreams: Upstreams) -> None:
    """One that trickles, one that pauses and one that floods; the destination has not failed."""
    first = upstreams[0]
    endless = {
        "trickle": Reply(content_type="text/event-stream", script=[delta("Hi"), 0.02] * 3000),
        "pause": stream(delta("Hi"), HOLD),
        "flood": Reply(content_type="text/event-stream", script=[b"".join([delta("Hi")] * 500)] * 100_000),
    }
    async with gateway_of(through(first, breaker={"failures": 1})) as gateway:
        for name, reply in endless.items():
            first.reply(reply)
            with (
                within(0.5, LONG / 2),
                pytest.raises(UpstreamTimeout, match="in the time that the caller gave"),
            ):
                await read_text(await open_stream(gateway, timeout=0.5))
            assert asked(first) == [1], name
            await asyncio.to_thread(first.left, first.request())


async def test_the_deadline_bounds_the_words_of_a_refusal(upstreams: Upstreams) -> None:
    """To a stream, as to any other call: they may drip as well."""
    first, *_ = upstreams
    first.reply(Reply(status=400, script=[b'{"error": {"message": "no', HOLD]))
    async with gateway_of(through(first)) as gateway:
        with within(0.3, 30), pytest.raises(UpstreamTimeout, match="time that the caller gave"):
            await open_stream(gateway, timeout=0.3)


async def test_what_came_in_time_is_late_for_a_reader_who_comes_late(upstreams: Upstreams) -> None:
    """So that no upstream can go on for ever by always being ahead of its reader."""
    first = upstreams[0]
    first.reply(stream(delta("Hi"), GATE, delta(" there"), delta(finish="stop"), DONE))
    async with gateway_of(through(first)) as gateway:
        answer = await open_stream(gateway, timeout=1.0)
        first.open_gate()
        await asyncio.to_thread(first.sent, first.request())
        await asyncio.sleep(1.1)
        with pytest.raises(UpstreamTimeout, match="in the time that the caller gave"):
            await read_text(answer)


def given(upstream: MockUpstream) -> list[float]:
    """The seconds that it was told of by each request."""
    return [float(request.headers[GIVEN]) for request in upstream.received]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_deadline_is_passed_on(upstreams: Upstreams, streamed: bool) -> None:
    """Each attempt is told what is left then, never more than the caller gave."""
    first, second, _ = upstreams
    first.reply(error(503, retry_after="0.3"))
    second.reply(words("Hi") if streamed else chat())
    call: Any = open_stream if streamed else ask
    async with gateway_of(through(first, second, retry={"attempts": 2})) as gateway:
        answer = await call(gateway, timeout=20.0)
        assert told(answer) == ("openai/m1", 3)
    seconds = [*given(first), *given(second)]
    assert seconds[0] < 20
    assert seconds[0] - 0.3 >= seconds[1] >= seconds[2] > 0


async def test_without_a_deadline_nothing_is_passed_on(upstreams: Upstreams) -> None:
    """The route's own time-outs are nobody else's."""
    async with gateway_of(through(upstreams[0])) as gateway:
        await ask(gateway)
    assert GIVEN not in upstreams[0].received[0].headers


async def test_a_deadline_is_not_longer_upstream_than_here(upstreams: Upstreams) -> None:
    """Where the route's own time is shorter than the caller's, that is what is left."""
    async with gateway_of(through(upstreams[0], timeouts={"total": 10})) as gateway:
        await ask(gateway, timeout=LONG)
    assert given(upstreams[0])[0] < 10


async def test_the_deadline_bounds_the_wait_for_a_place(upstreams: Upstreams) -> None:
    """A call that waits for its turn gives up in time."""
    first = upstreams[0]
    first.reply(chat(before=GATE))
    async with gateway_of(through(first, concurrency={"max": 1, "queue_seconds": LONG})) as gateway:
        inside = asyncio.create_task(ask(gateway))
        await asyncio.to_thread(first.request)
        with within(0.3, LONG / 2), pytest.raises(Unavailable):
            await ask(gateway, timeout=0.3)
        first.open_gate()
        assert text_of(await inside)
    assert asked(first) == [1]


async def test_a_place_is_free_once_nobody_answered(upstreams: Upstreams) -> None:
    """Neither failures, nor callers who leave, nor streams that break off keep it."""
    first, second, _ = upstreams
    route = through(first, second, retry={}, concurrency={"max": 1, "queue": 0}, timeouts={"first_byte": 0.3})
    async with gateway_of(route) as gateway:
        first.reply(error(503))
        second.reply(error(500))
        with pytest.raises(UpstreamError):
            await ask(gateway)
        await _leave(gateway, first)
        first.reply(stream(delta("Hi"), HOLD))
        answer = await open_stream(gateway)
        with pytest.raises(Unavailable):
            await ask(gateway)
        await answer.aclose()
        first.reply(chat())
        assert told(await ask(gateway))[1] == 1


async def _leave(gateway: Gateway, upstream: MockUpstream) -> None:
    upstream.reply(Reply(before=HOLD))
    leaving = asyncio.create_task(ask(gateway))
    await asyncio.to_thread(upstream.request)
    leaving.cancel()
    await asyncio.wait([leaving])
