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

_PAUSES = (0.0005, 0.001, 0.002, 0.003, 0.004, *(0.005,) * 6)
"""Seconds between tries to get the lock: 50 ms in all, with what a timer is late."""

_YIELDS = 10
"""How often others run first within a try: they hold the lock for microseconds."""

_KNOWN = 16_384
"""Records that a process remembers."""

_counts = Struct(f"{_RING}I").unpack_from


class SharedMemoryCounters:
    """Counts for every process of this machine that names the same file.

    Args:
        path: The file, made if it is not there (26 MB); None: the counts are this process's own.
        records: Windows that can be counted at a time; one that was idle for its period makes room.
        clock: Seconds, the same for all processes; it never goes back.

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
        self._known: dict[tuple[str, int], _Record] = {}
        self._open = False
        self._hold()

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level]:
        """Take one unit from each of `calls`, if each has one left and each of `tokens` too; else from none."""
        if (levels := self.take_now(calls, tokens)) is not None:
            return levels
        await self._wait()
        return self._take(calls, tokens)

    def take_now(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level] | None:
        """Take units as `take` does, unless another process has the lock; None: it has."""
        if not self._open:
            self._hold()
        return self._take(calls, tokens) if self._file.try_lock() else None

    def _take(self, calls: Sequence[Window], tokens: Sequence[Window]) -> Sequence[Level]:
        """Take units, and give the lock back."""
        try:
            now = self._clock()
            if not tokens and len(calls) == 1:
                (window,) = calls
                record = self._read(window, now)
                if taken := record.used < window.most:
                    self._count(record, 1)
                return (self._level(window, record, now, taken),)
            windows = (*calls, *tokens)
            records = [self._read(window, now) for window in windows]
            taken = all(record.used < window.most for window, record in zip(windows, records, strict=True))
            if taken:
                for record in set(records[: len(calls)]):
                    self._count(record, 1)
            return [
                self._level(window, record, now, taken and at < len(calls))
                for at, (window, record) in enumerate(zip(windows, records, strict=True))
            ]
        finally:
            self._file.unlock()

    async def add(self, windows: Sequence[Window], amount: int) -> None:
        """Count units that were used, though they may be more than were left."""
        if not self.add_now(windows, amount):
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
            for record in {self._read(window, now) for window in windows}:
                self._count(record, amount)
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
        self._known.clear()
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
                if not self._open:
                    raise CountersUnavailable("the counters were closed")
        raise CountersUnavailable("another process has held the counters for 50 ms")

    def _count(self, record: "_Record", amount: int) -> None:
        """Count units in the part that runs."""
        # The moment first: who is killed between the two lets nothing go too early.
        self._halves[record.last] = record.moment
        count = self._words[record.count] + amount
        self._words[record.count] = count if count < _MOST else _MOST

    def _read(self, window: Window, now: float) -> "_Record":
        """How far a window is filled now."""
        record = self._known.get((window.key, window.seconds))
        since = now * _PARTS / window.seconds
        part = int(since)
        if record is None or part != record.part or self._memory[record.place : record.end] != record.head:
            record = self._look(window, now, part)
        moment = (since - part) * _MOMENTS
        record.moment = ceil(moment)
        record.age = moment >= record.goes  # it has been a period since the last unit of the oldest part
        record.used = record.ended[record.age] + self._words[record.count]
        return record

    def _look(self, window: Window, now: float, part: int) -> "_Record":
        """Learn what the parts that have ended hold, which does not change until the next one ends."""
        record = self._record(window, now)
        self._turn(record.place, part)
        record.part = part
        record.head = self._memory[record.place : record.end]
        at = part % _RING
        record.count, record.last = (record.place + _COUNTS) // 4 + at, (record.place + _LAST) // 2 + at
        counts = self._ended(record)
        used = sum(counts)
        record.ended = used, used - counts[0]
        record.goes = self._last_of(record, 0) if counts[0] else 0
        second = next((age for age in range(1, _PARTS) if counts[age]), None)
        after = self._frees(window, record, second) if second else 0.0
        record.frees = self._frees(window, record, 0) if counts[0] else after, after
        return record

    def _ended(self, record: "_Record") -> tuple[int, ...]:
        """The counts of the parts that have ended, the oldest first."""
        counts = _counts(self._memory, record.place + _COUNTS)
        at = record.part % _RING
        return counts[at + 1 :] + counts[:at]

    def _last_of(self, record: "_Record", age: int) -> int:
        """The moment of the last unit in a part, given its place, the oldest first."""
        return self._halves[(record.place + _LAST) // 2 + (record.part + 1 + age) % _RING]

    def _level(self, window: Window, record: "_Record", now: float, taken: bool) -> Level:
        """What the caller is told, who took a unit or none."""
        left = window.most - record.used - taken
        if left < 0:
            return Level(window, 0, self._reset_of_overdrawn(window, record, now), True)
        if frees := record.frees[record.age]:
            reset = frees - now
        elif record.used or taken:
            reset = self._frees(window, record, _PARTS) - now
        else:
            reset = 0.0 if window.most else window.seconds
        return Level(window, left, reset, not left and not taken)

    def _reset_of_overdrawn(self, window: Window, record: "_Record", now: float) -> float:
        """The same where more was used than may be: seconds until one unit is left."""
        left = window.most - record.used
        for age, count in enumerate(self._ended(record)[record.age :], record.age):
            left += count
            if left > 0:
                return self._frees(window, record, age) - now
        return self._frees(window, record, _PARTS) - now if window.most else window.seconds

    def _frees(self, window: Window, record: "_Record", age: int) -> float:
        """When the units of a part have left the window; rather a moment later than earlier."""
        since = record.part - _PARTS + age + (self._last_of(record, age) + 1) / _MOMENTS
        return since * window.seconds / _PARTS + window.seconds

    def _turn(self, place: int, part: int) -> None:
        """Forget the parts of a record that are more than a period old."""
        passed = part - self._numbers[place // 8 + 3]
        if not passed:
            return
        if not 0 < passed < _RING:  # all of them; or the record is from a time that never was
            passed = _RING
        begin = (part - passed + 1) % _RING
        end = min(begin + passed, _RING)
        first = place + _COUNTS
        self._memory[first + 4 * begin : first + 4 * end] = bytes(4 * (end - begin))
        self._memory[first : first + 4 * (passed - end + begin)] = bytes(4 * (passed - end + begin))
        self._numbers[place // 8 + 3] = part

    def _record(self, window: Window, now: float) -> "_Record":
        """The record of a window, as it was when this process looked last."""
        known = self._known.get((window.key, window.seconds))
        if known is not None and self._memory[known.place : known.place + 16] == known.name:
            return known
        name = blake2b(
            f"{self._boot} {window.seconds} {window.key}".encode(errors="surrogatepass"), digest_size=16
        ).digest()
        place = self._find(name) or self._make(name, window, now)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        record = self._known[window.key, window.seconds] = _Record(place, name)
        return record

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


class _Record:
    """What a process knows of a window's record.

    Args:
        place: Where it is.
        name: Its name, while it is there.

    Attributes:
        end: Where its parts begin, behind its name, its period and the number of its newest part.
        part: The part that ran when this process looked last; what follows is as it was then.
        head: What stood before its parts: as long as it does, no other process has turned to another part.
        count: Where the count of that part is, in units of 4 bytes.
        last: Where the moment of its last unit is, in units of 2 bytes.
        goes: The moment of it at which the units of the oldest part leave the window.
        ended: The units of all parts that had ended, and those without the oldest part's.
        frees: When the oldest of these units leave the window, with the oldest part and without it; 0: there are none.
        moment: The moment that is now.
        age: Whether the oldest part's units have left the window now.
        used: The units in the window now.
    """

    __slots__ = (
        *("place", "name", "end", "part", "head", "count", "last", "goes", "ended", "frees"),
        *("moment", "age", "used"),
    )

    def __init__(self, place: int, name: bytes) -> None:
        self.place = place
        self.name = name
        self.end = place + _COUNTS
        self.part = -1
        self.head = b""
        self.count = self.last = self.goes = 0
        self.ended = (0, 0)
        self.frees = (0.0, 0.0)
        self.moment = self.used = 0
        self.age = False


def _boot() -> str:
    """What tells this run of the machine from earlier ones, whose clock says nothing now."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
