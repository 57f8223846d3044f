"""Whether an answer is right: held to what the chaos upstream was asked to say, and to the caller's dialect.

Verdicts: `right`; a status such as `502`, for an error in the caller's dialect; `in-band`, for a stream that ended with
one; `refused`, `closed`, `hung` or `left`, where there was no end; `wrong: …` for all that may never be.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.faults.storm.outcome import Outcome
from tests.faults.storm.wire import said
from tests.support.configs import KEY

Judge = Callable[[Outcome], str]
"""Says what became of a request."""

ERROR_STATUSES = {400, 404, 408, 413, 422, 429, 502, 503, 504}
"""What an upstream's misbehaviour may become."""


def verdict(outcome: Outcome) -> str:
    """What became of a request, in a word."""
    if KEY.encode() in outcome.body:
        return "wrong: the provider's key"
    if outcome.broken:
        return outcome.broken
    try:
        return _verdict(outcome)
    except (ValueError, LookupError, TypeError) as problem:
        return f"wrong: {type(problem).__name__}: {problem}"


def well_formed(outcome: Outcome) -> str:
    """What became of a request whose answer nobody knows: `answered`, `in-band`, a status, or what is wrong with it."""
    if outcome.broken:
        return outcome.broken
    assert outcome.status is not None
    if outcome.status == 500 or outcome.status > 504 or outcome.status < 200:
        return f"wrong: status {outcome.status}"
    openai, body = outcome.ask.openai, outcome.body
    try:
        if outcome.status >= 300:
            return (
                str(outcome.status)
                if _is_error(json.loads(body), openai=openai)
                else "wrong: an error's shape"
            )
        if not outcome.headers.get("content-type", "").startswith("text/event-stream"):
            json.loads(body)
            return "answered"
        return _events(body, openai=openai)
    except (ValueError, LookupError, TypeError) as problem:
        return f"wrong: {type(problem).__name__}: {problem}"


def _events(body: bytes, *, openai: bool) -> str:
    *events, rest = body.split(b"\n\n")
    items = [event.removeprefix(b"data: ") for event in events if not event.startswith(b":")]
    if rest or not items:
        return "wrong: half an event at the end" if rest else "wrong: an empty stream"
    done = items[-1] == b"[DONE]"
    values = [json.loads(item) for item in items[: -1 if done else None]]
    if values and _is_error(values[-1], openai=openai, in_band=True):
        return "wrong: an error and [DONE]" if done else "in-band"
    if done is not openai:
        return "wrong: no [DONE]" if openai else "wrong: [DONE]"
    return "answered" if all(isinstance(value["choices"], list) for value in values) else "wrong: a chunk"


def _verdict(outcome: Outcome) -> str:
    ask, status, body = outcome.ask, outcome.status, outcome.body
    kind = outcome.headers.get("content-type", "")
    if "x-request-id" not in outcome.headers:
        return "wrong: no request id"
    # Of a stream that began with a heartbeat the headers do not say who answers.
    if status == 200 and outcome.headers.get("x-gateway-route") not in (
        ask.route,
        None if ask.stream else "",
    ):
        return "wrong: another route"
    if status != 200:
        if status not in ERROR_STATUSES:
            return f"wrong: status {status}"
        if not kind.startswith("application/json"):
            return f"wrong: an error as {kind!r}"
        return str(status) if _is_error(json.loads(body), openai=ask.openai) else "wrong: an error's shape"
    if ask.stream:
        if not kind.startswith("text/event-stream"):
            return f"wrong: a stream as {kind!r}"
        return _stream(body, outcome.marker, openai=ask.openai)
    answer = json.loads(body)
    if answer["choices"][0]["message"]["content"] != said(outcome.marker):
        return "wrong: another text"
    return "right" if answer["usage"]["total_tokens"] == 18 else "wrong: usage"


def _stream(body: bytes, marker: int, *, openai: bool) -> str:
    *events, rest = body.split(b"\n\n")
    if rest:
        return "wrong: half an event at the end"
    items = [event.removeprefix(b"data: ") for event in events if not event.startswith(b":")]
    if not items:
        return "wrong: an empty stream"
    if items[-1] != b"[DONE]" and _is_error(json.loads(items[-1]), openai=openai, in_band=True):
        return "in-band"
    if openai and items.pop() != b"[DONE]":
        return "wrong: no [DONE]"
    choices = [choice for item in items for choice in json.loads(item)["choices"]]
    if "".join(choice["delta"].get("content") or "" for choice in choices) != said(marker):
        return "wrong: another text"
    return "right" if choices[-1]["finish_reason"] == "stop" else "wrong: no finish reason"


def _is_error(value: Any, *, openai: bool, in_band: bool = False) -> bool:
    """Whether this is an error in the dialect."""
    if openai:
        return set(value) == {"error"} and set(value["error"]) == {"message", "type", "param", "code"}
    return set(value) == {"detail", "error_code", "message"} | ({"status"} if in_band else set())
