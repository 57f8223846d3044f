"""The gateway's command line; a request whose path to the provider has `crash` in it is a bug that says all it knows."""

from typing import Any

from gateway_async.upstream import Direct
from gateway_server.__main__ import main

_send = Direct.send


async def _crash(self: Direct, request: Any, *arguments: Any) -> Any:
    if "crash" in request.url:
        raise RuntimeError(f"{self!r} {request!r} {arguments!r}")
    return await _send(self, request, *arguments)


if __name__ == "__main__":
    setattr(Direct, "send", _crash)  # noqa: B010 - to a type checker it is no variable
    main()
