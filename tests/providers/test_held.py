"""Credentials that are held: who waits for new ones, and who does not."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from gateway_async.credentials.held import FAILED_SECONDS, Held, Holder
from tests.support.tasks import others_done


class Source:
    """Gives 1, 2, 3 …; each time it blocks until it is let go."""

    def __init__(self, *, refresh: float = 100, ends: float = 200) -> None:
        self.asked = 0
        self.problem: Exception | None = None
        self.go = threading.Event()
        self._refresh, self._ends = refresh, ends

    def fetch(self) -> Held[int]:
        """The next number."""
        self.asked += 1
        number = self.asked
        assert self.go.wait(10)
        if self.problem is not None:
            raise self.problem
        now = time.time()
        return Held(number, now + self._refresh, now + self._ends)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock."""
    real, moved = time.time, [0.0]
    monkeypatch.setattr("gateway_async.credentials.held.time.time", lambda: real() + moved[0])

    def move(seconds: float) -> None:
        moved[0] += seconds

    return move


async def test_nobody_waits_while_something_is_held(later: Callable[[float], None]) -> None:
    """The next is asked for once, and what is held serves until it is there."""
    source = Source()
    source.go.set()
    holder = Holder(source.fetch)
    assert await holder.get() == 1
    source.go.clear()
    later(150)

    async with asyncio.timeout(1):
        assert [await holder.get() for _ in range(20)] == [1] * 20

    source.go.set()
    await others_done()
    assert await holder.get() == 2
    assert source.asked == 2


async def test_one_who_leaves_calls_nothing_off() -> None:
    """The others get what he asked for."""
    source = Source()
    holder = Holder(source.fetch)
    first, *rest = [asyncio.create_task(holder.get()) for _ in range(10)]
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.wait([first])
    source.go.set()

    assert await asyncio.gather(*rest) == [1] * 9
    assert source.asked == 1


async def test_a_failure_counts_for_a_short_while(later: Callable[[float], None]) -> None:
    """For all who ask, unless something is held; then it is tried again."""
    source = Source()
    source.go.set()
    source.problem = ValueError("no")
    holder = Holder(source.fetch)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            await holder.get()
    assert source.asked == 1

    source.problem = None
    later(FAILED_SECONDS)
    assert await holder.get() == 2

    source.problem = ValueError("no")
    later(150)
    for _ in range(3):
        assert await holder.get() == 2
        await others_done()
    assert source.asked == 3


def test_another_loop_asks_anew() -> None:
    """What a closed loop left undone holds nobody up."""
    source = Source()
    holder = Holder(source.fetch)

    async def leave() -> None:
        asyncio.create_task(holder.get())  # noqa: RUF006 - it is not waited for
        await asyncio.sleep(0.01)
        source.go.set()

    asyncio.run(leave())
    assert asyncio.run(holder.get()) == 2
