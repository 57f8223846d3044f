"""How long a provider asks to wait: `Retry-After`, or when the limit that is used up is full again.

https://www.rfc-editor.org/rfc/rfc9110#field.retry-after, https://platform.openai.com/docs/guides/rate-limits,
https://docs.anthropic.com/en/api/rate-limits, https://console.groq.com/docs/rate-limits. Dates are read against the
answer's own `Date`, since clocks differ.
"""

import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 86_400.0
"""No wait is longer than a day, in seconds."""

_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|us|µs|ns|h|m|s)")
_EPOCH, _EPOCH_MS = 1e9, 1e12
"""A number from here on is no time to wait but a date: seconds since 1970, or milliseconds."""


def wait_asked(headers: Mapping[str, str], *, limits: bool) -> float | None:
    """Seconds to wait before the same call may pass, from 0 to a day; None where nothing says so.

    Args:
        headers: Of the answer, their names in small letters.
        limits: The headers that tell of limits count too: of those that are used up, the one that takes longest.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _bounded(milliseconds / 1000)
    now = _date(headers.get("date"))
    if now is None:
        now = time.time()
    asked = headers.get("retry-after", "")
    wait = _number(asked)
    if wait is None and (date := _date(asked)) is not None:
        wait = date - now
    if wait is None and limits:
        wait = max(_resets(headers, now), default=None)
    return None if wait is None else _bounded(wait)


def duration(text: str) -> float | None:
    """The seconds of a duration such as `20ms`, `6m0s` or `1.5s`; None where it is none."""
    text = text.strip()
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        return None
    return _bounded(sum(float(part[1]) * _UNITS[part[2]] for part in parts))


def _resets(headers: Mapping[str, str], now: float) -> Iterator[float]:
    """When each limit that is used up is full again: `…-remaining-…` is 0, `…-reset-…` beside it says when."""
    for name, value in headers.items():
        if "ratelimit" in name and "remaining" in name and _number(value) == 0:
            reset = _seconds_until(headers.get(name.replace("remaining", "reset"), ""), now)
            if reset is not None:
                yield reset


def _seconds_until(text: str, now: float) -> float | None:
    """The seconds that a reset is away: a number, a duration or a date."""
    if (number := _number(text)) is not None:
        if number >= _EPOCH_MS:
            return number / 1000 - now
        return number - now if number >= _EPOCH else number
    if (wait := duration(text)) is not None:
        return wait
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now


def _number(text: str | None) -> float | None:
    return float(text) if text and _NUMBER.fullmatch(text := text.strip()) else None


def _date(text: str | None) -> float | None:
    """An HTTP date, in seconds since 1970."""
    try:
        date = parsedate_to_datetime(text or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST)
