"""What counts for all routes of a gateway: the counters, and what is still on its way to them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from gateway_async.stores import open_counters
from gateway_async.stores.base import AtHand, Counters, CountersUnavailable, Level, Window

_log = logging.getLogger("gateway_async")


class Meter:
    """Takes from counters before a call, and adds to them after it without keeping anybody waiting.

    Args:
        opened: Opens the counters, when the first limit needs them; None: those of this process alone.
    """

    def __init__(self, opened: Callable[[], Counters] | None = None) -> None:
        self._opened = opened or partial(open_counters, None, None)
        self._counters: Counters | None = None
        self._at_hand: AtHand | None = None
        self._adding: set[asyncio.Task[None]] = set()
        self._failing = False

    def counters(self) -> Counters:
        """Where to count.

        Raises:
            ConfigError: Nothing can be counted there.
        """
        if self._counters is None:
            self._counters = self._opened()
            self._at_hand = self._counters if isinstance(self._counters, AtHand) else None
        return self._counters

    def take_now(self, calls: Sequence[Window], tokens: Sequence[Window]) -> Sequence[Level] | None:
        """The level of each window, where nothing is to be waited for; None: `take` tells."""
        if self._at_hand is None or self._adding or self._failing:
            return None
        try:
            return self._at_hand.take_now(calls, tokens)
        except CountersUnavailable:
            return None

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window]) -> Sequence[Level] | None:
        """The level of each window, as `Counters.take` has it; None where nobody knows."""
        if self._adding:
            await asyncio.sleep(0)  # what earlier calls have used counts, unless a network is in between
        counters = self.counters()
        try:
            levels = await counters.take(calls, tokens)
        except CountersUnavailable as problem:
            self._failed(problem)
            return None
        if self._failing:
            self._failing = False
            _log.info("limits are counted again")
        return levels

    def add(self, windows: Sequence[Window], amount: int) -> None:
        """Count what was used, now or soon. The caller may be cancelled meanwhile, and hears of no failure."""
        counters = self.counters()
        try:
            if self._at_hand is not None and self._at_hand.add_now(windows, amount):
                return
        except CountersUnavailable as problem:
            self._failed(problem)
            return
        task = asyncio.create_task(self._add(counters, windows, amount))
        self._adding.add(task)
        task.add_done_callback(self._adding.discard)

    async def aclose(self) -> None:
        """Wait for what is on its way to the counters, and let go of them."""
        while self._adding:
            await asyncio.wait(self._adding)
        if self._counters is not None:
            await self._counters.aclose()

    async def _add(self, counters: Counters, windows: Sequence[Window], amount: int) -> None:
        try:
            await counters.add(windows, amount)
        except CountersUnavailable as problem:
            self._failed(problem)

    def _failed(self, problem: CountersUnavailable) -> None:
        if not self._failing and not problem.logged:
            self._failing = True
            _log.warning(
                "limits can't be counted: %s; until they can, each route's on_store_failure decides", problem
            )
