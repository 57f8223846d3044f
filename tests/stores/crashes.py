"""Processes that end by SIGKILL at every line of a change in turn: `crashes.py PATH`.

Run alone, because it forks. It ends with an error if any left the counters wrong.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from gateway_async.stores.base import CountersUnavailable, Level, Window
from gateway_async.stores.shared_memory import SharedMemoryCounters

PERIOD, RECORDS = 60, 16
Change = Callable[[SharedMemoryCounters], Coroutine[Any, Any, Any]]


class Clock:
    """A clock that goes when it is told to."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def dies(change: Change, path: Path, clock: Clock, line: int) -> bool:
    """Whether a process that makes a change dies at the so-manieth line that runs, before the change is made."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
        return status != 0
    counters = SharedMemoryCounters(path, records=RECORDS, clock=clock)
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if "gateway_async" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    call = change(counters)
    sys.settrace(trace)
    try:
        call.send(None)
    except StopIteration:
        pass
    sys.settrace(None)
    os._exit(0)


def at_once(call: Coroutine[Any, Any, Sequence[Level] | None]) -> Sequence[Level]:
    """The result of a call that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value or ()
    raise AssertionError("it waits for something")


def count(counters: SharedMemoryCounters, window: Window) -> int:
    """How much of a window is used."""
    (level,) = at_once(counters.take([], [window]))
    return window.most - level.remaining


def check(
    path: Path, name: str, before: Callable[[SharedMemoryCounters, Clock, Window], int], *, more: bool
) -> int:
    """Kill a process that takes a unit, of one window or of one more too, at every line. How many lines there were."""
    clock = Clock()
    counters = SharedMemoryCounters(path, records=RECORDS, clock=clock)
    for line in range(1000):
        window, other = Window(f"{name} {line}", 10, PERIOD), Window(f"other of {name} {line}", 10, PERIOD)
        used = before(counters, clock, window)
        windows = [window, other] if more else [window]
        died = dies(lambda own: own.take(windows), path, clock, line)  # noqa: B023 - it runs within this turn
        now = count(counters, window)
        assert now in ((used, used + 1) if died else (used + 1,)), (name, line, used, now)
        at_once(counters.take([window]))
        crowd(counters)
        assert count(counters, window) == now + 1, (name, line)
        if not died:
            return line
        clock.now += 10 * PERIOD  # makes room, and leaves counts behind
    raise AssertionError("it never ended")


def crowd(counters: SharedMemoryCounters) -> None:
    """Ask for more windows than there is room for."""
    for number in range(2 * RECORDS):
        try:
            at_once(counters.add([Window(f"crowd {number}", 10, PERIOD)], 7))
        except CountersUnavailable:
            return


def unused(counters: SharedMemoryCounters, clock: Clock, window: Window) -> int:
    """A window that has no record yet."""
    return 0


def used(counters: SharedMemoryCounters, clock: Clock, window: Window) -> int:
    """A window from which something was taken in this part of the period."""
    at_once(counters.add([window], 5))
    return 5


def used_before(counters: SharedMemoryCounters, clock: Clock, window: Window) -> int:
    """A window of which some parts have passed, and some are forgotten at the next look."""
    at_once(counters.add([window], 3))
    clock.now += PERIOD - 5
    at_once(counters.add([window], 4))
    clock.now += 30
    return 4


def forked(path: Path, fork: Callable[[], int]) -> int:
    """How many calls pass where processes have their counters from the one that they were forked from."""
    counters, window = SharedMemoryCounters(path), Window("forked", 300, 86_400)
    reader, writer = os.pipe()
    children = []
    for _ in range(4):
        child = fork()
        if not child:
            asyncio.run(_hammer(counters, window, writer))
            os._exit(0)
        children.append(child)
    os.close(writer)
    passed = 0
    while found := os.read(reader, 4096):
        passed += len(found)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    return passed


def forked_without_a_file() -> int:
    """How much is used of what a process has for itself, when one that was forked from it has taken as well."""
    counters, window = SharedMemoryCounters(), Window("own", 10, PERIOD)
    child = os.fork()
    if not child:
        os._exit(count(counters, window) + len(at_once(counters.take([window]))))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    return count(counters, window)


async def _hammer(counters: SharedMemoryCounters, window: Window, writer: int) -> None:
    for _ in range(200):
        if not (await counters.take([window]))[0].refused:
            os.write(writer, b".")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for state in (unused, used, used_before):
        assert check(place / f"{state.__name__} one", state.__name__, state, more=False) > 30
        assert check(place / f"{state.__name__} two", state.__name__, state, more=True) > 30
    assert forked(place / "forked", os.fork) == 300
    assert forked(place / "forked unseen", ctypes.PyDLL(None).fork) == 300  # as some servers do
    assert forked_without_a_file() == 0
