"""Places for so many calls at once, and a queue for them: who came first gets the next place."""

import asyncio
import math
import time
from collections import OrderedDict

from gateway_async.config import ConcurrencyConfig
from gateway_async.errors import Unavailable

LONGEST_RETRY = 60
"""Seconds: nobody who is refused is asked to stay away for longer."""

_REMEMBERED = 0.1
"""What the last gap between two calls that ended counts for, in the average of the gaps."""


class Places:
    """So many calls may be under way, so many more may wait for their turn, and whoever comes then is refused.

    Whoever has entered leaves, once. All calls are in one event loop.

    Args:
        whose: Whose they are, for refusals: `the route 'chat'`.
        config: How many there are, and how long calls may wait.

    Attributes:
        limit: How many calls may be under way. It may change at any time: those that have entered stay, and those that
            wait enter when the next one comes or leaves.
        taken: How many are.
    """

    def __init__(self, whose: str, config: ConcurrencyConfig) -> None:
        self.taken = 0
        self._whose = whose
        self._waiting: OrderedDict[asyncio.Future[bool], float] = OrderedDict()
        """Those that wait, in turn, and since when. Each is told whether it may enter."""

        self._timer_of: asyncio.AbstractEventLoop | None = None
        self._gap = self._freed_at = 0.0
        self.configure(config)

    def configure(self, config: ConcurrencyConfig) -> None:
        """Have so many places from now on. May be called in a thread."""
        self.limit = config.max
        self._queue = 2 * config.max if config.queue is None else config.queue
        self._seconds = config.queue_seconds

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    async def enter(self, deadline: float | None = None) -> None:
        """Take a place, at once or when it is this call's turn.

        Args:
            deadline: When the call gives up in any case, on the clock of `time.monotonic`.

        Raises:
            Unavailable: Too many wait, or this one waited too long.
        """
        if not self.enter_at_once():
            await self._wait(deadline)

    def enter_at_once(self) -> bool:
        """Take a place, if there is one and nobody waits for it."""
        if self.taken < self.limit and not self._waiting:
            self.taken += 1
            return True
        return False

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1
        if self._waiting:
            self._admit()

    def _admit(self) -> None:
        """Let those enter whose turn it is."""
        while self._waiting and self.taken < self.limit:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():  # else its caller has left
                self.taken += 1
                waiter.set_result(True)
                self._measure()

    async def _wait(self, deadline: float | None) -> None:
        self._admit()  # there may be more places than when the last one left
        if self.enter_at_once():
            return
        now = time.monotonic()
        seconds = self._seconds if deadline is None else min(self._seconds, deadline - now)
        if len(self._waiting) >= self._queue or seconds <= 0:
            raise self._refusal("which is all that its concurrency allows")
        if not self._waiting:
            self._freed_at = now
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting[waiter] = now
        # All wait equally long, so that one timer is enough; but for those whose caller is in a hurry.
        own = loop.call_later(seconds, self._expire, waiter) if seconds < self._seconds else None
        if self._timer_of is not loop:
            self._look_in(self._seconds, loop)
        try:
            entered = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.result():
                self.leave()  # it was given a place in this very moment
            raise
        finally:
            self._waiting.pop(waiter, None)
            if own is not None:
                own.cancel()
        if not entered:
            raise self._refusal(f"and this call has waited for {seconds:.3g} s, as long as it may")

    def _look_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._timer_of = loop
        loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send those away that have waited for too long."""
        self._timer_of = None
        while self._waiting:
            waiter, since = next(iter(self._waiting.items()))
            left = since + self._seconds - time.monotonic()
            if left > 0:
                self._look_in(max(left, 0.01), loop)
                return
            self._expire(waiter)

    def _expire(self, waiter: asyncio.Future[bool]) -> None:
        if self._waiting.pop(waiter, None) is not None and not waiter.done():
            waiter.set_result(False)

    def _measure(self) -> None:
        """Learn how long it takes until a place is free."""
        now = time.monotonic()
        gap, self._freed_at = now - self._freed_at, now
        self._gap = self._gap + (gap - self._gap) * _REMEMBERED if self._gap else gap

    def _refusal(self, why: str) -> Unavailable:
        seconds = self._seconds_until_empty()
        return Unavailable(
            f"{self._whose} is full: {self.taken} under way and {len(self._waiting)} waiting, {why}; "
            f"call again in {seconds} s",
            retry_after=seconds,
        )

    def _seconds_until_empty(self) -> int:
        """How long it takes until all that wait have entered, if places become free as they did lately."""
        if not self._waiting:
            return 1
        gap = max(self._gap, time.monotonic() - self._freed_at)
        return min(max(math.ceil(gap * len(self._waiting)), 1), LONGEST_RETRY)
