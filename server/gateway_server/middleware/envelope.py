"""What is around every request: its id, a line in the log, and an answer where there is a bug."""

import logging
import re
import time
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_async.errors import GatewayError
from gateway_server.dialects import dialect_of
from gateway_server.fields import fields_of
from gateway_server.middleware.access_log import AccessLines
from gateway_server.mount import path_within
from gateway_server.responses import send_error

HEADER = b"x-request-id"

_ACCEPTABLE = re.compile(rb"[\x21-\x7e]{1,128}")

_log = logging.getLogger("gateway_server")


class Envelope:
    """Give every request an id, have a line of it logged, and answer 500 where what is behind fails.

    The id is the one that the request came with, if it is one; it is repeated in the answer, and stands in
    `scope["request_id"]` for whatever comes after.

    Args:
        app: What is behind.
        lines: Where lines are logged; None: nowhere.
    """

    def __init__(self, app: ASGIApp, *, lines: AccessLines | None) -> None:
        self.app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0
        request_id = scope["request_id"] = _id_of(scope)
        if self._lines is not None:
            scope["tokens"] = None  # there for whoever knows them

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            if status:
                raise  # nobody can be told any more
            _log.exception("a request failed")
            failed = GatewayError("the gateway failed; its log says why")
            await send_error(send_with_id, failed, dialect_of(path_within(scope)))
        finally:
            if self._lines is not None:
                self._lines.add(scope, status, time.perf_counter() - began)


def _id_of(scope: Scope) -> bytes:
    """The id that a request came with, or a new one."""
    given = fields_of(scope).get(HEADER)
    return given if given is not None and _ACCEPTABLE.fullmatch(given) else b"%016x" % getrandbits(64)
