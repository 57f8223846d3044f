"""Limits on calls: how many pass, who is counted with whom, and what a caller is told."""

import asyncio
import logging

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.call import Answer, Caller
from gateway_async.config_file import load_config
from gateway_async.errors import InvalidRequest, RateLimited, Unavailable, UpstreamError
from gateway_async.gateway import Gateway
from gateway_async.stores.shared_memory import SharedMemoryCounters
from tests.policies.limited import ALICE, BOB, Clock, Failing, call, gateway_of, limited, passes
from tests.support.configs import HELLO, offline, upstream_route
from tests.support.upstream import MockUpstream, error


def told(headers: tuple[tuple[str, str], ...]) -> list[str]:
    """The values of the headers that tell of limits: how many, how many are left, and when there are more."""
    found = dict(headers)
    return [found.get(f"ratelimit-{name}", "none") for name in ("limit", "remaining", "reset")]


async def test_as_many_calls_pass_as_the_limit_says() -> None:
    """Each answer tells how many are left, and the refusal when to come back."""
    async with gateway_of(limited({"calls": 2})) as gateway:
        answers = [await call(gateway), await call(gateway)]
        with pytest.raises(RateLimited) as refused:
            await call(gateway)

    assert [told(answer.headers)[:2] for answer in answers] == [["2", "1"], ["2", "0"]]
    assert 60 <= int(told(answers[0].headers)[2]) <= 63
    assert refused.value.retry_after == int(told(refused.value.headers)[2])
    assert refused.value.message == (
        "the route 'chat' takes no more calls now: its limit is 2 calls per minute; "
        f"call again in {refused.value.retry_after} s"
    )
    assert told(refused.value.headers)[:2] == ["2", "0"]


async def test_after_the_time_that_a_refusal_tells_a_call_passes() -> None:
    """And no sooner than the period of the one that it replaces is over."""
    clock = Clock()
    async with gateway_of(limited({"calls": 1}), clock=clock) as gateway:
        assert await passes(gateway)
        clock.now += 30
        with pytest.raises(RateLimited) as refused:
            await call(gateway)
        assert refused.value.retry_after is not None
        assert 30 <= refused.value.retry_after <= 33
        clock.now += 29
        assert not await passes(gateway)
        clock.now += refused.value.retry_after - 29
        assert await passes(gateway)


async def test_a_thousand_at_once_are_counted_one_by_one() -> None:
    """A limit of a hundred is a hundred."""
    async with gateway_of(limited({"calls": 100})) as gateway:
        passed = await asyncio.gather(*(passes(gateway) for _ in range(1000)))

    assert sum(passed) == 100


async def test_a_limit_for_each_caller_counts_each_apart() -> None:
    """By the key that a caller came with, else by its address; the words say so."""
    async with gateway_of(limited({"calls": 1, "key": "user"})) as gateway:
        assert await passes(gateway, ALICE)
        assert await passes(gateway, BOB)
        assert await passes(gateway, Caller(ALICE.address, key="app"))
        assert not await passes(gateway, Caller(BOB.address, key="app"))
        with pytest.raises(RateLimited, match="1 call per minute for each caller; call again in"):
            await call(gateway, ALICE)


async def test_a_limit_for_the_route_counts_all_together() -> None:
    """Which is the same as one that does not say whom it counts."""
    for key in ({"key": "route"}, {}):
        async with gateway_of(limited({"calls": 2, **key})) as gateway:
            assert [await passes(gateway, who) for who in (ALICE, BOB, ALICE)] == [True, True, False]


async def test_an_address_of_the_next_generation_stands_for_its_network() -> None:
    """Its owner has 2**64 of them, and would never meet a limit."""
    async with gateway_of(limited({"calls": 1, "key": "user"})) as gateway:
        assert await passes(gateway, Caller("2001:db8::1"))
        assert not await passes(gateway, Caller("2001:db8::2"))
        assert await passes(gateway, Caller("2001:db8:0:1::1"))


async def test_an_ipv4_host_is_one_user_however_it_is_written() -> None:
    """Who listens on IPv6 sees it as an address of that; all of those are no single network."""
    async with gateway_of(limited({"calls": 1, "key": "user"})) as gateway:
        assert await passes(gateway, Caller("192.0.2.1"))
        for written in ("::ffff:192.0.2.1", "::ffff:c000:201", "::FFFF:C000:0201"):
            assert not await passes(gateway, Caller(written))
        assert await passes(gateway, Caller("::ffff:c000:202"))


async def test_of_several_limits_all_hold() -> None:
    """A call that one of them refuses counts for none."""
    both = limited({"calls": 3}, {"calls": 1, "key": "user"})
    async with gateway_of(both) as gateway:
        passed = [await passes(gateway, who) for who in (ALICE, ALICE, ALICE, BOB, Caller("192.0.2.3"))]
        assert passed == [True, False, False, True, True]
        with pytest.raises(RateLimited, match="3 calls per minute;"):
            await call(gateway, Caller("192.0.2.4"))


async def test_the_single_limit_and_the_list_hold_together() -> None:
    """And of two for the same period and the same callers the lower one does, once."""
    single = {"calls": 2, "renewal_period": "1 minute"}
    async with gateway_of(limited({"calls": 100}, limit=single)) as gateway:
        assert [await passes(gateway) for _ in range(3)] == [True, True, False]


async def test_the_headers_tell_of_the_limit_that_is_nearest() -> None:
    """Measured by the part of it that is left."""
    limits = limited({"calls": 10}, {"calls": 100, "renewal_period": "hour"}, {"calls": 4, "key": "user"})
    async with gateway_of(limits) as gateway:
        first = await call(gateway, ALICE)
        for number in range(6):
            await call(gateway, Caller(f"192.0.2.{number + 10}"))
        last = await call(gateway, BOB)

    assert told(first.headers)[:2] == ["4", "3"]
    assert told(last.headers)[:2] == ["10", "2"]


async def test_the_refusal_that_lasts_longest_is_told() -> None:
    """Whoever comes back when another one is over would be refused again."""
    limits = limited({"calls": 1}, {"calls": 1, "renewal_period": "hour"})
    async with gateway_of(limits) as gateway:
        await call(gateway)
        with pytest.raises(RateLimited, match="1 call per hour") as refused:
            await call(gateway)

    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 3600


@pytest.mark.parametrize("unit", ["calls", "tokens"])
async def test_a_limit_of_none_closes_the_route(unit: str, upstream: MockUpstream) -> None:
    """Which is said; other routes are open."""
    closed = upstream_route("chat", "chat", upstream.url, limit={unit: 0, "renewal_period": "minute"})
    async with gateway_of(closed, offline("other", "chat")) as gateway:
        with pytest.raises(
            RateLimited, match=f"the route 'chat' is closed: its limit is 0 {unit} per minute"
        ):
            await call(gateway)
        assert await passes(gateway, route="other")

    assert upstream.received == []


async def test_another_number_does_not_begin_anew() -> None:
    """Calls that were counted by the old one are counted by the new one."""
    async with gateway_of(limited({"calls": 5})) as gateway:
        for _ in range(3):
            await call(gateway)
        gateway.serve(load_config({"endpoints": [limited({"calls": 4})]}).routes)

        assert [await passes(gateway) for _ in range(2)] == [True, False]


async def test_routes_do_not_share_a_count() -> None:
    """A limit is its route's."""
    async with gateway_of(limited({"calls": 1}), limited({"calls": 1}, name="other")) as gateway:
        assert await passes(gateway)
        assert await passes(gateway, route="other")


async def test_a_request_that_is_wrong_does_not_count() -> None:
    """It would never have gone upstream."""
    async with gateway_of(limited({"calls": 1})) as gateway:
        with pytest.raises(InvalidRequest):
            await call(gateway, data={"messages": []}, temperature="hot")

        assert await passes(gateway)


async def test_a_call_that_the_provider_refuses_counts(upstream: MockUpstream) -> None:
    """It was sent. What is refused here is not."""
    upstream.reply(error(500))
    limit = {"calls": 1, "renewal_period": "minute"}
    async with gateway_of(upstream_route("chat", "chat", upstream.url, limit=limit)) as gateway:
        with pytest.raises(UpstreamError):
            await call(gateway)
        assert not await passes(gateway)

    assert len(upstream.received) == 1


async def test_a_stream_tells_of_the_limit_and_is_counted_once() -> None:
    """However many pieces it has."""
    async with gateway_of(limited({"calls": 2})) as gateway:
        stream = await call(gateway, stream=True)
        assert not isinstance(stream, Answer)
        batches = [batch async for batch in stream]
        await stream.aclose()
        assert told(stream.headers)[:2] == ["2", "1"]
        assert len(batches) > 1
        assert await passes(gateway)


async def test_without_limits_nothing_is_counted() -> None:
    """Nobody asks the counters, and no header tells of limits."""
    counters = Failing(SharedMemoryCounters())
    async with gateway_of(
        limited(), {**offline("deny", "chat"), "on_store_failure": "deny"}, counters=counters
    ) as gateway:
        answers = [await call(gateway), await call(gateway, route="deny")]

    assert [told(answer.headers) for answer in answers] == [["none"] * 3] * 2


async def test_counters_that_fail_let_calls_pass_or_not(caplog: pytest.LogCaptureFixture) -> None:
    """As the route says; the log says it once, and the limits hold again when they can be counted."""
    caplog.set_level(logging.INFO)
    counters = Failing(SharedMemoryCounters())
    denies = limited({"calls": 1}, name="careful", on_store_failure="deny")
    async with gateway_of(limited({"calls": 1}), denies, counters=counters) as gateway:
        answers = [await call(gateway) for _ in range(3)]
        with pytest.raises(
            Unavailable, match="limits of the route 'careful' can't be counted now"
        ) as refused:
            await call(gateway, route="careful")
        counters.down = False
        assert counters.asked == 4
        healed = [await passes(gateway, route=route) for route in ("chat", "chat", "careful", "careful")]

    assert [told(answer.headers) for answer in answers] == [["none"] * 3] * 3
    assert refused.value.retry_after == 1
    assert healed == [True, False, True, False]
    assert [record.message for record in caplog.records] == [
        "limits can't be counted: nobody answers; until they can, each route's on_store_failure decides",
        "limits are counted again",
    ]


async def test_a_gateway_in_this_process_keeps_its_limits() -> None:
    """It counts for itself, and all of its callers are one."""
    config = {"endpoints": [limited({"calls": 1, "key": "user"})]}
    async with AsyncGatewayClient.local(config) as client:
        await client.query("chat", HELLO)
        with pytest.raises(RateLimited) as refused:
            await client.query("chat", HELLO)

    assert refused.value.retry_after is not None
    assert refused.value.retry_after >= 1


async def test_two_gateways_in_one_process_count_apart() -> None:
    """Unless they are given the same counters."""
    config = load_config({"endpoints": [limited({"calls": 1})]})
    counters = SharedMemoryCounters()
    async with Gateway(config) as first, Gateway(config) as second:
        assert [await passes(gateway) for gateway in (first, second)] == [True, True]
    async with Gateway(config, lambda: counters) as first, Gateway(config, lambda: counters) as second:
        assert [await passes(gateway) for gateway in (first, second)] == [True, False]
    await counters.aclose()
