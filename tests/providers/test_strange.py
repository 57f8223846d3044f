"""Recorded cases with things in them changed at random: an answer or an error of ours comes of it, nothing else."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_async.errors import GatewayError, InvalidRequest, UpstreamError, UpstreamInvalid
from gateway_async.provider_table import ROWS
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case, frame_bytes, read
from tests.support.upstream import event

T = TypeVar("T")

TELLS_IN_ANSWERS = {name for name, row in ROWS.items() if row.status_field}
"""Providers that tell of failures in a field of an answer: a strange one may do so, too."""

ODD: Sequence[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    "x",
    "data:",
    [],
    [None],
    [[]],
    ["x"],
    {},
    {"type": "x"},
    {"x": {}},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a value, its own first."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def changed(value: Any, path: Sequence[Any], draw: st.DataObject) -> Any:
    """A copy of a value with one thing in it taken away or replaced."""
    if not path:
        return draw.draw(st.sampled_from(ODD))
    key, *rest = path
    inner = None if rest else draw.draw(st.sampled_from(["replace", "remove", "repeat"]))
    if isinstance(value, dict):
        if inner == "remove":
            return {name: kept for name, kept in value.items() if name != key}
        return {**value, key: changed(value[key], rest, draw)}
    if inner == "remove":
        return value[:key] + value[key + 1 :]
    if inner == "repeat":
        return value[: key + 1] + value[key:]
    return [*value[:key], changed(value[key], rest, draw), *value[key + 1 :]]


def mutated(value: Any, draw: st.DataObject) -> Any:
    """A copy of a value with up to three things changed."""
    for _ in range(draw.draw(st.integers(1, 3))):
        value = changed(value, draw.draw(st.sampled_from(list(places(value)))), draw)
    return value


def tried(call: Callable[[], T]) -> T | GatewayError:
    """What a call gives, or the error of ours that it raises."""
    try:
        return call()
    except GatewayError as error:
        return error


# On a busy machine an example may take long; that says nothing about the code.
MANY = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of_each(choose: Callable[[Case], object]) -> pytest.MarkDecorator:
    """Run a test for each provider, with its recorded cases that are the vendor's own."""
    chosen: dict[str, list[Case]] = {}
    for case in CASES.values():
        if case.shape is None and choose(case):
            chosen.setdefault(case.provider, []).append(case)
    parameters = [pytest.param(cases, id=provider) for provider, cases in chosen.items()]
    return pytest.mark.parametrize("cases", parameters)


def encoded(case: Case, events: Sequence[Any]) -> bytes:
    """Events in the encoding of a case's stream."""
    if case.upstream_frames is not None:
        heads = [frame["headers"] for frame in case.upstream_frames]
        return b"".join(
            frame_bytes({"headers": heads[min(at, len(heads) - 1)], "payload": payload})
            for at, payload in enumerate(events)
        )
    if case.of_events:
        return b"".join(map(event, events))
    return b"".join(json.dumps(value).encode() + b"\n" for value in events)


@of_each(lambda case: not case.fails)
@MANY
@given(data=st.data())
def test_a_strange_request_is_sent_or_refused(cases: list[Case], data: st.DataObject) -> None:
    """Whatever a caller writes, it goes upstream as JSON or is refused as his own mistake."""
    case = data.draw(st.sampled_from(cases))
    strange = replace(case, request=mutated(case.request, data))

    sent = tried(strange.sent)

    if isinstance(sent, GatewayError):
        assert isinstance(sent, InvalidRequest)
    else:
        assert isinstance(json.loads(sent.body), dict)


@of_each(lambda case: case.answer)
@MANY
@given(data=st.data())
def test_a_strange_answer_is_passed_on_or_is_the_upstreams_fault(
    cases: list[Case], data: st.DataObject
) -> None:
    """Fields that are missing, doubled or of another type give an answer with the fields of its kind, or an error."""
    case = data.draw(st.sampled_from(cases))
    assert case.upstream_answer is not None
    body = json.dumps(mutated(case.upstream_answer["body"], data)).encode()

    answer = tried(lambda: case.adapter().answer(UpstreamResponse(200, {}, body), case.data()))

    if isinstance(answer, bytes):
        assert_standard(json.loads(answer), "data" if case.kind == "llm/v1/embeddings" else "choices")
    else:
        assert isinstance(answer, UpstreamError)
        if case.provider not in TELLS_IN_ANSWERS:
            assert isinstance(answer, UpstreamInvalid)
            assert answer.status == 502


@of_each(lambda case: case.streams)
@MANY
@given(data=st.data())
def test_a_strange_stream_is_passed_on_or_is_the_upstreams_fault(
    cases: list[Case], data: st.DataObject
) -> None:
    """Events that are changed, lost, doubled, out of order or cut give chunks, and an error of the upstream's."""
    case = data.draw(st.sampled_from(cases))
    events = list(case.upstream_data())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(events) - 1))
        how = data.draw(st.sampled_from(["change", "lose", "double", "move"]))
        if how == "change":
            events[at] = mutated(events[at], data)
        elif how == "double":
            events.insert(at, events[at])
        elif len(events) > 1:
            moved = events.pop(at)
            if how == "move":
                events.insert(data.draw(st.integers(0, len(events))), moved)
    whole = encoded(case, events)
    found = read(case.reader(), [whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))]])

    for chunk in found.chunks:
        assert_standard(chunk, "choices")
    assert found.error is None or isinstance(found.error, UpstreamError)


@of_each(lambda case: case.upstream_answer and case.fails)
@MANY
@given(data=st.data())
def test_a_strange_error_is_an_error(cases: list[Case], data: st.DataObject) -> None:
    """Whatever an upstream says with a status that is none of success, an error of the upstream's comes of it."""
    case = data.draw(st.sampled_from(cases))
    assert case.upstream_answer is not None
    body = json.dumps(mutated(case.upstream_answer["body"], data)).encode()
    status = data.draw(st.integers(300, 599))
    headers = {
        "retry-after": data.draw(
            st.sampled_from(["1", "1.5", "-1", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
        )
    }

    failed = case.adapter().error(UpstreamResponse(status, headers, body))

    assert isinstance(failed, UpstreamError)
    assert failed.status in (400, 404, 408, 409, 413, 415, 422, 429, 502, 503, 504)
    assert failed.retry_after is None or 0 <= failed.retry_after <= 86_400


def assert_standard(answer: Any, rows: str) -> None:
    """An answer or a chunk has what every one of its kind has."""
    assert isinstance(answer["model"], str)
    assert isinstance(answer["object"], str)
    for row in answer[rows]:
        assert isinstance(row["index"], int)
        assert "embedding" in row or "text" in row or isinstance(row.get("message", row.get("delta")), dict)
