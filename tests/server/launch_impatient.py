"""The gateway's command line, whose first process waits seconds and not half a minute for a worker that hangs."""

from gateway_server import workers
from gateway_server.__main__ import main

if __name__ == "__main__":
    setattr(workers, "SILENT_BEATS", 3)  # noqa: B010 - to a type checker it is no variable
    main()
