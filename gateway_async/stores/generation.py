"""A number that every process of a machine sees change."""

import os
from pathlib import Path

from gateway_async.stores.shared_file import SharedFile

_OFFSET = 2
"""Where the number stands, in units of 8 bytes: behind the file's kind."""


class Generation:
    """Tells the processes of a machine that one of them changed what they share.

    Args:
        path: A small file, the same for all; None: this process is alone.

    Raises:
        ConfigError: The file can't be made; then the others would not learn of changes.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = SharedFile(path, size=4096, kind=b"gateway gen 1")
        self._numbers = memoryview(self._file.memory).cast("Q")

    @property
    def value(self) -> int:
        """Another number than before if somebody called `bump`. Greater or smaller says nothing."""
        return self._numbers[_OFFSET]

    def bump(self) -> None:
        """Give it a value that it never had, for every process at once."""
        # A random number wants no lock: of two that come together either may win, both differ from what was seen.
        self._numbers[_OFFSET] = int.from_bytes(os.urandom(8), "little")

    def close(self) -> None:
        """Let go of the file, which stays."""
        self._numbers.release()
        self._file.close()
