"""Upstreams' errors: whose fault they are, what they say, how long to wait."""

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import orjson

from gateway_async.errors import (
    GatewayError,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    error_code,
)
from gateway_async.providers._base import UpstreamResponse
from gateway_async.secrets import MASK

OUR_CREDENTIALS = frozenset({401, 402, 403, 407})
"""The gateway's account with the provider is at fault, not the caller."""

CALLER_S = frozenset({400, 404, 408, 409, 413, 415, 422, 429})
"""The request is at fault: the status is passed on."""


def upstream_error(
    provider: str, response: UpstreamResponse, *, said: str | None = None, status: int | None = None
) -> UpstreamError:
    """The error for an upstream's answer that is not a success; its words are kept.

    Args:
        provider: Name of the provider.
        response: The upstream's answer, with a status of 300 or more.
        said: The upstream's words, where they do not stand in one of the usual places.
        status: The status that the upstream should have answered, where another says what is wrong.
    """
    said = said or error_message(response.body) or "no message"
    status = status or response.status
    retry_after = parse_retry_after(response.headers.get("retry-after"))
    text = f"{provider} answered {status}: {said}"
    if status in OUR_CREDENTIALS:
        text = f"{provider} refuses the gateway's credentials ({status}): {said}"
    elif status < 400:
        text = f"{provider} answered {status}, a redirect, which is not followed"
    return error_of(provider, status, text, retry_after=retry_after)


def error_of(provider: str, status: int, text: str, *, retry_after: float | None = None) -> UpstreamError:
    """The error that stands for a provider's status.

    Args:
        provider: Name of the provider.
        status: What it answered, or would have, had it known in time.
        text: What the caller is told.
        retry_after: Seconds after which the same call may pass.
    """
    if status in CALLER_S:
        code = "NOT_FOUND" if status == 404 else error_code(status)
        return UpstreamRefused(
            text,
            provider=provider,
            upstream_status=status,
            retry_after=retry_after,
            status=status,
            error_code=code,
        )
    kind: type[UpstreamError] = UpstreamError
    if status in OUR_CREDENTIALS:
        retry_after = None
    elif status in (408, 504):
        kind = UpstreamTimeout
    elif status in (503, 529):
        kind = UpstreamUnavailable
    elif status < 400:
        kind = UpstreamInvalid
    return kind(text, provider=provider, upstream_status=status, retry_after=retry_after)


_BY_NAME = (
    (re.compile("rate.?limit|quota|exhausted|too.?many|throttl", re.IGNORECASE), 429),
    (re.compile("overload|unavailable|capacity", re.IGNORECASE), 503),
    (re.compile("time.?out|deadline", re.IGNORECASE), 504),
    (re.compile("authenticat|permission|api.?key", re.IGNORECASE), 401),
    (re.compile("invalid|validation|context_length|content_filter|bad.?request", re.IGNORECASE), 400),
)
"""What an error's name means, where it has no number. The first that fits counts."""


def reported_error(provider: str, error: object) -> UpstreamError:
    """The error that a provider reports after it had answered 200, most often within a stream.

    Its number or its name says whose fault it is; without either it is the provider's own.

    Args:
        provider: Name of the provider.
        error: What it says: a sentence, or an object with `message` and `code`, `type` or `status`.
    """
    said: object = error
    status = None
    if isinstance(error, dict):
        said = error.get("message") or error
        marks = [error.get(name) for name in ("status_code", "http_status_code", "code", "status", "type")]
        status = next(filter(None, map(_status_of, marks)), None)
    text = f"{provider} reports an error: {said}"
    return UpstreamError(text, provider=provider) if status is None else error_of(provider, status, text)


def _status_of(mark: object) -> int | None:
    if isinstance(mark, str) and mark.isascii() and mark.isdigit():
        mark = int(mark[:9])
    if isinstance(mark, int):
        return mark if 400 <= mark < 600 else None
    if not isinstance(mark, str):
        return None
    return next((status for pattern, status in _BY_NAME if pattern.search(mark)), None)


def error_message(body: bytes) -> str:
    """An upstream's own words in the body of an error, whichever of the usual shapes it has."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return excerpt(body)
    for key in ("error", "message", "detail"):
        while isinstance(value, dict) and value.get(key):
            value = value[key]
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        value = value["type"]
    return value if isinstance(value, str) else excerpt(body)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


def hide(secrets: Iterable[str], failed: GatewayError) -> None:
    """Take the secrets out of an error: an upstream may repeat one in its words."""
    text = redact(failed.message, secrets)
    if text != failed.message:
        failed.message, failed.detail, failed.args = text, text, (text,)


def parse_retry_after(value: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks for; a date is not read, since clocks differ."""
    return float(value) if value and re.fullmatch(r"\d{1,6}(\.\d+)?", value.strip()) else None


def invalid(provider: str, problem: str) -> NoReturn:
    """Refuse an upstream's answer that is not what its API promises."""
    raise UpstreamInvalid(f"{provider}: {problem}", provider=provider)


def broken_off(provider: str) -> UpstreamInvalid:
    """The error for a stream that ends before its end."""
    return UpstreamInvalid(
        f"{provider}: the stream broke off before the answer was complete", provider=provider
    )


def excerpt(body: bytes, limit: int = 500) -> str:
    """The beginning of a body, for a message."""
    text = body[: limit * 4].decode("utf-8", "replace").strip()
    if len(text) <= limit and len(body) <= limit * 4:
        return text
    # Not cut within a word: half a key would not be known for one, and show.
    return re.sub(r'[^\s"]*$', "", text[:limit]) + "…"
