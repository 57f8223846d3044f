"""The vital signs of a process, from Linux's own books: sockets, descriptors, memory."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vitals:
    """What a process holds."""

    descriptors: int
    sockets: int
    """TCP connections, in whatever state."""

    resident_mb: float


def vitals(pid: int) -> Vitals:
    """What a process holds now."""
    held = _inodes(pid)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    connections = [
        state for inode, (state, _, _) in _connections().items() if inode in held and state != "0A"
    ]
    return Vitals(descriptors, len(connections), resident_mb(pid))


def resident_mb(pid: int) -> float:
    """Megabytes of it that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def callers_of(pid: int, port: int) -> set[int]:
    """The ports of those whose connections to this port the process has taken."""
    held = _inodes(pid)
    return {
        remote
        for inode, (state, local, remote) in _connections().items()
        if inode in held and local == port and state == "01"
    }


def _inodes(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:  # closed while we looked
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def _connections() -> dict[str, tuple[str, int, int]]:
    """Inode → state, local port, remote port, of all TCP sockets of this machine."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, remote, state, *_, inode = line.split()[:10]
            found[inode] = (state, int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16))
    return found
