"""So many calls of a route at once: through a gateway, with a mock upstream behind it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_async.call import Answer, Call, Handler, Headers, StreamAnswer
from gateway_async.config import RouteConfig, RouteType
from gateway_async.config_file import load_config
from gateway_async.errors import (
    ConfigError,
    GatewayError,
    Unavailable,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway_async.gateway import Gateway
from gateway_async.policies.concurrency import PlacesByRoute, with_concurrency
from tests.support.configs import HELLO, Json, upstream_route
from tests.support.upstream import DONE, GATE, HOLD, MockUpstream, Reply, chat, delta, error, stream

LONG = 600


def route(upstream: MockUpstream, most: int, queue: int = 0, *, name: str = "chat", **more: Any) -> Json:
    """A route with so many places."""
    places = {"max": most, "queue": queue, "queue_seconds": LONG, **more}
    return upstream_route(name, "chat", upstream.url, concurrency=places)


def configured(*endpoints: Json) -> Sequence[RouteConfig]:
    """Routes."""
    return load_config({"endpoints": list(endpoints)}).routes


@asynccontextmanager
async def gateway_of(*endpoints: Json) -> AsyncIterator[Gateway]:
    """A gateway."""
    async with Gateway(load_config({"endpoints": list(endpoints)})) as gateway:
        yield gateway


async def call(gateway: Gateway, name: str = "chat", **more: Any) -> Answer | StreamAnswer:
    """One call."""
    return await gateway.handle(gateway.find(name), {**HELLO, **more})


def calls(gateway: Gateway, count: int, **more: Any) -> list[asyncio.Task[Answer | StreamAnswer]]:
    """So many calls at once."""
    return [asyncio.create_task(call(gateway, **more)) for _ in range(count)]


async def request(upstream: MockUpstream, index: int) -> None:
    """Wait until the upstream has so many requests."""
    await asyncio.to_thread(upstream.request, index)


async def refusals(tasks: Iterable[asyncio.Task[Any]], count: int) -> list[Unavailable]:
    """Wait until so many of these are refused."""
    refused = []
    for done in asyncio.as_completed(tasks):
        with pytest.raises(Unavailable) as refusal:
            await done
        refused.append(refusal.value)
        if len(refused) == count:
            break
    return refused


async def test_so_many_pass_the_next_wait_and_all_others_are_refused(upstream: MockUpstream) -> None:
    """Exactly, and the upstream never has more requests than that; a refusal says what to do."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 3, 4)) as gateway:
        before = upstream.connections
        tasks = calls(gateway, 20)
        refused = await refusals(tasks, 13)
        await request(upstream, 2)
        assert len(upstream.received) == 3

        upstream.open_gate()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        assert sum(isinstance(result, Answer) for result in results) == 7
        assert upstream.connections - before <= 3
    assert {(refusal.status, refusal.retry_after) for refusal in refused} == {(503, 1)}
    assert refused[0].message == (
        "the route 'chat' is full: 3 under way and 4 waiting, which is all that its concurrency allows; "
        "call again in 1 s"
    )


async def test_twice_as_many_may_wait_unless_the_route_says_otherwise(upstream: MockUpstream) -> None:
    """The default of `queue`."""
    upstream.reply(chat(before=GATE))
    endpoint = upstream_route("chat", "chat", upstream.url, concurrency={"max": 2, "queue_seconds": LONG})
    async with gateway_of(endpoint) as gateway:
        tasks = calls(gateway, 10)
        await refusals(tasks, 4)
        upstream.open_gate()
        results = await asyncio.gather(*tasks, return_exceptions=True)

    assert sum(isinstance(result, Answer) for result in results) == 6


async def test_one_who_waits_too_long_is_refused(upstream: MockUpstream) -> None:
    """With the time after which to come back; the call under way goes on."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 1, 1, queue_seconds=0.1)) as gateway:
        first, second = calls(gateway, 2)

        (refused,) = await refusals([second], 1)

        assert "this call has waited for 0.1 s" in refused.message
        assert refused.retry_after
        assert refused.retry_after >= 1
        upstream.open_gate()
        assert isinstance(await first, Answer)
    assert len(upstream.received) == 1


async def test_the_caller_s_own_deadline_bounds_the_wait(upstream: MockUpstream) -> None:
    """Where it comes before `queue_seconds`."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 1, 1)) as gateway:
        (first,) = calls(gateway, 1)
        await request(upstream, 0)

        with pytest.raises(Unavailable, match=r"has waited for 0\.[12] s"):
            await gateway.handle(gateway.find("chat"), HELLO, timeout=0.2)

        upstream.open_gate()
        assert isinstance(await first, Answer)


async def test_a_stream_holds_its_place_until_its_end(upstream: MockUpstream) -> None:
    """Read to its end, or closed before it."""
    upstream.reply(stream(delta("Hi"), GATE, delta(finish="stop"), DONE))
    async with gateway_of(route(upstream, 1)) as gateway:
        read = await call(gateway, stream=True)
        assert not isinstance(read, Answer)
        assert await anext(read)
        with pytest.raises(Unavailable):
            await call(gateway)
        upstream.open_gate()
        assert [chunk async for chunk in read]

        closed = await call(gateway, stream=True)
        assert not isinstance(closed, Answer)
        with pytest.raises(Unavailable):
            await call(gateway)
        for _ in range(2):
            await closed.aclose()

        upstream.reply(chat())
        assert isinstance(await call(gateway), Answer)


@pytest.mark.parametrize("reply", [error(400), error(500)], ids=["refused", "failed"])
async def test_a_call_that_fails_gives_its_place_back(upstream: MockUpstream, reply: Reply) -> None:
    """However it fails."""
    async with gateway_of(route(upstream, 1)) as gateway:
        for _ in range(3):
            upstream.reply(reply)
            with pytest.raises(GatewayError) as failed:
                await call(gateway)
            assert not isinstance(failed.value, Unavailable)
        upstream.reply(chat())
        assert isinstance(await call(gateway), Answer)


async def test_a_caller_who_leaves_the_queue_makes_room_in_it(upstream: MockUpstream) -> None:
    """At once; and the upstream never hears of it."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 1, 1)) as gateway:
        first, second = calls(gateway, 2)
        await refusals(calls(gateway, 1), 1)
        second.cancel()
        await asyncio.wait([second])
        (third,) = calls(gateway, 1)
        await refusals(calls(gateway, 1), 1)

        upstream.open_gate()
        assert all(isinstance(answer, Answer) for answer in await asyncio.gather(first, third))
    assert len(upstream.received) == 2


async def test_a_caller_who_leaves_under_way_lets_the_next_one_in(upstream: MockUpstream) -> None:
    """Though its upstream would never have answered."""
    upstream.reply(Reply(before=HOLD))
    async with gateway_of(route(upstream, 1, 1)) as gateway:
        first, second = calls(gateway, 2)
        await request(upstream, 0)
        upstream.answer_with(chat())

        first.cancel()

        assert isinstance(await second, Answer)


async def test_a_full_route_hinders_no_other(upstream: MockUpstream) -> None:
    """Each has its own places."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 1), route(upstream, 1, name="other")) as gateway:
        (first,) = calls(gateway, 1)
        await request(upstream, 0)
        with pytest.raises(Unavailable):
            await call(gateway)
        (other,) = calls(gateway, 1, name="other")
        await request(upstream, 1)
        upstream.open_gate()
        assert all(isinstance(answer, Answer) for answer in await asyncio.gather(first, other))


async def test_calls_under_way_count_when_the_route_changes(upstream: MockUpstream) -> None:
    """Its new number holds for the old ones and the new ones together, and the queue is the same."""
    upstream.reply(chat(before=GATE))
    async with gateway_of(route(upstream, 2, 1)) as gateway:
        old = calls(gateway, 3)
        await request(upstream, 1)

        gateway.serve(configured(route(upstream, 3, 2)))
        new = calls(gateway, 3)
        await refusals(new, 1)
        await request(upstream, 2)
        assert len(upstream.received) == 3

        gateway.serve(configured(route(upstream, 1)))
        await refusals(calls(gateway, 1), 1)
        upstream.open_gate()
        results = await asyncio.gather(*old, *new, return_exceptions=True)
        assert sum(isinstance(result, Answer) for result in results) == 5
        assert isinstance(await call(gateway), Answer)


async def test_a_route_that_counts_nothing_has_nothing_around_it(upstream: MockUpstream) -> None:
    """Nothing on the way of a request for a feature that nobody asked for."""
    (plain,) = configured(upstream_route("chat", "chat", upstream.url))

    async def inner(call: Call) -> Answer:
        raise NotImplementedError

    assert with_concurrency(inner, plain, PlacesByRoute()) is inner


class Words:
    """A stream of two batches, which takes a round of the loop for each and may fail in the second."""

    headers: Headers = ()

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails
        self._left = 2

    def __aiter__(self) -> "Words":
        return self

    async def __anext__(self) -> Sequence[bytes]:
        await asyncio.sleep(0)
        self._left -= 1
        if self._left == 0 and self._fails:
            raise UpstreamTimeout("no")
        if self._left < 0:
            raise StopAsyncIteration
        return [b"{}"]

    async def aclose(self) -> None:
        await asyncio.sleep(0)


async def outcome(call: Call) -> Answer | StreamAnswer:
    """What a call's data asks for."""
    await asyncio.sleep(0)
    match call.data["asks"]:
        case "failure":
            raise UpstreamTimeout("no")
        case "silence":
            await asyncio.Event().wait()
        case "stream" | "closed stream":
            return Words(fails=False)
        case "broken stream":
            return Words(fails=True)
    return Answer(b"{}")


OUTCOMES = st.sampled_from(["answer", "failure", "silence", "stream", "closed stream", "broken stream"])


@settings(max_examples=150)
@given(
    st.lists(st.tuples(OUTCOMES, st.one_of(st.none(), st.integers(0, 12)), st.integers(0, 3)), max_size=12),
    st.booleans(),
)
def test_every_place_comes_back(visits: list[tuple[str, int | None, int]], adapts: bool) -> None:
    """Whatever becomes of the calls, and at whatever moment their callers leave."""
    places = PlacesByRoute()
    concurrency = {"max": 2, "queue": 3, "queue_seconds": LONG, "adaptive": adapts}
    (config,) = configured(upstream_route("chat", "chat", "http://127.0.0.1:9", concurrency=concurrency))
    assert config.concurrency is not None
    handler = with_concurrency(outcome, config, places)

    async def visit(asks: str) -> None:
        answer = await handler(Call("chat", RouteType.LLM_V1_CHAT, {"asks": asks}, stream=False))
        if isinstance(answer, Answer):
            return
        try:
            if asks != "closed stream":
                async for _ in answer:
                    pass
        finally:
            await answer.aclose()

    async def run() -> None:
        tasks = []
        leaves: dict[asyncio.Task[None], int] = {}
        for asks, leaving, pause in visits:
            task = asyncio.create_task(visit(asks))
            tasks.append(task)
            leaves[task] = 40 if leaving is None else leaving
            for _ in range(pause):
                await asyncio.sleep(0)
        for moment in range(41):
            for task in tasks:
                if leaves[task] == moment:
                    task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
    left = places.of("chat", config.concurrency)
    assert (left.taken, left.waiting) == (0, 0)


class Provider:
    """A provider that takes so many calls at once, and says so to those beyond; each takes a few rounds of the loop."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.under_way = 0
        self.told: Counter[int] = Counter()

    async def __call__(self, call: Call) -> Answer:
        """Answer, or refuse."""
        self.under_way += 1
        try:
            beyond = self.under_way > self.capacity
            await asyncio.sleep(0)
            status = 429 if beyond else 200
            self.told[status] += 1
            if beyond:
                raise UpstreamRefused("too many", upstream_status=429, status=429)
            await asyncio.sleep(0)
            return Answer(b"{}")
        finally:
            self.under_way -= 1


def adaptive(inner: Handler, most: int) -> Handler:
    """A route that adapts."""
    places = {"max": most, "queue": 1000, "queue_seconds": LONG, "adaptive": True}
    (config,) = configured(upstream_route("chat", "chat", "http://127.0.0.1:9", concurrency=places))
    return with_concurrency(inner, config, PlacesByRoute())


def chat_call(**more: Any) -> Call:
    """One call."""
    return Call("chat", RouteType.LLM_V1_CHAT, HELLO, stream=False, **more)


async def test_an_adaptive_route_finds_out_what_its_provider_can_take() -> None:
    """After some rounds hardly a call is refused there, and the provider is kept busy."""
    provider = Provider(capacity=8)
    handler = adaptive(provider, most=100)
    most_busy = 0

    async def caller(count: int) -> None:
        nonlocal most_busy
        for _ in range(count):
            try:
                await handler(chat_call())
            except UpstreamRefused:
                pass
            most_busy = max(most_busy, provider.under_way)

    await asyncio.gather(*(caller(20) for _ in range(100)))
    provider.told.clear()
    most_busy = 0
    await asyncio.gather(*(caller(20) for _ in range(100)))

    assert provider.told[429] < 0.1 * provider.told[200]
    assert 6 <= most_busy <= 16


async def at_once(handler: Handler) -> int:
    """How many calls an adaptive route lets through at once."""
    held, inside = asyncio.Event(), 0

    async def wait() -> None:
        nonlocal inside
        inside += 1
        await held.wait()

    async def see() -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        held.set()
        return inside

    waiting = (handler(Call("chat", RouteType.LLM_V1_CHAT, {"wait": wait}, stream=False)) for _ in range(20))
    async with asyncio.TaskGroup() as group:
        for each in waiting:
            group.create_task(each)  # type: ignore[arg-type] # an awaitable that is a coroutine
        seen = group.create_task(see())
    return seen.result()


def out_of_credit() -> UpstreamRefused:
    """A refusal that no time heals."""
    failed = UpstreamRefused("no", upstream_status=429, status=429)
    failed.passes = False
    return failed


@pytest.mark.parametrize(
    ("failure", "lowers"),
    [
        (UpstreamRefused("no", upstream_status=429, status=429), True),
        (UpstreamUnavailable("no", upstream_status=503), True),
        (UpstreamUnavailable("no", upstream_status=529), True),
        (UpstreamTimeout("no"), True),
        (UpstreamRefused("no", upstream_status=400), False),
        (out_of_credit(), False),
        (UpstreamUnavailable("can't be reached"), False),
        (GatewayError("a bug"), False),
        (asyncio.CancelledError(), False),
    ],
    ids=["429", "503", "529", "time-out", "400", "no credit", "unreachable", "ours", "caller left"],
)
async def test_an_adaptive_route_lets_fewer_through_after_an_overload(
    failure: BaseException, lowers: bool
) -> None:
    """And after nothing else; many failures at once are one overload."""

    async def inner(call: Call) -> Answer:
        if "wait" in call.data:
            await call.data["wait"]()
            return Answer(b"{}")
        await asyncio.sleep(0)
        raise failure

    handler = adaptive(inner, most=10)
    assert await at_once(handler) == 10

    await asyncio.gather(*(handler(chat_call()) for _ in range(5)), return_exceptions=True)

    assert await at_once(handler) == (7 if lowers else 10)


async def test_a_caller_in_a_hurry_tells_nothing_of_the_provider() -> None:
    """One who gave it no time takes no places from the others; one whom the route itself let wait no longer does."""

    async def inner(call: Call) -> Answer:
        if "wait" in call.data:
            await call.data["wait"]()
            return Answer(b"{}")
        raise UpstreamTimeout("no")

    handler = adaptive(inner, most=10)
    now = time.monotonic()
    for deadline, passes in ((now, 10), (now + LONG, 7)):
        with pytest.raises(UpstreamTimeout):
            await handler(chat_call(deadline=deadline, hurried=True))
        assert await at_once(handler) == passes


async def test_what_was_learnt_stays_when_the_route_changes(upstream: MockUpstream) -> None:
    """More places do not make the provider take more; without `adaptive` it is the configured number."""
    upstream.reply(error(429))
    async with gateway_of(route(upstream, 10, adaptive=True)) as gateway:
        for _ in range(3):
            with pytest.raises(UpstreamRefused):
                await call(gateway)

        for adapts, passes in ((True, 3), (False, 20)):
            gateway.serve(configured(route(upstream, 20, adaptive=adapts)))
            upstream.reply(chat(before=GATE))
            tasks = calls(gateway, 25)
            await refusals(tasks, 25 - passes)
            upstream.open_gate()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(result, Answer) for result in results) == passes


def test_a_server_does_not_adapt() -> None:
    """It has many providers, and follows none; the error says where the word belongs."""
    with pytest.raises(ConfigError, match="adaptive is for routes"):
        load_config({"endpoints": [], "server": {"concurrency": {"max": 5, "adaptive": True}}})
