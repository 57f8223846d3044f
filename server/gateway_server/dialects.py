"""The two ways of speaking of the HTTP surface: how an error looks in each, and how a stream ends."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway_async.errors import GatewayError, InvalidRequest, RouteNotFound, Unauthenticated


@dataclass(frozen=True, slots=True)
class Dialect:
    """How answers look to one kind of caller."""

    error: Callable[[GatewayError], tuple[int, bytes]]
    """An error's HTTP status and its body."""

    event: Callable[[GatewayError], bytes]
    """The data of the event that reports an error within a stream."""

    stream_end: bytes
    """What stands at the end of a stream that is complete."""


def _gateway_error(error: GatewayError) -> tuple[int, bytes]:
    return error.status, orjson.dumps(error.body())


def _gateway_event(error: GatewayError) -> bytes:
    return orjson.dumps({**error.body(), "status": error.status})


def _openai_error(error: GatewayError) -> tuple[int, bytes]:
    # OpenAI answers 400 to a field that is wrong; its clients make a BadRequestError of it.
    status = 400 if error.status == 422 else error.status
    return status, orjson.dumps({"error": _openai_body(error, status)})


def _openai_event(error: GatewayError) -> bytes:
    return _openai_error(error)[1]


def _openai_body(error: GatewayError, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "api_error"
    code = error.error_code.lower()
    if isinstance(error, RouteNotFound):
        code = "model_not_found"
    elif isinstance(error, Unauthenticated):
        code = "invalid_api_key"
    param = None
    if isinstance(error, InvalidRequest) and isinstance(error.detail, list) and error.detail:
        param = ".".join(str(part) for part in error.detail[0]["loc"][1:]) or None
    return {
        "message": error.message,
        "type": {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
            status, kind
        ),
        "param": "model" if isinstance(error, RouteNotFound) else param,
        "code": code,
    }


GATEWAY = Dialect(_gateway_error, _gateway_event, b"")
"""`/gateway`, `/endpoints` and `/api`."""

OPENAI = Dialect(_openai_error, _openai_event, b"data: [DONE]\n\n")
"""`/v1`: https://platform.openai.com/docs/guides/error-codes."""


def dialect_of(path: str) -> Dialect:
    """The dialect that a caller of this path (without the prefix of a mount) expects."""
    return OPENAI if path.startswith("/v1/") else GATEWAY
