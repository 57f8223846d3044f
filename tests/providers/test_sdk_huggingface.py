"""Hugging Face's own client against the recorded upstreams of its server, over a socket: it sends what we send, reads what we read."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from huggingface_hub import InferenceClient, errors

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream, Received

Json = dict[str, Any]


def of_server(case: Case) -> bool:
    """The upstream's side is the server's own, as the client's types know it."""
    known = case.provider == "huggingface-text-generation-inference" and case.shape is None
    return known and "guideline" not in case.request


def ask(upstream: MockUpstream, case: Case) -> Any:
    """Call what the case is about with the recorded parameters; a stream is read to its end."""
    client = InferenceClient(model=upstream.url + address(case), timeout=20.0, token="unread")
    body: Json = {name: value for name, value in case.upstream_request["body"].items() if name != "model"}
    if case.kind == "llm/v1/chat":
        answer: Any = client.chat_completion(**body)
    else:
        answer = client.text_generation(body["inputs"], stream=case.streams, **body["parameters"])
    return list(answer) if case.streams else answer


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send; it has a name of its own for no model, and says so where it wants no stream."""
    body, expected = request.json, case.upstream_request["body"]
    assert request.path == address(case)
    assert {**body, "model": None, "stream": None} == {**expected, "model": None, "stream": None}


def told(value: Any) -> Any:
    """JSON without what is null: the client's types have every field."""
    if isinstance(value, list):
        return [told(part) for part in value]
    if isinstance(value, dict):
        return {key: told(part) for key, part in value.items() if part is not None}
    return value


@each(lambda case: of_server(case) and case.answer)
def test_hugging_faces_client_reads_the_recorded_answer(upstream: MockUpstream, case: Case) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    replay(upstream, case)

    answer = ask(upstream, case)

    assert_asked(upstream.request(), case)
    assert told(json.loads(json.dumps(answer))) == told(json.loads(case.upstream_body))


@each(lambda case: of_server(case) and case.streams and "error" not in case.name)
def test_hugging_faces_client_reads_the_recorded_stream(upstream: MockUpstream, case: Case) -> None:
    """It sends the recorded request, and finds every recorded piece."""
    replay(upstream, case)

    pieces = ask(upstream, case)

    assert_asked(upstream.request(), case)
    assert told(json.loads(json.dumps(pieces))) == told(case.upstream_data())


ERRORS: Mapping[str, type[Exception]] = {
    "validation": errors.ValidationError,
    "generation": errors.GenerationError,
    "overloaded": errors.OverloadedError,
    "incomplete_generation": errors.IncompleteGenerationError,
}


@each(lambda case: of_server(case) and case.streams and "error" in case.name)
def test_hugging_faces_client_sees_the_recorded_error_in_a_stream(upstream: MockUpstream, case: Case) -> None:
    """What we take for an error in a stream is one to the client."""
    replay(upstream, case)
    said = case.upstream_data()[-1]

    with pytest.raises(ERRORS[said["error_type"]], match=re.escape(said["error"])):
        ask(upstream, case)


@each(lambda case: of_server(case) and case.upstream_answer and case.fails)
def test_hugging_faces_client_reads_the_recorded_error(upstream: MockUpstream, case: Case) -> None:
    """Its kind is where the client looks for it."""
    replay(upstream, case)
    said = json.loads(case.upstream_body)

    with pytest.raises((errors.TextGenerationError, errors.HfHubHTTPError)) as failed:
        ask(upstream, case)

    assert_asked(upstream.request(), case)
    if case.kind == "llm/v1/completions":
        assert type(failed.value) is ERRORS[said["error_type"]]
    else:
        assert isinstance(failed.value, errors.HfHubHTTPError)
        assert failed.value.response.status_code == case.upstream_status
