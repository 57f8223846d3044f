"""From the answer of a gateway to the error that it tells of."""

import json
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotSupported,
    PermissionDenied,
    RateLimited,
    RequestTooLarge,
    RouteNotFound,
    Unauthenticated,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
    error_code,
)

_OF_STATUS: Mapping[int, type[GatewayError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: RequestTooLarge,
    422: InvalidRequest,
    429: RateLimited,
    501: NotSupported,
    502: UpstreamError,
    503: Unavailable,
    504: UpstreamTimeout,
}

_OF_CODE: Mapping[str, type[GatewayError]] = {
    RouteNotFound.error_code: RouteNotFound,
    AlreadyExists.error_code: AlreadyExists,
}
"""Error codes that say more than their status."""


def from_response(
    status: int, body: Any, *, retry_after: float | None = None, call: str = ""
) -> GatewayError:
    """The error for an answer of a gateway, with the status's error code and the server's own detail.

    Args:
        status: The HTTP status, 400 or more.
        body: The decoded JSON body, or the text where it is not JSON.
        retry_after: Seconds from the `Retry-After` header.
        call: What was called, for the message: `POST /gateway/chat/invocations`.
    """
    detail = body.get("detail", body) if isinstance(body, dict) else body
    said = (isinstance(body, dict) and body.get("message")) or _sentence(detail) or "no detail was given"
    code = error_code(status)
    kind = _OF_STATUS.get(status) or (BadRequest if 400 <= status < 500 else GatewayError)
    if isinstance(body, dict) and (named := _OF_CODE.get(str(body.get("error_code")))):
        kind, code = named, named.error_code
    error = kind(f"{code}: {call + ': ' if call else ''}{said}")
    error.status, error.error_code, error.retry_after = status, code, retry_after
    if isinstance(detail, str | list):
        error.detail = detail
    return error


def only_on_databricks(refused: GatewayError, call: str, noun: str, absent: tuple[int, ...]) -> GatewayError:
    """The documented error, where the server has no such call; else the error as it is."""
    if refused.status not in absent or isinstance(refused, RouteNotFound):
        return refused
    return BadRequest(
        f"The {call} API is only available when running within Databricks, or against a gateway that offers it. "
        f"Here, route {noun} is an edit of the gateway's configuration file, which a running gateway takes up."
    )


def _sentence(detail: Any) -> str:
    """`detail` of an error body as one line for a person."""
    if isinstance(detail, list):
        return "; ".join(_field_sentence(entry) for entry in detail)
    return detail if isinstance(detail, str) else json.dumps(detail)


def _field_sentence(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    loc = entry.get("loc")
    where = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{where}: {entry.get('msg', '')}" if where else str(entry.get("msg", ""))
