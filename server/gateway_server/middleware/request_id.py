"""`X-Request-Id`: every request has one."""

import re
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"

_ACCEPTABLE = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestId:
    """Give every request an id, keep the one that it came with, and repeat it in the answer.

    It stands in `scope["request_id"]` for whatever comes after.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = b""
        for name, value in scope["headers"]:
            if name == HEADER and _ACCEPTABLE.fullmatch(value):
                request_id = value
        request_id = request_id or b"%016x" % getrandbits(64)
        scope["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, send_with_id)
