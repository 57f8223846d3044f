"""The gateway's command line, for which names mean what the file `RESOLVER` says at each moment.

The file holds JSON: a name → its address. Other names are asked for as usual.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

sys.modules["uvloop"] = None  # type: ignore[assignment] # its resolver is written in C, asyncio's can be replaced

from gateway_server.__main__ import main  # noqa: E402 - after uvloop was hidden

_getaddrinfo = socket.getaddrinfo


def _resolved(host: Any, *arguments: Any, **more: Any) -> Any:
    known = json.loads(Path(os.environ["RESOLVER"]).read_text())
    return _getaddrinfo(known.get(host, host), *arguments, **more)


if __name__ == "__main__":
    setattr(socket, "getaddrinfo", _resolved)  # noqa: B010 - to a type checker it is no variable
    main()
