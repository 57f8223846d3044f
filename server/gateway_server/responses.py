"""What goes out: JSON bytes, event streams, errors."""

import math
from collections.abc import Iterable, Mapping

import orjson
from starlette.responses import Response
from starlette.types import Send

from gateway_async.errors import GatewayError, Unauthenticated, Unavailable, UpstreamError
from gateway_server.dialects import Dialect

RawHeaders = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
STREAM_HEADERS: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx holds streams back without it
]

CUT_SHORT = Unavailable("the gateway is shutting down, and did not wait for the end of this answer")
"""What a caller is told whose call the server cancels."""

LEFT = GatewayError("the caller left before the answer", status=499, error_code="CANCELLED")
"""For nobody to read; but a host's own middleware may want an answer to every request."""


def raw(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Headers as ASGI wants them; what no header can carry (a model's name may be anything) becomes a question mark."""
    return [
        (name.encode(), value.encode() if value.isascii() and value.isprintable() else _carried(value))
        for name, value in headers
    ]


def _carried(value: str) -> bytes:
    return "".join(c if c.isprintable() else "?" for c in value).encode("latin-1", "replace")


def json_response(value: object, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, from an endpoint that Starlette calls."""
    return Response(orjson.dumps(value), media_type="application/json", headers=headers)


async def send_json(send: Send, body: bytes, *, status: int = 200, headers: RawHeaders | None = None) -> None:
    """Send a whole answer."""
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [_JSON, length, *(headers or ())]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: GatewayError, dialect: Dialect) -> None:
    """Send an error in the caller's dialect."""
    status, body = dialect.error(error)
    await send_json(send, body, status=status, headers=error_headers(error))


def error_headers(error: GatewayError) -> RawHeaders:
    """`Retry-After`, in whole seconds, where the error says when to come back; what limit it met; the provider's id."""
    headers: RawHeaders = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    if isinstance(error, UpstreamError) and error.upstream_request_id:
        headers += raw([("x-upstream-request-id", error.upstream_request_id)])
    if error.headers:
        headers += raw(error.headers)
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
