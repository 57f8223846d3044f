"""Windows counted in Redis by the `limits` package: calls by its moving window, tokens by its sliding-window counter."""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from gateway_async.stores.base import Level, Window
from gateway_async.stores.redis_pipeline import PipelinedStorage

_ANY = 2**53
"""The limit of a counter that only counts; Lua's numbers are exact up to here."""

_LATER = 0.001
"""Seconds by which a unit may be promised too late, for the sake of rounding."""

T = TypeVar("T")


class Take:
    """One caller's wish for a unit of each of `calls`, given what is left of `tokens`.

    Attributes:
        levels: The answer, once it is settled.
    """

    __slots__ = ("calls", "levels", "taken", "tokens", "wanted")

    def __init__(self, calls: Sequence[Window], tokens: Sequence[Window]) -> None:
        self.calls = calls
        self.tokens = tokens
        self.levels: list[Level] = []
        self.taken = False
        self.wanted = _narrowest(calls)

    def refuse(self, lost: Window) -> None:
        """Give up, because another gateway took the last units of a window meanwhile."""
        self.taken = False
        self.levels = [
            Level(lost, 0, each.reset, True) if each.window == lost else each for each in self.levels
        ]


class RedisWindows:
    """Takes from windows, for many callers at once: what they want of the same window is asked for and taken together.

    Args:
        storage: Where they are counted.
    """

    def __init__(self, storage: PipelinedStorage) -> None:
        self._storage = storage

    async def settle(self, takes: Sequence[Take]) -> None:
        """Decide each, in their order."""
        calls = {window for take in takes for window in take.calls}
        tokens = {window for take in takes for window in take.tokens}
        found = await _together([*map(self._calls, calls), *map(self._tokens, tokens)])
        filled = dict(zip([*calls, *tokens], found, strict=True))
        for take in takes:
            _decide(take, filled)
        for position in range(max(len(take.wanted) for take in takes)):
            await self._acquire_all([take for take in takes if take.taken], position)

    async def add(self, amounts: Mapping[Window, int]) -> None:
        """Count units of tokens."""
        await _together([self._add(window, amount) for window, amount in amounts.items()])

    async def check(self) -> None:
        """Return if it can count."""
        await self._storage.acquire_entry("check", 1, 1)

    async def _add(self, window: Window, amount: int) -> None:
        await self._storage.acquire_sliding_window_entry(_name(window), _ANY, window.seconds, amount)

    async def _calls(self, window: Window) -> "_Filled":
        oldest, used = await self._storage.get_moving_window(_name(window), window.most, window.seconds)
        reset = oldest + window.seconds - time.time() + _LATER if used else 0.0
        return _Filled(window.most - used, min(max(reset, 0.0), window.seconds))

    async def _tokens(self, window: Window) -> "_Filled":
        counts = await self._storage.get_sliding_window(_name(window), window.seconds)
        return _sliding(window, *counts)

    async def _acquire_all(self, takes: Sequence[Take], position: int) -> None:
        """Take from the window at one position of each."""
        groups: dict[Window, list[Take]] = {}
        for take in takes:
            if position < len(take.wanted):
                groups.setdefault(take.wanted[position], []).append(take)
        counts = await _together([self._acquire(window, len(group)) for window, group in groups.items()])
        for (window, group), count in zip(groups.items(), counts, strict=True):
            for loser in group[count:]:
                loser.refuse(window)

    async def _acquire(self, window: Window, wanted: int) -> int:
        """Take so many units, or as many as are left. How many."""
        name = _name(window)
        while wanted > 0:
            if await self._storage.acquire_entry(name, window.most, window.seconds, wanted):
                return wanted
            left = (await self._calls(window)).left  # another gateway was quicker
            wanted = min(wanted - 1, left)
        return 0


class _Filled:
    """How much is left of a window, and the seconds until it is more."""

    __slots__ = ("left", "reset")

    def __init__(self, left: int, reset: float) -> None:
        self.left = left
        self.reset = reset


def _narrowest(windows: Sequence[Window]) -> list[Window]:
    """The windows, but of those that count the same only the one that lets least pass."""
    if len(windows) == 1:
        return [windows[0]]
    found: dict[tuple[str, int], Window] = {}
    for window in windows:
        name = window.key, window.seconds
        if name not in found or window.most < found[name].most:
            found[name] = window
    return list(found.values())


def _decide(take: Take, filled: Mapping[Window, _Filled]) -> None:
    take.taken = all(filled[window].left > 0 for window in (*take.calls, *take.tokens))
    if take.taken:
        for window in take.wanted:
            state = filled[window]
            state.left -= 1
            state.reset = state.reset or window.seconds
    for window in (*take.calls, *take.tokens):
        state = filled[window]
        take.levels.append(Level(window, max(state.left, 0), state.reset, not take.taken and state.left <= 0))


def _sliding(
    window: Window, previous: int, previous_left: float, current: int, current_left: float
) -> _Filled:
    """How far a sliding-window counter is filled.

    Its count is that of the current period, and that of the previous one as far as the window still covers it.

    Args:
        window: Which.
        previous: Units in the previous period.
        previous_left: Seconds until the window has left it.
        current: Units in the current period.
        current_left: Seconds until the window will have left that.
    """
    covered = previous * previous_left / window.seconds
    used = int(covered) + current
    if not used:
        return _Filled(window.most, 0.0)
    too_many = max(used - window.most, 0) + 1
    if too_many <= covered:
        reset = too_many * window.seconds / previous
    else:
        reset = max(current_left - window.seconds, 0.0)
        reset += min((too_many - covered) / current, 1.0) * window.seconds if current else previous_left
    return _Filled(window.most - used, reset + _LATER)


def _name(window: Window) -> str:
    return f"{window.key}/{window.seconds}".encode(errors="backslashreplace").decode()


async def _together(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, which run at once; a task for each only where there are several."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
