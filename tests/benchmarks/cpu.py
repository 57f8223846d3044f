"""CPU time and resident memory of a process and all its descendants, from Linux's own books."""

import os
import time
from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and its living descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name stands in parentheses and may hold anything; the parent's pid follows the state.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended while we looked
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))

    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system seconds that the living processes of the tree have used, to the nanosecond.

    Read from each process's CPU clock (clock_getcpuclockid(3)): /proc/PID/stat counts in ticks of 10 ms, which is
    too coarse for a second's worth of requests.
    """
    return sum(_clock(member) for member in tree(pid))


def resident_mb(pid: int) -> float:
    """Resident megabytes of the tree. Pages that its processes share count once for each of them."""
    return sum(_resident_pages(member) for member in tree(pid)) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _clock(pid: int) -> float:
    """CPU seconds of one process, all its threads, also those that ended; 0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the kernel's CPUCLOCK_SCHED of that process
    except OSError:
        return 0.0


def _resident_pages(pid: int) -> int:
    """Pages of one process in memory; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
