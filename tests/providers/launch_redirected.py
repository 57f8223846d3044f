"""The gateway's command line, with every request to a provider sent to `RECORDED_UPSTREAM`, its path as it was.

`launch_redirected.py start …`: the addresses that the routes are configured with stay the vendors' own.
"""

import os
from dataclasses import replace
from urllib.parse import urlsplit

from gateway_async.config import TimeoutsConfig
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse
from gateway_async.upstream import Direct, UpstreamStream
from gateway_server.__main__ import main

UPSTREAM = os.environ["RECORDED_UPSTREAM"]

_send, _open = Direct.send, Direct.open


def _redirected(request: UpstreamRequest) -> UpstreamRequest:
    parts = urlsplit(request.url)
    return replace(request, url=UPSTREAM + parts._replace(scheme="", netloc="").geturl())


async def _send_there(
    self: Direct, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
) -> UpstreamResponse:
    return await _send(self, _redirected(request), timeouts, deadline)


async def _open_there(
    self: Direct, request: UpstreamRequest, timeouts: TimeoutsConfig, deadline: float | None = None
) -> UpstreamStream:
    return await _open(self, _redirected(request), timeouts, deadline)


if __name__ == "__main__":
    setattr(Direct, "send", _send_there)  # noqa: B010 - to a type checker it is no variable
    setattr(Direct, "open", _open_there)  # noqa: B010 - as above
    main()
