"""Upstreams' errors: whose fault they are, what they say, how long to wait."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import orjson

from gateway_async.errors import (
    GatewayError,
    Refusal,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    error_code,
)
from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers._refusals import Told
from gateway_async.providers._waits import wait_asked
from gateway_async.secrets import MASK

OUR_CREDENTIALS = frozenset({401, 402, 403, 407})
"""The gateway's account with the provider is at fault, not the caller."""

CALLER_S = frozenset({400, 404, 408, 409, 413, 415, 422, 429})
"""The request is at fault: the status is passed on."""

_KINDS: Mapping[int, type[UpstreamError]] = {
    **dict.fromkeys((408, 504, 522, 524), UpstreamTimeout),
    **dict.fromkeys((425, 503, 521, 523, 529), UpstreamUnavailable),
}
"""Statuses that say more than that it failed; those from 520 on are of Cloudflare, which stands before many."""

_LIMITED = frozenset({429, 503, 529})
"""Statuses under which the headers that tell of limits say how long to wait."""


def upstream_error(
    provider: str,
    response: UpstreamResponse,
    *,
    said: str | None = None,
    status: int | None = None,
    refusal: Refusal | None = None,
) -> UpstreamError:
    """The error for an upstream's answer that is not a success; its words are kept.

    Args:
        provider: Name of the provider.
        response: The upstream's answer, with a status of 300 or more.
        said: The upstream's words, where they do not stand in one of the usual places.
        status: The status that the upstream should have answered, where another says what is wrong.
        refusal: Why it refuses what another may take, where its body does not tell.
    """
    said = said or error_message(response.body) or "no message"
    status = status or response.status
    told = Told.by(_json(response.body), said)
    refusal = refusal or told.refusal(provider, status)
    text = f"{provider} answered {status}: {said}"
    if refusal is None and (status in OUR_CREDENTIALS or (status == 400 and told.blames_account(provider))):
        text = f"{provider} refuses the gateway's credentials ({status}): {said}"
        status = status if status in OUR_CREDENTIALS else 401
    elif status < 400:
        text = f"{provider} answered {status}, a redirect, which is not followed"
    failed = error_of(provider, status, text, retry_after=_wait(status, response.headers), refusal=refusal)
    if response.headers.get("x-should-retry") == "false":
        failed.passes = False
    return _without_end(failed, told)


def told_error(provider: str, status: int | None, text: str, error: object) -> UpstreamError:
    """The error that a provider tells of elsewhere than in its status.

    Args:
        provider: Name of the provider.
        status: What it would have answered; None where nobody knows.
        text: What the caller is told.
        error: The error as the provider tells it.
    """
    told = Told.by(error, error if isinstance(error, str) else "")
    refusal = told.refusal(provider, status)
    if status is None and refusal is None:
        return _without_end(UpstreamError(text, provider=provider), told)
    return _without_end(error_of(provider, status or 400, text, refusal=refusal), told)


def error_of(
    provider: str,
    status: int,
    text: str,
    *,
    retry_after: float | None = None,
    refusal: Refusal | None = None,
) -> UpstreamError:
    """The error that stands for a provider's status.

    Args:
        provider: Name of the provider.
        status: What it answered, or would have, had it known in time.
        text: What the caller is told.
        retry_after: Seconds after which the same call may pass.
        refusal: Why it refuses what another may take: the request is at fault then, whatever the status.
    """
    kind = _KINDS.get(status, UpstreamInvalid if status < 400 else UpstreamError)
    own: int | None = None
    code: str | None = None
    if refusal is not None or status in CALLER_S:
        own = status if status in CALLER_S else 400
        code = "NOT_FOUND" if own == 404 else error_code(own)
        kind = UpstreamTimeout if own == 408 else UpstreamRefused
    failed = kind(
        text, provider=provider, upstream_status=status, retry_after=retry_after, status=own, error_code=code
    )
    failed.refusal = refusal
    return failed


def _wait(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait; it is not for callers to wait until the gateway's account is in order."""
    if status in OUR_CREDENTIALS:
        return None
    return wait_asked(headers, limits=status in _LIMITED)


def _without_end(failed: UpstreamError, told: Told) -> UpstreamError:
    """The error, marked where it tells of what waiting does not help with."""
    if failed.refusal is not None:
        failed.retry_after = None
    if failed.status == 429 and (failed.refusal is not None or told.endless(failed.provider)):
        failed.passes, failed.retry_after = False, None
    return failed


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
    return told_error(provider, status, f"{provider} reports an error: {said}", error)


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
    value = _json(body)
    for key in ("error", "message", "detail"):
        while isinstance(value, dict) and value.get(key):
            value = value[key]
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        value = value["type"]
    return value if isinstance(value, str) else excerpt(body)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


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
