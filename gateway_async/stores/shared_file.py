"""A small file in memory that processes of one machine share, and its lock."""

import errno
import mmap
import os
import stat
import sys
import time
from pathlib import Path

from gateway_async.errors import ConfigError

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock

_PATIENCE = 5.0
"""Seconds to wait, when the file is opened, for a process that is making it."""

_MAGIC = 16
"""Bytes at the beginning that say what the file is."""


class SharedFile:
    """A file of a fixed size, mapped into memory, which every process sees change at once.

    It is made if it is not there, full of zeros, for its user alone. All of its room on the disk is claimed then: a full
    disk is an error at that time and never the end of the process later. On Windows nothing is shared: every process
    has memory of its own.

    Args:
        path: Where it is; None: nowhere, the memory is this process's own.
        size: Bytes.
        kind: What the file holds, and the version of its form; stands in its first 16 bytes.

    Raises:
        ConfigError: It can't be made, or belongs to somebody else, or holds something else.
    """

    def __init__(self, path: Path | None, *, size: int, kind: bytes) -> None:
        self._path = path if sys.platform != "win32" else None
        self._size = size
        self._kind = kind.ljust(_MAGIC, b"\0")
        self._process = os.getpid()
        self._descriptor = -1
        if self._path is None:
            self.memory = _own_memory(size)
            return
        try:
            self._descriptor = _open(self._path)
            self.memory = self._map(self._path)
        except OSError as problem:
            self._close_descriptor()
            raise ConfigError(
                f"the file {path} can't be made or opened: {problem.strerror}; the gateway's processes share it, so it "
                "must be in a directory that they may write to"
            ) from None
        except BaseException:
            self._close_descriptor()
            raise

    def try_lock(self) -> bool:
        """Whether the file is now this object's alone, until `unlock`. Who is killed lets go of it."""
        if self._path is None:
            return True
        if self._process != os.getpid():  # which a library may have forked without Python's knowledge
            self._reopen(self._path)
        try:
            flock(self._descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Let others have it."""
        if self._path is not None:
            flock(self._descriptor, LOCK_UN)

    def close(self) -> None:
        """Let go of the memory and of the file, which stays."""
        self.memory.close()
        self._close_descriptor()

    def _map(self, path: Path) -> mmap.mmap:
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ConfigError(
                f"{path} is not a file that only this user may open; remove it, or run the gateway as its owner"
            )
        deadline = time.monotonic() + _PATIENCE
        while not self.try_lock():
            if time.monotonic() > deadline:
                raise ConfigError(f"another process has held {path} for {_PATIENCE:.0f} s; end it")
            time.sleep(0.01)
        try:
            if os.fstat(self._descriptor).st_size < self._size:
                _claim(self._descriptor, self._size)
            memory = mmap.mmap(self._descriptor, self._size)
            if memory[:_MAGIC] == bytes(_MAGIC):
                memory[:_MAGIC] = self._kind
            elif memory[:_MAGIC] != self._kind:
                memory.close()
                raise ConfigError(
                    f"{path} holds something else, or is another version's; stop the gateways that use it and remove it"
                )
            return memory
        finally:
            self.unlock()

    def _reopen(self, path: Path) -> None:
        """A process that was forked has its parent's descriptor, by which the lock would not keep the two apart."""
        self._close_descriptor()
        self._descriptor = _open(path)
        self._process = os.getpid()

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _own_memory(size: int) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # a forked process has its own


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _claim(descriptor: int, size: int) -> None:
    """Make the file this long, with room on the disk for all of it."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    position = os.fstat(descriptor).st_size
    while position < size:
        written = os.pwrite(descriptor, bytes(min(1 << 20, size - position)), position)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        position += written
