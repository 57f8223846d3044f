"""Our counters in memory beside those of the `limits` package, with the same calls at the same times."""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from gateway_async.stores.base import CountersUnavailable, Level, Window
from gateway_async.stores.shared_memory import SharedMemoryCounters

T = TypeVar("T")

PERIOD = 60
"""Seconds. A part of it is one second, so that the latest moment at which a unit comes back is a period of 61."""

GAPS = st.lists(
    st.one_of(
        st.just(0.0),
        st.floats(0, 1),
        st.floats(0, 30),
        st.sampled_from([0.5, 1.0, 7.0, 59.0, 60.0, 61.0, 62.0, 500.0]),
    ),
    min_size=1,
    max_size=60,
)
"""Seconds between calls."""

MOST = st.integers(1, 8)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Reference:
    """What `limits` counts within a period, of calls that passed."""

    def __init__(self, clock: Clock, seconds: int) -> None:
        self._clock = clock
        self._item = RateLimitItemPerSecond(10_000, seconds)
        with patch("threading.Timer"):  # it only clears what is old
            self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def record(self) -> None:
        """Count one."""
        with patch("time.time", self._clock), patch("threading.Timer"):
            assert self._limiter.hit(self._item)

    def used(self) -> int:
        """How many passed within the period."""
        with patch("time.time", self._clock), patch("threading.Timer"):
            return self._item.amount - self._limiter.get_window_stats(self._item).remaining


def at_once(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits for something")


def take(counters: SharedMemoryCounters, window: Window) -> Level:
    """One call."""
    return at_once(counters.take([window]))[0]


@given(most=MOST, gaps=GAPS)
def test_a_call_passes_where_limits_lets_it_or_a_part_of_the_period_later(
    most: int, gaps: Sequence[float]
) -> None:
    """Never before, and never later than that; and what is left is told as well as it can be."""
    clock = Clock()
    counters, window = SharedMemoryCounters(records=64, clock=clock), Window("a", most, PERIOD)
    exact, late = Reference(clock, PERIOD), Reference(clock, PERIOD + 1)

    for gap in gaps:
        clock.now += gap
        within, within_late = exact.used(), late.used()
        level = take(counters, window)
        if within >= most:
            assert level.refused
        if within_late < most:
            assert not level.refused
        if not level.refused:
            exact.record()
            late.record()
        passed = not level.refused
        assert most - within_late - passed <= level.remaining <= most - within - passed


@given(most=MOST, gaps=GAPS)
def test_no_period_sees_more_than_its_limit(most: int, gaps: Sequence[float]) -> None:
    """Wherever it begins."""
    clock = Clock()
    counters, window = SharedMemoryCounters(records=64, clock=clock), Window("a", most, PERIOD)
    passed: list[float] = []

    for gap in gaps:
        clock.now += gap
        if not take(counters, window).refused:
            passed.append(clock.now)

    assert all(later - earlier >= PERIOD for earlier, later in zip(passed, passed[most:], strict=False))


@given(
    most=MOST,
    gaps=GAPS,
    amounts=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    seconds=st.sampled_from([1, 7, 60, 3600, 86_400 * 365]),
)
def test_the_time_until_more_is_left_is_right(
    most: int, gaps: Sequence[float], amounts: Sequence[int], seconds: int
) -> None:
    """There is more then, whatever was used, and there was not one part of the period before."""
    clock = Clock()
    counters, window = SharedMemoryCounters(records=64, clock=clock), Window("a", most, seconds)

    for gap, amount in zip(gaps, amounts, strict=False):
        clock.now += gap * seconds / PERIOD
        at_once(counters.add([window], amount))
    (level,) = at_once(counters.take([], [window]))
    if level.remaining == most:
        assert level.reset == 0
        return

    now = clock.now
    clock.now = now + level.reset - seconds / 60 - 0.01
    if clock.now > now:
        (before,) = at_once(counters.take([], [window]))
        assert before.remaining == level.remaining
    clock.now = now + level.reset
    (after,) = at_once(counters.take([], [window]))
    assert after.remaining > level.remaining


@given(
    keys=st.lists(st.integers(0, 40), min_size=1, max_size=200),
    gap=st.floats(0, 10),
)
def test_a_small_table_never_counts_wrong(keys: Sequence[int], gap: float) -> None:
    """Windows that are idle for their period make room for others, and no other's count is lost with them."""
    clock = Clock()
    passed: dict[int, list[float]] = {}
    with TemporaryDirectory() as directory:
        path = Path(directory) / "counts"
        processes = [SharedMemoryCounters(path, records=16, clock=clock) for _ in range(2)]
        for number, key in enumerate(keys):
            clock.now += gap
            try:
                level = take(processes[number % 2], Window(str(key), 2, PERIOD))
            except CountersUnavailable:
                continue
            if not level.refused:
                passed.setdefault(key, []).append(clock.now)
        for counters in processes:
            at_once(counters.aclose())

    for times in passed.values():
        assert all(later - earlier >= PERIOD for earlier, later in zip(times, times[2:], strict=False))
