"""Upstreams' errors: whose fault they are, what they say, how long to wait."""

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import orjson

from gateway_async.errors import (
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
    if status in OUR_CREDENTIALS:
        text = f"{provider} refuses the gateway's credentials ({status}): {said}"
        return UpstreamError(text, provider=provider, upstream_status=status)
    text = f"{provider} answered {status}: {said}"
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
    if status in (408, 504):
        kind = UpstreamTimeout
    elif status in (503, 529):
        kind = UpstreamUnavailable
    elif status < 400:
        kind, text = UpstreamInvalid, f"{provider} answered {status}, a redirect, which is not followed"
    return kind(text, provider=provider, upstream_status=status, retry_after=retry_after)


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
