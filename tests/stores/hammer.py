"""A process that takes from a window as fast as it can: `hammer.py PATH MOST TRIES`.

It says when it is ready, begins when its input ends, and writes a byte for every call that passed, at once.
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway_async.stores.base import Window
from gateway_async.stores.shared_memory import SharedMemoryCounters


async def main(path: Path, most: int, tries: int) -> None:
    """Take."""
    counters = SharedMemoryCounters(path)
    window = Window("hammered", most, 86_400)
    os.write(1, b"ready\n")
    sys.stdin.read()
    for _ in range(tries):
        (level,) = await counters.take([window])
        if not level.refused:
            os.write(1, b".")
    await counters.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
