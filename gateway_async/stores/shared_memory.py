"""Counters in memory that all processes of one machine share: exact, and without any other service.

A file holds a table of records. Each is one moving window: its period in 60 parts, and the part that runs now.

A process may be killed at any moment. The kernel then releases its lock, and the table is right as it is found: of
every change, the last write is the one that makes it valid.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from math import ceil
from pathlib import Path
from struct import Struct

from gateway_async.stores.base import CountersUnavailable, Level, Window
from gateway_async.stores.shared_file import SharedFile

_PARTS = 60
"""Parts of a period. A unit comes back a period after the last one that came in the same part: at most 1/60 of the
period late, never early, and to the moment where it came alone."""

_RING = _PARTS + 1
_COUNTS, _LAST = 32, 32 + 4 * _RING
"""Where in a record the counts of its parts begin, 4 bytes each, and the moments of their last units, 2 bytes each."""

_RECORD = 400
"""Bytes of a record: 16 of its name, 8 of its period in seconds, 8 of its newest part, and the parts."""

_MOMENTS = 2**16 - 1
"""Moments of a part."""

_RECORDS = 65_536
_PROBES = 64
"""How many places a record may be at."""

_EMPTY = bytes(16)
_BEING_MADE = b"\xff" * 16
_MOST = 2**32 - 1
"""A count stops here. Limits are below 2**31, so one that has got here is as full as can be."""

_PAUSES = (0.0005, 0.001, 0.002, 0.004, *(0.006,) * 7)
"""Seconds between tries to get the lock, 50 ms in all."""

_YIELDS = 10
"""How often others run first within a try: they hold the lock for microseconds."""

_KNOWN = 16_384
"""Places that a process remembers."""

_counts = Struct(f"{_RING}I").unpack_from
_moment = Struct("H").unpack_from


class SharedMemoryCounters:
    """Counts for every process of this machine that names the same file.

    Args:
        path: The file, made if it is not there (20 MB); None: the counts are this process's own.
        records: Windows that can be counted at a time; one that was idle for its period makes room.
        clock: Seconds, the same for all processes.

    Raises:
        ConfigError: The file can't be made or used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        records: int = _RECORDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._records = records
        self._clock = clock
        self._boot = _boot()
        self._places: dict[tuple[str, int], tuple[int, bytes]] = {}
        self._open = False
        self._hold()

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level]:
        """Take one unit from each of `calls`, if each has one left and each of `tokens` too; else from none."""
        if not self._open:
            self._hold()
        if not self._file.try_lock():
            await self._wait()
        try:
            now = self._clock()
            found = [self._read(window, now) for window in (*calls, *tokens)]
            for state in found:
                if state.left <= 0:
                    return [state.level(now, 0) for state in found]
            taken = found[: len(calls)]
            for state in {state.count: state for state in taken}.values():
                self._halves[state.last] = (
                    state.moment
                )  # first: killed between the two, nothing is let go too early
                self._words[state.count] += 1
            levels = [state.level(now, 1) for state in taken]
            if tokens:
                levels += [state.level(now, 0) for state in found[len(calls) :]]
            return levels
        finally:
            self._file.unlock()

    async def add(self, windows: Sequence[Window], amount: int) -> None:
        """Count units that were used, though they may be more than were left."""
        if not self._open:
            self._hold()
        if not self._file.try_lock():
            await self._wait()
        self._add(windows, amount)

    def add_now(self, windows: Sequence[Window], amount: int) -> bool:
        """Count units as `add` does, unless another process has the lock. Whether they were counted."""
        if not self._open:
            self._hold()
        if not self._file.try_lock():
            return False
        self._add(windows, amount)
        return True

    def _add(self, windows: Sequence[Window], amount: int) -> None:
        """Count units, and give the lock back."""
        try:
            now = self._clock()
            for state in {
                state.count: state for state in (self._read(each, now) for each in windows)
            }.values():
                self._halves[state.last] = state.moment
                self._words[state.count] = min(self._words[state.count] + amount, _MOST)
        finally:
            self._file.unlock()

    async def aclose(self) -> None:
        """Let go of the file. The next call takes hold again."""
        if self._open:
            self._open = False
            self._halves.release()
            self._words.release()
            self._numbers.release()
            self._file.close()

    def _hold(self) -> None:
        size = _RECORD * (self._records + 1)  # the place of the first is the file's head
        self._file = SharedFile(self._path, size=size, kind=b"gateway counts 2")
        self._memory = self._file.memory
        self._halves = memoryview(self._memory).cast("H")
        self._words = memoryview(self._memory).cast("I")
        self._numbers = memoryview(self._memory).cast("Q")
        self._places.clear()
        self._open = True

    async def _wait(self) -> None:
        """Get the lock that another process has."""
        for pause in (*_PAUSES, None):
            for _ in range(_YIELDS):
                os.sched_yield()
                if self._file.try_lock():
                    return
            if pause is not None:
                await asyncio.sleep(pause)
        raise CountersUnavailable("another process has held the counters for 50 ms")

    def _read(self, window: Window, now: float) -> "_State":
        """How far a window is filled now."""
        place = self._place(window, now)
        since = now * _PARTS / window.seconds
        part = int(since)
        newest = self._numbers[place // 8 + 3]
        if part != newest:
            self._turn(place, newest, part)
        return _State(
            window, part, (since - part) * _MOMENTS, place, self._memory[place + _COUNTS : place + _RECORD]
        )

    def _turn(self, place: int, newest: int, part: int) -> None:
        """Forget the parts of a record that are more than a period old."""
        passed = part - newest
        if not 0 < passed < _RING:  # all of them; or the record is from a time that never was
            passed = _RING
        begin = (part - passed + 1) % _RING
        end = min(begin + passed, _RING)
        first = place + _COUNTS
        self._memory[first + 4 * begin : first + 4 * end] = bytes(4 * (end - begin))
        self._memory[first : first + 4 * (passed - end + begin)] = bytes(4 * (passed - end + begin))
        self._numbers[place // 8 + 3] = part

    def _place(self, window: Window, now: float) -> int:
        """Where the record of a window is."""
        known = self._places.get((window.key, window.seconds))
        if known is not None and self._memory[known[0] : known[0] + 16] == known[1]:
            return known[0]
        name = blake2b(
            f"{self._boot} {window.seconds} {window.key}".encode(errors="surrogatepass"), digest_size=16
        ).digest()
        place = self._find(name) or self._make(name, window, now)
        if len(self._places) >= _KNOWN:
            self._places.clear()
        self._places[window.key, window.seconds] = place, name
        return place

    def _probes(self, name: bytes) -> Iterator[int]:
        start = int.from_bytes(name[:8], "little")
        for step in range(min(_PROBES, self._records)):
            yield _RECORD * (1 + (start + step) % self._records)

    def _find(self, name: bytes) -> int | None:
        for place in self._probes(name):
            held = self._memory[place : place + 16]
            if held == name:
                return place
            if held == _EMPTY:  # a place never gets empty again, so that what is behind it is always found
                return None
        return None

    def _make(self, name: bytes, window: Window, now: float) -> int:
        place = next((place for place in self._probes(name) if self._is_free(place, now)), None)
        if place is None:
            raise CountersUnavailable("the counters have no room: too many windows are in use")
        self._memory[place : place + 16] = _BEING_MADE
        self._memory[place + 16 : place + _RECORD] = bytes(_RECORD - 16)
        self._numbers[place // 8 + 2] = window.seconds
        self._numbers[place // 8 + 3] = int(now * _PARTS / window.seconds)
        self._memory[place : place + 16] = name
        return place

    def _is_free(self, place: int, now: float) -> bool:
        """Whether nobody has a record here, or it says nothing any more."""
        seconds, newest = self._numbers[place // 8 + 2], self._numbers[place // 8 + 3]
        return not seconds or not 0 <= int(now * _PARTS / seconds) - newest < _RING


class _State:
    """How far a window is filled at a moment.

    Args:
        window: Which.
        part: The part that runs now.
        moment: The moment of it that is now, between two whole ones.
        place: Where the record is.
        parts: The counts of its parts, and the moments of their last units.
    """

    __slots__ = ("age", "count", "last", "left", "moment", "part", "parts", "window")

    def __init__(self, window: Window, part: int, moment: float, place: int, parts: bytes) -> None:
        self.window = window
        self.part = part
        self.moment = ceil(moment)
        at = part % _RING
        self.count = (place + _COUNTS) // 4 + at
        self.last = (place + _LAST) // 2 + at
        self.parts = parts
        counts = _counts(parts)
        self.left = window.most - sum(counts)
        self.age = 0
        oldest = counts[(at + 1) % _RING]
        if oldest and self._last_of(0) <= moment:  # it has been a period since
            self.left += oldest
            self.age = 1

    def level(self, now: float, taken: int) -> Level:
        """What the caller is told, who took a unit or none."""
        left = self.left - taken
        if left >= 0:
            return Level(self.window, left, self._reset(now, taken), not self.left)
        return Level(self.window, 0, self._reset_of_overdrawn(now), True)

    def _reset(self, now: float, taken: int) -> float:
        """Seconds until more units are left than now."""
        counted = self._oldest_first().lstrip(b"\0")
        if counted:
            age = _RING - (len(counted) + 3) // 4
            return self._gone(age, self.moment if taken and age == _PARTS else self._last_of(age), now)
        if taken:
            return self._gone(_PARTS, self.moment, now)
        return 0.0 if self.window.most else self.window.seconds

    def _reset_of_overdrawn(self, now: float) -> float:
        """The same where more was used than may be: seconds until one unit is left."""
        left = self.left
        for age, count in enumerate(_counts(self._oldest_first())):
            left += count
            if left > 0:
                return self._gone(age, self._last_of(age), now)
        return self.window.seconds

    def _oldest_first(self) -> bytes:
        """The counts of the parts by age, without what has left the window."""
        split = 4 * ((self.part + 1) % _RING)
        counts = self.parts[split : 4 * _RING] + self.parts[:split]
        return bytes(4) + counts[4:] if self.age else counts

    def _last_of(self, age: int) -> int:
        """The moment of the last unit in a part, given its place, the oldest first."""
        found: int = _moment(self.parts, _LAST - _COUNTS + 2 * ((self.part + 1 + age) % _RING))[0]
        return found

    def _gone(self, age: int, moment: int, now: float) -> float:
        """Seconds until the units of a part have left the window; rather a moment more than less."""
        since = self.part - _PARTS + age + (moment + 1) / _MOMENTS
        return since * self.window.seconds / _PARTS + self.window.seconds - now


def _boot() -> str:
    """What tells this run of the machine from earlier ones, whose clock says nothing now."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
