"""Who is asked after a failure, when, and how often: destinations are fakes, and time passes at once."""

import asyncio
import gc
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_async.call import Answer, Call
from gateway_async.config import TimeoutsConfig
from gateway_async.errors import (
    GatewayError,
    InvalidRequest,
    RateLimited,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from tests.policies.scripted import (
    FAILURES,
    MAY_PASS,
    NEVER_SENT,
    OK,
    REASONS,
    World,
    a_call,
    attempts,
    quickly,
    targets_of,
)

EVERY = ["failure", "timeout", "rate_limit", "context_length", "content_policy"]


async def _outcome(answering: Any) -> Any:
    try:
        return await answering
    except GatewayError as failed:
        return failed


def ask(world: World, *groups: str, seconds: float | None = None, **settings: Any) -> Answer | GatewayError:
    """What one call brings."""

    async def run() -> Answer | GatewayError:
        told = await _outcome(world.route(*groups, **settings)(a_call(seconds=seconds)))
        assert isinstance(told, Answer | GatewayError)
        return told

    return quickly(run)


@pytest.mark.parametrize("outcome", FAILURES)
def test_each_failure_goes_elsewhere_only_where_the_route_says_so(outcome: str) -> None:
    """By its reason; what is the caller's fault goes nowhere, and what could not be carried goes on always."""
    reason = REASONS.get(outcome)
    for falls in ([], *([each] for each in EVERY), EVERY):
        world = World({"a": [outcome]})
        told = ask(world, "a", "b", fallback_on=falls)
        goes_on = outcome in NEVER_SENT or reason in falls
        assert world.order == ("ab" if goes_on else "a"), falls
        assert isinstance(told, Answer) is goes_on
        assert attempts(told) == len(world.order) - (outcome in NEVER_SENT)


@pytest.mark.parametrize("outcome", FAILURES)
def test_only_what_may_pass_is_tried_again(outcome: str) -> None:
    """An answer that may have been begun is not asked for twice; nor is what would be refused again."""
    world = World({"a": [outcome] * 9})
    told = ask(world, "a", retry={"attempts": 3}, fallback_on=EVERY)
    assert isinstance(told, GatewayError)
    again = outcome in MAY_PASS and outcome != "429 for 60"
    assert world.order == ("aaa" if again else "a")
    assert attempts(told) == (0 if outcome in NEVER_SENT else len(world.order))


def test_without_retry_nobody_is_asked_twice() -> None:
    """Each destination once, whatever its failure."""
    world = World({name: ["503"] * 9 for name in "abc"})
    assert isinstance(ask(world, "ab", "c"), UpstreamError)
    assert sorted(world.order) == ["a", "b", "c"]


def test_a_failure_goes_at_once_to_those_that_were_not_asked() -> None:
    """Then, after a wait, to the same again; then to the next priority."""
    world = World({name: ["503"] * 9 for name in "abc"})
    told = ask(world, "ab", "c", retry={"attempts": 2})
    assert attempts(told) == 6
    assert [Counter(world.order[:2]), Counter(world.order[2:4]), world.order[4:]] == [
        *([Counter("ab")] * 2),
        "cc",
    ]
    assert world.times[1] == 0
    assert world.times[4] == world.times[3]
    assert world.times[-1] < 2


def test_waits_grow_and_are_not_the_same_for_all() -> None:
    """From a tenth of a second up to two seconds, at random."""
    last = []
    for _ in range(20):
        world = World({"a": ["503"] * 9})
        ask(world, "a", retry={"attempts": 6})
        assert world.order == "aaaaaa"
        steps = [after - before for before, after in pairwise(world.times)]
        assert all(step <= min(0.1 * 2**number, 2) for number, step in enumerate(steps))
        last.append(world.times[-1])
    assert len(set(last)) > 10


@pytest.mark.parametrize("breaker", [None, {}])
def test_a_wait_that_the_provider_asks_for_is_kept(breaker: Any) -> None:
    """Up to ten seconds; a longer one is told to the caller."""
    world = World({"a": ["429 for 5", "429 for 5", OK]})
    assert isinstance(ask(world, "a", retry={"attempts": 3}, breaker=breaker), Answer)
    assert world.order == "aaa"
    assert world.times[1] >= 5
    assert world.times[2] >= 10

    told = ask(World({"a": ["429 for 60"]}), "a", retry={"attempts": 3}, breaker=breaker)
    assert isinstance(told, UpstreamError)
    assert told.retry_after == 60


def test_a_long_wait_is_not_begun_while_others_can_be_asked() -> None:
    """Those of the next priority are; a short one is."""
    world = World({"a": ["429 for 5"]})
    assert isinstance(ask(world, "a", "b", retry={"attempts": 3}), Answer)
    assert world.order == "ab"
    assert world.times[1] == 0

    world = World({"a": ["429 for 0.5"]})
    assert isinstance(ask(world, "a", "b", retry={"attempts": 3}), Answer)
    assert world.order == "aa"

    world = World({"a": ["429 for 5"]})
    assert isinstance(ask(world, "a", "b", retry={"attempts": 3}, fallback_on=["failure"]), Answer)
    assert world.order == "aa"  # the next priority is for other failures


def test_of_several_only_those_are_asked_again_that_may_be_by_then() -> None:
    """One wants to be left alone for five seconds: the other is asked meanwhile, and answers."""
    world = World({"a": ["429 for 5"], "b": ["503"]})
    assert isinstance(ask(world, "ab", retry={"attempts": 3}), Answer)
    assert world.order == "abb"
    assert world.times[2] < 1


def test_a_refusal_of_the_request_ends_it_though_others_failed_otherwise() -> None:
    """Asking them again would be of no use to a request that is wrong."""
    world = World({"a": ["503"], "b": ["400"]})
    told = ask(world, "ab", "c", retry={"attempts": 3})
    assert isinstance(told, UpstreamError)
    assert told.upstream_status == 400
    assert world.order == "ab"


def test_a_request_that_one_cannot_carry_is_no_bad_one_where_another_failed() -> None:
    """The caller is told of the failure; of what can't be carried only where that is all."""
    for first, second in (("503", "cannot carry"), ("cannot carry", "503")):
        told = ask(World({"a": [first], "b": [second]}), "a", "b")
        assert isinstance(told, UpstreamError)
        assert attempts(told) == 1

    told = ask(World({"a": ["cannot carry"], "b": ["cannot carry"]}), "a", "b")
    assert isinstance(told, InvalidRequest)
    assert attempts(told) == 0


def test_no_wait_is_begun_that_would_pass_the_deadline() -> None:
    """The caller gets the failure at once, while there is time to do something about it."""
    world = World({"a": ["429 for 5"]})

    async def run() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamError):
            await world.route("a", retry={"attempts": 3})(a_call(seconds=4))
        return asyncio.get_running_loop().time() - began

    assert quickly(run) == 0
    assert world.order == "a"


def test_nobody_is_asked_once_the_time_is_up() -> None:
    """Neither another destination, nor the next priority."""
    world = World({"a": [("500", 3.0)]})
    told = ask(world, "ab", "c", retry={"attempts": 3}, seconds=3)
    assert isinstance(told, UpstreamError)
    assert world.order == "a"


def test_a_storm_gets_no_more_retries_than_its_budget() -> None:
    """A hundred calls that all fail: each retry of each destination counts."""
    for groups in ("a", "ab"):
        world = World({name: ["503"] * 1000 for name in "ab"})

        async def run(groups: str = groups, world: World = world) -> None:
            route = world.route(groups, retry={"attempts": 3}, breaker={"failures": 9999, "failure_rate": 1})
            for target in targets_of(route):
                target.breaker = None
            await asyncio.gather(*(route(a_call()) for _ in range(100)), return_exceptions=True)

        quickly(run)
        assert len(world.asked) <= 100 * len(groups) + 0.2 * 100 + 6


def test_a_destination_that_rests_is_not_waited_for() -> None:
    """The breaker that opens during a call ends its retries; no retry of the budget is used for nothing."""
    world = World({"a": ["503"] * 9})

    async def run() -> None:
        route = world.route("a", retry={"attempts": 5}, breaker={"failures": 2})
        began = asyncio.get_running_loop().time()
        with pytest.raises(UpstreamError) as failed:
            await route(a_call())
        assert attempts(failed.value) == 2
        assert asyncio.get_running_loop().time() - began < 1
        with pytest.raises(Unavailable, match="has failed and rests") as rests:
            await route(a_call())
        assert attempts(rests.value) == 0
        assert rests.value.retry_after is not None
        assert 8 < rests.value.retry_after <= 10
        assert route._budget is not None
        assert route._budget.take(100, began) >= 4

    quickly(run)
    assert world.order == "aa"


def test_a_pause_that_grows_while_a_call_waits_ends_its_waiting() -> None:
    """It is not waited for again and again without anybody being asked."""
    world = World({"a": ["429 for 5", *["429 for 60"] * 9]})

    async def run() -> None:
        route = world.route("a", retry={"attempts": 9}, breaker={})
        waiting = asyncio.create_task(_outcome(route(a_call())))
        await asyncio.sleep(1)
        (target,) = targets_of(route)
        with pytest.raises(UpstreamError):
            await target.ask(a_call())
        began = asyncio.get_running_loop().time()
        assert isinstance(await waiting, UpstreamError)
        assert asyncio.get_running_loop().time() - began < 10

    quickly(run)
    assert world.order == "aa"


def test_all_that_rest_are_told_with_the_shortest_wait() -> None:
    """503 where one has failed; 429 where all providers asked for it."""
    world = World({"a": ["429 for 60"], "b": ["429 for 5", "429 for 5"]})

    async def run() -> None:
        route = world.route("ab")
        with pytest.raises(UpstreamError):
            await route(a_call())
        with pytest.raises(RateLimited, match="asked for a pause") as paused:
            await route(a_call())
        assert paused.value.retry_after == pytest.approx(5)
        assert dict(paused.value.headers) == {"x-gateway-route": "chat", "x-gateway-attempts": "0"}
        await asyncio.sleep(5)
        with pytest.raises(UpstreamError) as failed:
            await route(a_call())
        assert failed.value.upstream_status == 429

    quickly(run)
    assert world.order == "abb"


def test_a_destination_that_fails_is_left_alone_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """No call fails, and few go to it while it is down. The log says so once, and once when it is back."""
    caplog.set_level("INFO", "gateway_async")
    world = World({"a": ["503"] * 12})

    async def run() -> None:
        route = world.route("ab", breaker={"failures": 5, "open_seconds": 10})
        for _ in range(300):
            await route(a_call())
            await asyncio.sleep(0.5)

    quickly(run)
    asked = Counter(each.name for each in world.asked)
    failed = sum(each.outcome != OK for each in world.asked)
    assert failed == 12
    assert asked["a"] > 30  # it is back
    assert len(world.asked) == 300 + failed
    down, back = caplog.messages
    assert "leaves a alone for a while, which fails: no" in down
    assert "asks a again" in back


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_breaker_counts_what_is_the_destinations_failure(outcome: str) -> None:
    """Not what it refuses, nor that it is asked too often; but a limit that does not end with time."""
    world = World({"a": [outcome] * 3})

    async def run() -> bool:
        route = world.route("a", breaker={"failures": 3})
        for _ in range(3):
            await _outcome(route(a_call()))
            await asyncio.sleep(100)
        (target,) = targets_of(route)
        assert target.breaker is not None
        return target.breaker.rests(asyncio.get_running_loop().time() - 95)

    counts = REASONS.get(outcome) in ("failure", "timeout") or outcome == "429 endless"
    assert quickly(run) is counts


@pytest.mark.parametrize("outcome", FAILURES)
def test_only_who_is_asked_too_often_gets_a_pause(outcome: str) -> None:
    """A request that meets another one and may come again later is no reason to make no others."""
    world = World({"a": [outcome]})

    async def run() -> bool:
        route = world.route("a", breaker={})
        await _outcome(route(a_call()))
        (target,) = targets_of(route)
        assert target.breaker is not None
        return target.breaker.paused(asyncio.get_running_loop().time())

    assert quickly(run) is outcome.startswith("429 for")


def test_a_stream_that_its_caller_cuts_short_has_not_failed() -> None:
    """However long it had; one that is too slow by itself has."""
    for seconds, rests in ((3, False), (30, True)):
        world = World({"a": ["then timeout"]})

        async def run(seconds: int = seconds, world: World = world) -> bool:
            route = world.route("a", breaker={"failures": 1})
            call = a_call(stream=True, seconds=seconds)
            call.timeouts = TimeoutsConfig(first_byte=1, idle=1)
            answer = await route(call)
            assert not isinstance(answer, Answer)
            await anext(answer)
            await asyncio.sleep(3)
            with pytest.raises(UpstreamTimeout):
                await anext(answer)
            (target,) = targets_of(route)
            return target.rests(asyncio.get_running_loop().time())

        assert quickly(run) is rests


def test_one_call_at_a_time_tries_a_destination_that_comes_back() -> None:
    """However many there are."""
    world = World({"a": [*["503"] * 5, *[(OK, 1.0)] * 50]})

    async def run() -> int:
        route = world.route("ab", breaker={"failures": 5, "open_seconds": 10})
        for _ in range(10):
            await route(a_call())
        await asyncio.sleep(11)
        before = world.order.count("a")
        await asyncio.gather(*(route(a_call()) for _ in range(50)))
        return world.order.count("a") - before

    assert quickly(run) == 1


@pytest.mark.parametrize(
    ("group", "scripts"),
    [
        ("ab", {"a": ["503"], "b": ["503"]}),
        ("ab", {"a": ["503"], "b": [(OK, 60.0)]}),
        ("a", {"a": ["503", (OK, 60.0)]}),
    ],
    ids=["who waits", "who asks another", "who asks again"],
)
def test_whoever_leaves_is_let_go_at_once(group: str, scripts: dict[str, Any]) -> None:
    """Nobody else is asked, and nothing of the call stays behind."""
    world = World(scripts)

    async def run() -> None:
        route = world.route(group, "c", retry={"attempts": 5})
        leaving = asyncio.create_task(_outcome(route(a_call())))
        await world.asked_so_often(2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await asyncio.sleep(100)
        assert len(world.asked) == 2
        assert not any(target.load.pending for target in targets_of(route))

    quickly(run)


def test_whoever_leaves_a_call_that_tries_frees_its_place() -> None:
    """The next caller may try whether the destination is back."""
    world = World({"a": ["503", "503", (OK, 60.0), OK]})

    async def run() -> None:
        route = world.route("a", breaker={"failures": 2})
        for _ in range(2):
            await _outcome(route(a_call()))
        await asyncio.sleep(10)
        trial = asyncio.create_task(_outcome(route(a_call())))
        await asyncio.sleep(1)
        with pytest.raises(Unavailable, match="others try whether it is back"):
            await route(a_call())
        trial.cancel()
        await asyncio.wait([trial])
        assert isinstance(await route(a_call()), Answer)

    quickly(run)


def test_an_exception_that_is_none_of_ours_is_not_tried_again() -> None:
    """A mistake in the code shows, once, and leaves nothing behind."""
    world = World({"a": ["503"], "b": ["no such outcome"]})

    async def run() -> None:
        route = world.route("ab", retry={"attempts": 5})
        with pytest.raises(KeyError):
            await route(a_call())
        assert not any(target.load.pending for target in targets_of(route))

    quickly(run)
    assert world.order == "ab"


@pytest.mark.parametrize(
    ("groups", "script"),
    [
        (("a",), ["400"]),
        (("a", "b"), ["503"]),
        (("a", "b"), ["400"]),
        (("a",), ["503", OK]),
        (("a",), ["503"] * 3),
        (("a",), ["429 for 60"]),
    ],
)
@pytest.mark.parametrize("retry", [{"budget": 10}, None], ids=["retry", "once"])
def test_a_call_that_is_over_is_not_kept(groups: tuple[str, ...], script: list[Any], retry: Any) -> None:
    """Its request may be large: nothing of it waits for the garbage collector, whether it failed or not."""

    async def run() -> list[object]:
        world = World({})
        route = world.route(*groups, retry=retry, breaker={"failures": 1000})
        for _ in range(3):
            world.scripts["a"] = list(script)
            await _outcome(route(a_call()))
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            world.scripts["a"] = list(script)
            await _outcome(route(a_call()))
            gc.collect()
            return [each for each in gc.garbage if isinstance(each, Call | GatewayError)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    assert not quickly(run)


OUTCOMES = st.sampled_from([OK, *FAILURES])
STEPS = st.one_of(OUTCOMES, st.tuples(OUTCOMES, st.floats(0, 8)))
SCRIPTS = st.lists(STEPS, max_size=5)
ROUTES = st.fixed_dictionaries(
    {
        "fallback_on": st.lists(st.sampled_from(EVERY), unique=True),
        "balance": st.sampled_from(["weighted", "least_pending", "latency"]),
        "retry": st.one_of(
            st.none(),
            st.fixed_dictionaries({"attempts": st.integers(1, 4), "budget": st.sampled_from([0, 0.2, 10])}),
        ),
    }
)
GROUPS = st.sampled_from([("a",), ("ab",), ("a", "b"), ("ab", "c"), ("a", "bc"), ("abc", "de")])


@given(GROUPS, ROUTES, st.lists(SCRIPTS, min_size=5, max_size=5), st.one_of(st.none(), st.floats(0.1, 20)))
@settings(max_examples=300)
def test_one_call_of_any_route(
    groups: tuple[str, ...], route: dict[str, Any], scripts: list[Any], seconds: float | None
) -> None:
    """It ends with the first answer, asks nobody too often or in vain, and counts what it did."""
    if groups == ("a",) and not route["retry"]:
        route["breaker"] = {}
    world = World(dict(zip("abcde", map(list, scripts), strict=True)))

    async def run() -> tuple[Any, float]:
        now = asyncio.get_running_loop().time()
        handler = world.route(*groups, **route)
        told = await _outcome(handler(a_call(seconds=seconds)))
        assert not any(target.load.pending for target in targets_of(handler))
        return told, now

    told, began = quickly(run)
    asked = world.asked
    assert isinstance(told, Answer) is (asked[-1].outcome == OK)
    assert all(each.outcome != OK for each in asked[:-1])
    assert attempts(told) == sum(each.outcome not in NEVER_SENT for each in asked)

    most = route["retry"]["attempts"] if route["retry"] else 1
    assert max(Counter(world.order).values()) <= most
    retries = len(asked) - len(set(world.order))
    assert retries <= (5 + route["retry"]["budget"] if route["retry"] and route["retry"]["budget"] else 0)
    if seconds is not None:
        assert all(each.at < began + seconds for each in asked[1:])

    group_of = {name: number for number, group in enumerate(groups) for name in group}
    for before, after in pairwise(asked):
        assert group_of[after.name] >= group_of[before.name]
        if before.outcome not in NEVER_SENT and REASONS.get(before.outcome) not in route["fallback_on"]:
            assert after.name == before.name
    for number, each in enumerate(asked):
        again = [other.outcome for other in asked[:number] if other.name == each.name]
        assert not again or again[-1] in MAY_PASS

    if isinstance(told, GatewayError):
        could = {each.outcome for each in asked} - NEVER_SENT
        assert isinstance(told, UpstreamError) is bool(could)
        last = asked[-1].outcome
        in_time = seconds is None
        if in_time and (last in NEVER_SENT or REASONS.get(last) in route["fallback_on"]):
            assert set(world.order) == set("".join(groups))


@given(
    GROUPS,
    ROUTES,
    st.lists(st.lists(st.one_of(STEPS, OUTCOMES.map("then {}".format)), max_size=8), min_size=5, max_size=5),
    st.lists(st.tuples(st.booleans(), st.floats(0, 20), st.floats(0, 5)), min_size=1, max_size=12),
)
@settings(max_examples=150)
def test_many_calls_of_any_route(
    groups: tuple[str, ...],
    route: dict[str, Any],
    scripts: list[Any],
    calls: list[tuple[bool, float, float]],
) -> None:
    """Streams and whole answers, callers who leave: only errors of ours come out, and nothing stays behind."""
    route["breaker"] = {"failures": 3, "open_seconds": 4}
    world = World(dict(zip("abcde", map(list, scripts), strict=True)))

    async def call(handler: Any, *, stream: bool, leaves: float) -> None:
        try:
            async with asyncio.timeout(leaves):
                answer = await handler(a_call(stream=stream))
                assert attempts(answer) >= 1
                if not isinstance(answer, Answer):
                    try:
                        async for _ in answer:
                            pass
                    finally:
                        await answer.aclose()
        except (TimeoutError, GatewayError):
            pass

    async def run() -> None:
        handler = world.route(*groups, **route)
        tasks = []
        for stream, leaves, later in calls:
            tasks.append(asyncio.create_task(call(handler, stream=stream, leaves=leaves)))
            await asyncio.sleep(later)
        await asyncio.gather(*tasks)
        await asyncio.sleep(1000)
        for target in targets_of(handler):
            assert not target.load.pending
            assert target.admits(asyncio.get_running_loop().time())
        world.scripts.clear()
        assert isinstance(await handler(a_call()), Answer)

    quickly(run)
