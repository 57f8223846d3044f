"""What holds for counters wherever they count."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway_async.errors import ConfigError
from gateway_async.stores import open_counters
from gateway_async.stores.base import Counters, Level, Window
from tests.stores.redis_server import RedisServer, redis_server

BACKENDS = ("memory of the machine", "memory of the process", "Redis")

_numbers = count()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=BACKENDS)
async def counters(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counters]:
    """Counters of each kind."""
    backend = request.param
    if backend == "Redis":
        opened = open_counters(request.getfixturevalue("redis").address, None)
    else:
        opened = open_counters("memory://", tmp_path / "counts" if "machine" in backend else None)
    yield opened
    await opened.aclose()


def window(most: int, seconds: int = 3600, *, key: str = "") -> Window:
    """A window that no other test has."""
    return Window(f"{key}-{next(_numbers)}", most, seconds)


async def passes(counters: Counters, *calls: Window, tokens: tuple[Window, ...] = ()) -> bool:
    """Whether a call passes."""
    return not any(level.refused for level in await counters.take(calls, tokens))


async def until(passed: Callable[[], asyncio.Future[bool]], seconds: float) -> float:
    """The time at which something passes, which must be within so many seconds."""
    deadline = time.monotonic() + seconds
    while not await passed():
        assert time.monotonic() < deadline, "it never passed"
        await asyncio.sleep(0.02)
    return time.monotonic()


async def test_a_limit_of_n_lets_n_of_many_pass(counters: Counters) -> None:
    """However many come at the same time."""
    limit = window(100)

    passed = await asyncio.gather(*[passes(counters, limit) for _ in range(1000)])

    assert sum(passed) == 100


async def test_units_come_back_after_the_period_and_not_before(counters: Counters) -> None:
    """A moving window: whoever used it up waits until what passed is a period ago."""
    limit = window(2, 1)
    began = time.monotonic()
    assert await passes(counters, limit)
    assert await passes(counters, limit)
    used_up = time.monotonic()

    back = await until(lambda: asyncio.ensure_future(passes(counters, limit)), 30)

    assert back - began >= 1
    assert back - used_up < 20


async def test_a_moving_window_holds_over_the_end_of_a_period(counters: Counters) -> None:
    """In no span of the period's length do more pass: where fixed windows meet, twice as many could."""
    limit = window(5, 1)
    times: list[tuple[float, float]] = []
    end = time.monotonic() + 2.3

    while (before := time.monotonic()) < end:
        if await passes(counters, limit):
            times.append((before, time.monotonic()))
        await asyncio.sleep(0.01)

    assert len(times) > 5
    for (earlier, _), (_, later) in zip(times, times[5:], strict=False):
        assert later - earlier >= 0.95


async def test_nothing_is_taken_where_one_window_is_used_up(counters: Counters) -> None:
    """A call that is refused counts nowhere."""
    wide, narrow = window(10), window(1)
    assert await passes(counters, narrow, wide)

    refused = await counters.take([narrow, wide])
    left = await counters.take([wide])

    assert [level.refused for level in refused] == [True, False]
    assert [level.remaining for level in refused] == [0, 9]
    assert left[0].remaining == 8


async def test_a_caller_over_its_own_limit_does_not_use_up_the_shared_one(counters: Counters) -> None:
    """All others go on."""
    route = window(10, key="route")
    mine, yours = window(1, key="me"), window(5, key="you")

    mine_passed = await asyncio.gather(*[passes(counters, mine, route) for _ in range(50)])
    yours_passed = await asyncio.gather(*[passes(counters, yours, route) for _ in range(50)])

    assert (sum(mine_passed), sum(yours_passed)) == (1, 5)
    assert (await counters.take([route]))[0].remaining == 3


async def test_the_narrowest_of_several_windows_decides(counters: Counters) -> None:
    """Each kept, when all are asked at once."""
    route, user = window(30), window(20)

    passed = await asyncio.gather(*[passes(counters, user, route) for _ in range(100)])

    assert sum(passed) == 20


async def test_two_limits_of_the_same_period_count_a_call_once(counters: Counters) -> None:
    """They are the same window with another size; the smaller holds."""
    small = window(3)
    large = Window(small.key, 5, small.seconds)

    passed = [await passes(counters, large, small) for _ in range(8)]

    assert sum(passed) == 3


async def test_calls_are_refused_once_the_tokens_are_used(counters: Counters) -> None:
    """What is used is known at the end: more than was left counts too, and calls wait until it is gone."""
    calls, tokens = window(1000), window(100, 2)
    assert await passes(counters, calls, tokens=(tokens,))
    await counters.add([tokens], 60)
    assert await passes(counters, calls, tokens=(tokens,))
    used = time.monotonic()
    await counters.add([tokens], 60)

    refused = await counters.take([calls], [tokens])
    assert [(level.remaining, level.refused) for level in refused] == [(998, False), (0, True)]
    assert refused[1].reset > 0
    back = await until(lambda: asyncio.ensure_future(passes(counters, calls, tokens=(tokens,))), 30)

    assert back - used < 20


async def test_tokens_alone_can_be_limited(counters: Counters) -> None:
    """A route may have no limit of calls."""
    tokens = window(10)
    assert await passes(counters, tokens=(tokens,))

    await counters.add([tokens], 10)

    assert not await passes(counters, tokens=(tokens,))


async def test_a_huge_use_does_not_overflow(counters: Counters) -> None:
    """However much is added, the window is full and stays so."""
    tokens = window(2**31 - 1)
    for _ in range(3):
        await counters.add([tokens], 2**40)

    (level,) = await counters.take([], [tokens])

    assert level.refused
    assert level.remaining == 0
    assert 0 < level.reset <= 2 * 3600 + 1


@pytest.mark.parametrize("seconds", [1, 10 * 365 * 86400])
async def test_a_closed_window_lets_nothing_pass(counters: Counters, seconds: int) -> None:
    """`calls: 0`, for ever."""
    closed, other = window(0, seconds), window(10)

    levels = await counters.take([closed, other])

    assert [level.refused for level in levels] == [True, False]
    assert levels[0].reset >= 1
    assert (await counters.take([other]))[0].remaining == 9


@pytest.mark.parametrize("seconds", [1, 60, 86400, 10 * 365 * 86400])
async def test_a_level_tells_what_is_left_and_when_there_is_more(counters: Counters, seconds: int) -> None:
    """The first unit comes back a period after it was taken, or a little later."""
    limit = window(3, seconds)

    levels = [(await counters.take([limit]))[0] for _ in range(2)]

    assert [level.remaining for level in levels] == [2, 1]
    for level in levels:
        assert level.window == limit
        assert not level.refused
        assert 0 < level.reset <= seconds * 61 / 60 + 0.01


async def test_who_waits_as_long_as_it_was_told_passes(counters: Counters) -> None:
    """The time is never too short."""
    limit = window(1, 1)
    while not (level := (await counters.take([limit]))[0]).refused:
        pass

    await asyncio.sleep(level.reset)

    assert await passes(counters, limit)


async def test_an_unused_window_has_everything_left(counters: Counters) -> None:
    """To be asked is not to use."""
    tokens = window(7)

    for _ in range(3):
        assert list(await counters.take([], [tokens])) == [Level(tokens, 7, 0.0)]


async def test_odd_names_are_names(counters: Counters) -> None:
    """They come from keys and addresses, and may hold anything."""
    names = ["", " ", "a b", "ü", "\ud800", "{x}", "*", "x" * 5000, "\0"]

    for name in names:
        limit = window(1, key=name)
        assert [await passes(counters, limit), await passes(counters, limit)] == [True, False]


async def test_a_call_that_is_given_up_harms_no_other(counters: Counters) -> None:
    """Callers leave at any moment; those that stay are counted right."""
    limit = window(100)
    for _ in range(20):
        leaving = [asyncio.ensure_future(passes(counters, window(5), limit)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        assert await passes(counters, window(5))
        await asyncio.gather(*leaving, return_exceptions=True)

    passed = await asyncio.gather(*[passes(counters, limit) for _ in range(200)])
    assert sum(passed) <= 100
    assert not await passes(counters, limit)


async def test_closed_counters_open_again(counters: Counters) -> None:
    """At the next call. To close them twice is nothing."""
    limit = window(2)
    assert await passes(counters, limit)

    await counters.aclose()
    await counters.aclose()

    assert await passes(counters, limit)


@pytest.mark.parametrize("backend", ["memory", "redis"])
def test_counters_go_from_one_loop_to_another(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The blocking package and notebooks have several, one after the other."""
    address = "memory://" if backend == "memory" else request.getfixturevalue("redis").address
    counters, limit = open_counters(address, tmp_path / "counts"), window(3)

    async def one_after_the_other() -> bool:
        passed = await passes(counters, limit)
        await counters.aclose()
        return passed

    assert [asyncio.run(one_after_the_other()) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("scheme", ["redis", "valkey", "REDIS", "redis+unix", "valkey+unix"])
async def test_redis_has_several_addresses(redis: RedisServer, scheme: str) -> None:
    """Valkey is one too; and both may listen in the file system."""
    rest = (redis.socket_address if "unix" in scheme else redis.address).partition("://")[2]
    counters, limit = open_counters(f"{scheme}://{rest}", None), window(1)

    assert [await passes(counters, limit), await passes(counters, limit)] == [True, False]
    await counters.aclose()


async def test_redis_without_its_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra, not a stack of imports."""
    for name in [name for name in sys.modules if name.startswith("gateway_async.stores.redis")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("redis", "redis.asyncio"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ConfigError, match=r"ai-gateway-sdk\[redis\]"):
        open_counters("redis://localhost", None)


async def test_an_address_of_another_kind_is_refused_without_its_password() -> None:
    """The message says what may be written."""
    with pytest.raises(ConfigError, match="redis://host:6379/0") as refused:
        open_counters("memcached://:s3cret@host", None)

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["redis://:s3cret@host:port/0", "redis://:s3cret@[::1", "redis://h/0?s3cret=1"]
)
async def test_a_wrong_address_of_redis_is_refused_without_its_password(address: str) -> None:
    """When the counters are opened, not at the first call."""
    with pytest.raises(ConfigError, match="is not understood") as refused:
        open_counters(address, None)

    assert "s3cret" not in str(refused.value)
