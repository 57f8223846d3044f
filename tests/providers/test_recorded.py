"""Every recorded case through the real adapter, with both of its sides held against the vendors' own types."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway_async.schemas import (
    ChatChunk,
    ChatResponse,
    CompletionChunk,
    CompletionResponse,
    EmbeddingResponse,
)
from tests.providers.cases import CASES, Case, each, outcome, read, settled
from tests.providers.published import of, openai

ANSWERS: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": ChatResponse,
    "llm/v1/completions": CompletionResponse,
    "llm/v1/embeddings": EmbeddingResponse,
}
CHUNKS: Mapping[str, type[BaseModel]] = {"llm/v1/chat": ChatChunk, "llm/v1/completions": CompletionChunk}

LINE_ENDS = ("\n", "\r\n", "\r")
NAMES = dict(zip(LINE_ENDS, ("LF", "CRLF", "CR"), strict=True))


def of_vendor(case: Case) -> bool:
    """The upstream's side is the vendor's own."""
    return case.shape is None


def adds(case: Case) -> Sequence[str]:
    """The keys that the provider's answers have beyond OpenAI's types."""
    return getattr(of(case.provider), "ADDS", ())


def counts_tokens(answer: Any) -> bool:
    """The answer says what was used and has an id, as OpenAI's always does."""
    return None not in (answer.get("usage") or {}).values() and answer.get("id", "") is not None


# --- through the adapter ------------------------------------------------------------------------------------------


@each()
def test_what_goes_upstream_is_what_was_recorded(case: Case) -> None:
    """The address, the headers that matter and the body are those of the vendor's API."""
    sent = case.sent()

    assert sent.method == "POST"
    assert {
        "url": sent.url,
        "headers": dict(sent.headers),
        "body": json.loads(sent.body),
    } == case.upstream_request


@each(lambda case: case.answer)
def test_an_upstream_answer_reaches_the_caller_in_the_standard_shape(case: Case) -> None:
    """What the caller gets is the recorded answer, to the last field."""
    answer = json.loads(case.adapter().answer(case.response(), case.data()))

    assert answer == settled(case.answer, answer)


@each(lambda case: case.upstream_answer and case.fails)
def test_an_upstream_error_reaches_the_caller_with_its_own_words(case: Case) -> None:
    """Status, code, message and the time to wait are those recorded."""
    assert outcome(case.adapter().error(case.response())) == case.error


@each(lambda case: case.streams)
def test_an_upstream_stream_reaches_the_caller_in_the_standard_shape(case: Case) -> None:
    """The chunks are the recorded ones, have one id, and end as recorded."""
    found = read(case.reader(), [case.stream_bytes()])

    assert found.chunks == settled(case.chunks, found.chunks)
    assert (found.error and outcome(found.error)) == case.error
    assert len({chunk["id"] for chunk in found.chunks} - {""}) <= 1


@each(lambda case: case.streams)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(line_end=st.sampled_from(LINE_ENDS), data=st.data())
def test_a_stream_says_the_same_wherever_it_is_cut(case: Case, line_end: str, data: st.DataObject) -> None:
    """Cuts within an event, a line end or a character make no difference, whichever line ends the upstream uses."""
    stream = case.stream_bytes(line_end if line_end in case.line_ends else "\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))

    found = read(case.reader(), [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])

    assert found.chunks == settled(case.chunks, found.chunks)
    assert (found.error and outcome(found.error)) == case.error


@pytest.mark.parametrize(
    ("case", "line_end"),
    [
        pytest.param(case, line_end, id=f"{case.name}-{NAMES[line_end]}")
        for case in CASES.values()
        for line_end in case.line_ends
        if case.streams
    ],
)
def test_a_stream_says_the_same_byte_by_byte(case: Case, line_end: str) -> None:
    """Every place where a stream can be cut is cut, after the mark that some servers put before the first byte."""
    stream = b"\xef\xbb\xbf" * case.of_events + case.stream_bytes(line_end)

    found = read(case.reader(), [stream[at : at + 1] for at in range(len(stream))])

    assert found.chunks == settled(case.chunks, found.chunks)
    assert (found.error and outcome(found.error)) == case.error


# --- against the vendors' types -----------------------------------------------------------------------------------


@each()
def test_the_vendor_takes_what_goes_upstream(case: Case) -> None:
    """Every body is of the type that the vendor's SDK publishes, without a key that it does not know."""
    sent = case.sent()
    of(case.provider).check_sent(case.kind, sent.url, json.loads(sent.body))


@each(lambda case: of_vendor(case) and case.answer)
def test_a_recorded_answer_is_one_that_the_vendor_may_give(case: Case) -> None:
    """The upstream's side of a case is of the vendor's published type."""
    of(case.provider).check_answered(case.kind, case.sent().url, case.upstream_body)


@each(lambda case: of_vendor(case) and case.upstream_answer and case.fails)
def test_a_recorded_error_is_one_that_the_vendor_may_give(case: Case) -> None:
    """The upstream's side of an error is of the vendor's published type."""
    of(case.provider).check_error(case.upstream_status, case.upstream_body)


@each(lambda case: of_vendor(case) and case.streams)
def test_recorded_events_are_ones_that_the_vendor_may_send(case: Case) -> None:
    """The upstream's side of a stream is of the vendor's published types."""
    for data in case.upstream_data():
        of(case.provider).check_event(case.kind, case.sent().url, data)


@each(lambda case: case.answer)
def test_an_answer_is_of_openais_type(case: Case) -> None:
    """What the caller gets is what OpenAI's client and ours can read."""
    body = case.adapter().answer(case.response(), case.data())

    ANSWERS[case.kind].model_validate_json(body)
    if of_vendor(case) and counts_tokens(json.loads(body)):
        openai.check_answered(case.kind, "", body, adds=adds(case))


@each(lambda case: case.streams)
def test_a_chunk_is_of_openais_type(case: Case) -> None:
    """Each chunk that the caller gets is what OpenAI's client and ours can read."""
    for chunk in read(case.reader(), [case.stream_bytes()]).chunks:
        CHUNKS[case.kind].model_validate(chunk)
        if case.kind == "llm/v1/chat":
            openai.check_event(case.kind, "", chunk, adds=adds(case))


# --- folded -------------------------------------------------------------------------------------------------------


@each(lambda case: case.folds_to and case.kind == "llm/v1/chat")
def test_openais_sdk_folds_a_stream_into_the_answer(case: Case) -> None:
    """A streamed answer adds up to what the same call gives without streaming."""
    whole = CASES[f"{case.provider}/{case.folds_to}"]
    answer = json.loads(whole.adapter().answer(whole.response(), whole.data()))
    folded = openai.fold_chunks(read(case.reader(), [case.stream_bytes()]).chunks)

    assert _told(_without_additions(folded, case)) == _told(_without_additions(answer, case))


@each(lambda case: case.folds_to and case.kind == "llm/v1/completions")
def test_the_pieces_of_a_completion_add_up(case: Case) -> None:
    """Its chunks, put together, are the text that the same call gives without streaming."""
    whole = CASES[f"{case.provider}/{case.folds_to}"]
    answer = json.loads(whole.adapter().answer(whole.response(), whole.data()))
    texts: dict[int, str] = {}
    reasons: dict[int, str | None] = {}
    for chunk in read(case.reader(), [case.stream_bytes()]).chunks:
        for choice in chunk["choices"]:
            index = choice["index"]
            texts[index] = texts.get(index, "") + (choice["text"] or "")
            reasons[index] = choice["finish_reason"] or reasons.get(index)

    assert [(index, texts[index], reasons[index]) for index in sorted(texts)] == [
        (choice["index"], choice["text"], choice["finish_reason"]) for choice in answer["choices"]
    ]


@each(lambda case: case.folds_to and hasattr(of(case.provider), "fold_events"))
def test_the_vendors_sdk_folds_the_recorded_events_into_the_recorded_answer(case: Case) -> None:
    """The two upstream sides of a pair, streamed and whole, say the same."""
    whole = CASES[f"{case.provider}/{case.folds_to}"]

    folded, message = of(case.provider).fold_events(case.upstream_data()), json.loads(whole.upstream_body)

    assert _told({**folded, "usage": None}) == _told({**message, "usage": None})


@each(lambda case: case.folds_to)
def test_a_pair_asks_for_the_same(case: Case) -> None:
    """A streamed case differs from the one that it adds up to in the stream alone."""
    whole = CASES[f"{case.provider}/{case.folds_to}"]

    assert {**case.request, "stream": None, "stream_options": None} == {
        **whole.request,
        "stream": None,
        "stream_options": None,
    }


def _without_additions(answer: Any, case: Case) -> Any:
    """An answer without what the vendor puts beside its choices, which OpenAI's SDK does not fold."""
    return {key: part for key, part in answer.items() if key not in (*openai.STRANGERS, *adds(case))}


_OURS = re.compile(r"(chatcmpl|cmpl|call)-[0-9a-f]{32}$")
"""An id that we made where the upstream gave none."""


def _told(value: Any) -> Any:
    """A value without what a fold adds or leaves out: nothings, numbers of pieces, parsed copies, the time, ids of ours."""
    if isinstance(value, list):
        return [_told(part) for part in value]
    if not isinstance(value, dict):
        return value
    told = {
        key: _told(part)
        for key, part in value.items()
        if key not in ("parsed", "parsed_arguments", "created")
        and not (key == "id" and _OURS.match(str(part)))
    }
    if "message" not in told:
        told.pop("index", None)
    if "arguments" in told:
        told["arguments"] = json.loads(told["arguments"])
    return {key: part for key, part in told.items() if part not in (None, "", [], {})}
