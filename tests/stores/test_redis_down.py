"""Counters in Redis when it is not there, does not answer, or comes back."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway_async.stores.base import CountersUnavailable, Window
from gateway_async.stores.redis import RedisCounters
from tests.stores.redis_server import RedisServer, redis_server
from tests.support.ports import closed_port
from tests.support.tasks import others_done

LIMIT = Window("a", 1000, 3600)
SOON = 5.0
"""Seconds that are far more than the 50 ms of a call, for machines that are busy."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, "s3cret") as server:
        yield server


@pytest.fixture
async def counters(redis: RedisServer) -> AsyncIterator[RedisCounters]:
    opened = RedisCounters(redis.address)
    yield opened
    await opened.aclose()


async def fails(counters: RedisCounters) -> float:
    """The seconds after which a call learns that nobody counts."""
    began = time.monotonic()
    with pytest.raises(CountersUnavailable):
        await counters.take([LIMIT])
    return time.monotonic() - began


async def passes(counters: RedisCounters, window: Window = LIMIT) -> bool:
    return not (await counters.take([window]))[0].refused


async def healed(counters: RedisCounters) -> None:
    """Wait until it counts again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await counters.take([LIMIT])
            except CountersUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


@pytest.mark.parametrize("way", ["stopped", "paused"])
async def test_it_is_told_once_that_redis_is_gone_and_once_that_it_is_back(
    redis: RedisServer, counters: RedisCounters, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """With how long it was and how many calls went uncounted. It heals by itself, and nobody waits for long."""
    assert await passes(counters)
    with caplog.at_level(logging.INFO, "gateway_async"):
        if way == "stopped":
            redis.stop()
        else:
            redis.pause()
        waits = [await fails(counters) for _ in range(20)]
        waits += await asyncio.gather(*[fails(counters) for _ in range(50)])
        with pytest.raises(CountersUnavailable):
            await counters.add([LIMIT], 5)
        undecided = counters.undecided
        if way == "stopped":
            redis.start()
        else:
            redis.resume()
        await healed(counters)

    assert max(waits) < SOON
    assert undecided == 71
    gone, back = [record.getMessage() for record in caplog.records]
    assert f"Redis at 127.0.0.1:{redis.port} does not count" in gone
    assert f"{counters.undecided} calls went uncounted" in back
    assert "s3cret" not in caplog.text


async def test_all_that_wait_learn_at_once_that_redis_is_gone(
    redis: RedisServer, counters: RedisCounters
) -> None:
    """One of them found out; the others do not try again."""
    assert await passes(counters)
    redis.pause()
    began = time.monotonic()

    results = await asyncio.gather(*[fails(counters) for _ in range(500)])

    assert len(results) == 500
    assert time.monotonic() - began < SOON
    redis.resume()
    await healed(counters)


async def test_counts_are_kept_over_a_pause(redis: RedisServer, counters: RedisCounters) -> None:
    """What Redis knew it still knows, and no connection brings an answer that was another's."""
    small = Window("b", 2, 3600)
    assert await passes(counters, small)
    redis.pause()
    await fails(counters)
    redis.resume()
    await healed(counters)

    assert [await passes(counters, small) for _ in range(2)] == [True, False]


async def test_redis_that_was_never_there_may_come(tmp_path: Path) -> None:
    """A gateway starts without it."""
    with redis_server(tmp_path) as redis:
        redis.stop()
        counters = RedisCounters(redis.address)
        await fails(counters)
        redis.start()

        await healed(counters)
        await counters.aclose()


async def test_a_restart_between_two_calls_is_no_failure(
    redis: RedisServer, counters: RedisCounters, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is seen to be dead before it is used."""
    assert await passes(counters)
    redis.stop()
    redis.start()
    await asyncio.sleep(0.1)

    assert await passes(counters)
    assert caplog.records == []


async def test_a_wrong_password_is_said_without_it(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis is there, and does not count."""
    counters = RedisCounters(redis.address.replace("s3cret", "wr0ng"))

    await fails(counters)
    await fails(counters)
    await counters.aclose()

    (record,) = caplog.records
    assert "password" in record.getMessage()
    assert "wr0ng" not in caplog.text


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR s3cret\r\n", b"", b"$-7\r\n"])
async def test_a_server_that_is_not_redis_is_one_that_does_not_count(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it answers; and if it repeats the password, the log does not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    counters = RedisCounters(f"redis://:s3cret@127.0.0.1:{port}")

    assert await fails(counters) < SOON
    await counters.aclose()
    server.close()
    await others_done()

    assert len(caplog.records) == 1
    assert "s3cret" not in caplog.text


async def test_a_slow_redis_is_one_that_does_not_count(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A call does not wait for it, and it is not taken for healed while it is slow."""
    delay = 0.4

    async def slowed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await asyncio.sleep(delay)
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", redis.port)
        await asyncio.gather(slowed(reader, to_redis), slowed(from_redis, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    counters = RedisCounters(f"redis://:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for _ in range(5):
        assert await fails(counters) < SOON
        await asyncio.sleep(0.1)
    assert len(caplog.records) == 1

    delay = 0.0
    await healed(counters)
    await counters.aclose()
    server.close()
    await others_done()
    assert len(caplog.records) == 2


async def test_a_busy_loop_is_not_redis_s_silence(redis: RedisServer, counters: RedisCounters) -> None:
    """The answer was there; this process had no time to read it."""
    assert await passes(counters)

    call = asyncio.ensure_future(passes(counters))
    for _ in range(4):
        await asyncio.sleep(0)
    time.sleep(0.12)  # noqa: ASYNC251 - the loop is blocked on purpose

    assert await call
    assert counters.undecided == 0


async def test_calls_that_are_given_up_while_redis_is_silent_harm_nothing(
    redis: RedisServer, counters: RedisCounters
) -> None:
    """Nor is anybody told of errors of theirs."""
    assert await passes(counters)
    redis.pause()
    leaving = [asyncio.ensure_future(counters.take([LIMIT])) for _ in range(5)]
    await asyncio.sleep(0.01)
    for call in leaving:
        call.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    redis.resume()

    await healed(counters)
    assert await passes(counters)


async def test_to_close_while_redis_is_gone_ends_all_that_runs() -> None:
    """Those who wait are told, and nothing looks for Redis any more."""
    counters = RedisCounters(f"redis://127.0.0.1:{closed_port()}")
    await fails(counters)
    before = len(asyncio.all_tasks())

    await counters.aclose()

    assert before > 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_another_loop_looks_for_redis_too(redis: RedisServer) -> None:
    """Where the one that began to has ended."""
    counters = RedisCounters(redis.address)

    async def gone() -> None:
        redis.stop()
        await fails(counters)
        await counters.aclose()

    async def back() -> None:
        await healed(counters)
        await counters.aclose()

    asyncio.run(gone())
    redis.start()
    asyncio.run(back())


async def test_two_gateways_share_a_limit(redis: RedisServer) -> None:
    """N is N for both together."""
    gateways = [RedisCounters(redis.address) for _ in range(2)]
    route, users = Window("route", 100, 3600), [Window(f"user {n}", 40, 3600) for n in range(5)]

    calls = [gateway.take([users[n % 5], route]) for n in range(150) for gateway in gateways]
    passed = [not any(level.refused for level in levels) for levels in await asyncio.gather(*calls)]

    assert sum(passed) == 100
    for gateway in gateways:
        assert gateway.undecided == 0
        await gateway.aclose()


def test_it_works_on_uvloop_too(redis: RedisServer) -> None:
    """The server runs on it."""
    uvloop = pytest.importorskip("uvloop")
    counters, small = RedisCounters(redis.address), Window("c", 3, 3600)

    async def work() -> int:
        passed = sum(await asyncio.gather(*[passes(counters, small) for _ in range(20)]))
        redis.pause()
        await fails(counters)
        redis.resume()
        await healed(counters)
        await counters.aclose()
        return passed

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(work()) == 3
