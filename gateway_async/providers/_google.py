"""Errors of Google's APIs: https://cloud.google.com/apis/design/errors.

The body is `{"error": {"code", "message", "status", "details"}}`, in a list where a stream was asked for. Of the details
one says that the key is wrong, which stands under a 400, and one how long to wait, which no header says.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from gateway_async.errors import UpstreamError
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._errors import reported_error, upstream_error
from gateway_async.providers._waits import duration


def google_error(provider: str, response: UpstreamResponse) -> UpstreamError:
    """The error for an answer with a status of 300 or more."""
    error = _error(response.body)
    said = error.get("message")
    status = 401 if any(detail.get("reason") == "API_KEY_INVALID" for detail in _details(error)) else None
    text = said if isinstance(said, str) else None
    return _with_delay(upstream_error(provider, response, said=text, status=status), error)


def google_stream_error(provider: str, error: Any) -> UpstreamError:
    """The error that is reported within a stream."""
    return _with_delay(reported_error(provider, error), error)


def _with_delay(failed: UpstreamError, error: Any) -> UpstreamError:
    if failed.retry_after is None and failed.status in (429, 503):
        for detail in _details(error):
            if (wait := duration(str(detail.get("retryDelay")))) is not None:
                failed.retry_after = wait
    return failed


def _error(body: bytes) -> Json:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: Any) -> Iterator[Json]:
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail
