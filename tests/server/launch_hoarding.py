"""The gateway's command line, in a process that frees much memory between what stays in use a while after it began."""

import threading

from gateway_server.__main__ import main

PIECE = bytes(2000)
FREED_AFTER = 3.0
hoard = [PIECE + b"%d" % number for number in range(50_000)]


def free() -> None:
    """Keep one piece of a hundred."""
    hoard[:] = hoard[::100]


if __name__ == "__main__":
    threading.Timer(FREED_AFTER, free).start()
    main()
