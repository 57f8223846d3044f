"""How long a provider asks to wait: in whichever header it says so, never longer than a day, and never wrongly."""

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers._waits import LONGEST, duration, wait_asked
from tests.providers.cases import CASES

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
DAY = 86_400

ASKED: Mapping[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"retry-after": "20"}, 20),
    "part of a second": ({"retry-after": "0.5"}, 0.5),
    "none": ({"retry-after": "0"}, 0),
    "weeks": ({"retry-after": "999999999"}, DAY),
    "no number": ({"retry-after": "soon"}, None),
    "below zero": ({"retry-after": "-5"}, None),
    "infinite": ({"retry-after": "inf"}, None),
    "other digits": ({"retry-after": "\u0665"}, None),
    "empty": ({"retry-after": ""}, None),
    "milliseconds": ({"retry-after-ms": "1250", "retry-after": "2"}, 1.25),
    "milliseconds that are none": ({"retry-after-ms": "x", "retry-after": "2"}, 2),
    "a date": ({"date": DATE, "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, 30),
    "an old form of date": ({"date": DATE, "retry-after": "Wed Oct 21 07:28:30 2026"}, 30),
    "a date that is over": ({"date": DATE, "retry-after": "Wed, 21 Oct 2026 07:27:00 GMT"}, 0),
    "a date far away": ({"date": DATE, "retry-after": "Wed, 21 Oct 2037 07:28:00 GMT"}, DAY),
    "a date that is none": ({"date": DATE, "retry-after": "Wed, 99 Oct 2026 07:28:00 GMT"}, None),
    "OpenAI, requests": (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "6ms",
        },
        360,
    ),
    "OpenAI, tokens": (
        {
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "20ms",
        },
        0.02,
    ),
    "Groq, both": (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        179.56,
    ),
    "nothing used up": (
        {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"},
        None,
    ),
    "Retry-After before the rest": (
        {"retry-after": "2", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"},
        2,
    ),
    "Azure, unknown": ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, None),
    "Azure, seconds": ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12"}, 12),
    "Cerebras": (
        {
            "x-ratelimit-remaining-tokens-minute": "0",
            "x-ratelimit-reset-tokens-minute": "11.382",
            "x-ratelimit-remaining-requests-day": "14370",
            "x-ratelimit-reset-requests-day": "33011.4",
        },
        11.382,
    ),
    "Anthropic": (
        {
            "date": DATE,
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": "2026-10-21T07:28:10Z",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2026-10-21T09:28:45+02:00",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-10-21T07:30:00Z",
        },
        45,
    ),
    "Mistral": ({"ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "41"}, 41),
    "OpenRouter": (
        {"date": DATE, "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792567690000"},
        10,
    ),
    "seconds since 1970": (
        {"date": DATE, "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792567690"},
        10,
    ),
    "used up, and nothing else": ({"x-ratelimit-remaining-requests": "0"}, None),
    "nonsense": ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "in a while"}, None),
}


@pytest.mark.parametrize(("headers", "wait"), ASKED.values(), ids=ASKED)
def test_a_wait_is_read_from_where_the_vendor_says_it(headers: dict[str, str], wait: float | None) -> None:
    """In seconds, in milliseconds, as a date, or as the time when the limit that is used up is full again."""
    found = wait_asked(headers, limits=True)

    assert found == (wait if wait is None else pytest.approx(wait))


def test_a_date_is_read_against_our_clock_where_the_answer_has_none() -> None:
    """Every server should say what time it thinks it is; not every one does."""
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 600))

    wait = wait_asked({"retry-after": soon}, limits=False)

    assert wait is not None
    assert 500 < wait <= 600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("250us", 0.00025),
        ("34.074824224s", 34.074824224),
        ("99h", DAY),
        ("", None),
        ("5", None),
        ("s", None),
        ("1s2", None),
        ("-1s", None),
        ("1 s", None),
        ("1d", None),
    ],
)
def test_a_duration_is_read_as_the_vendors_write_it(text: str, seconds: float | None) -> None:
    """Go's notation, which OpenAI, Groq and Google have."""
    assert duration(text) == (seconds if seconds is None else pytest.approx(seconds))


LIMITS = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}


@pytest.mark.parametrize(
    ("status", "asked", "full_again"),
    [
        (400, 20, None),
        (404, 20, None),
        (401, None, None),
        (413, None, None),
        (408, 20, None),
        (409, 20, None),
        (425, 20, None),
        (429, 20, 360),
        (500, 20, None),
        (502, 20, None),
        (503, 20, 360),
        (504, 20, None),
        (529, 20, 360),
    ],
)
def test_what_is_asked_counts_but_for_credentials_and_refusals(
    status: int, asked: float | None, full_again: float | None
) -> None:
    """And limits say something only where one was reached."""
    adapter = CASES["openai/chat"].adapter()

    assert adapter.error(UpstreamResponse(status, {"retry-after": "20"}, b"")).retry_after == asked
    assert adapter.error(UpstreamResponse(status, LIMITS, b"")).retry_after == full_again


NAMES = sorted({name for headers, _ in ASKED.values() for name in headers})
VALUES = st.sampled_from(sorted({value for headers, _ in ASKED.values() for value in headers.values()}))
DATES = st.datetimes().map(lambda date: date.strftime("%a, %d %b %Y %H:%M:%S GMT"))
NUMBERS = st.floats().map(str) | st.integers().map(str)


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        VALUES | DATES | NUMBERS | st.datetimes().map(str) | st.timedeltas().map(str) | st.text(),
    ),
    st.booleans(),
)
def test_whatever_the_headers_say_a_wait_is_between_nothing_and_a_day(
    headers: dict[str, str], limits: bool
) -> None:
    """Garbage is passed over, and neither the past nor the next century is waited for."""
    wait = wait_asked(headers, limits=limits)

    assert wait is None or 0 <= wait <= LONGEST
