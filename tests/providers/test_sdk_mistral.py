"""Mistral's own client against the recorded upstreams, over a socket: it sends what we send, and reads all that is recorded."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, MistralError, SDKError

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream, Received

Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[Mistral]:
    """Mistral's client, which asks the mock upstream."""
    with httpx2.Client(trust_env=False, timeout=20.0) as http:
        yield Mistral(api_key="key-recorded", server_url=shared_upstream.url, client=http)


def of_mistral(case: Case) -> bool:
    """The upstream's side is Mistral's own, at its own address."""
    url = urlsplit(case.upstream_request["url"])
    return case.provider == "mistral" and case.shape is None and url.hostname == "api.mistral.ai"


def ask(client: Mistral, case: Case) -> Any:
    """Call what the case is about with the recorded parameters; a stream is read to its end."""
    body: Json = {name: value for name, value in case.upstream_request["body"].items() if name != "stream"}
    if "input" in body:
        return client.embeddings.create(**{("inputs" if key == "input" else key): body[key] for key in body})
    place: Any = client.fim if "/fim/" in address(case) else client.chat
    if case.streams:
        with place.stream(**body) as events:
            return [event.data for event in events]
    return place.complete(**body)


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send, and its own defaults."""
    assert request.path == address(case)
    assert told(request.json) == told(case.upstream_request["body"])
    assert request.headers["authorization"] == case.upstream_request["headers"]["Authorization"]


def told(value: Any) -> Any:
    """JSON without what the client says where nothing was given."""
    if isinstance(value, list):
        return [told(part) for part in value]
    if not isinstance(value, dict):
        return value
    kept = {key: told(part) for key, part in value.items() if part is not None}
    for name, default in (("stream", False), ("prefix", False), ("index", 0), ("type", "function")):
        if kept.get(name) == default:
            del kept[name]
    return kept


def read(answer: Any) -> Any:
    """What the client made of an answer, as JSON."""
    return told(answer.model_dump(mode="json", by_alias=True))


@each(lambda case: of_mistral(case) and case.answer)
def test_mistrals_client_reads_the_recorded_answer(
    client: Mistral, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    replay(upstream, case)

    answer = ask(client, case)

    assert_asked(upstream.request(), case)
    assert read(answer) == told(json.loads(case.upstream_body))


@each(lambda case: of_mistral(case) and case.streams and (case.chunks or not case.fails))
def test_mistrals_client_reads_the_recorded_stream(
    client: Mistral, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds every recorded chunk."""
    replay(upstream, case)

    chunks = ask(client, case)

    assert_asked(upstream.request(), case)
    assert [read(chunk) for chunk in chunks] == told(case.upstream_data())


@each(lambda case: of_mistral(case) and case.upstream_answer and case.fails)
def test_mistrals_client_reads_the_recorded_error(
    client: Mistral, upstream: MockUpstream, case: Case
) -> None:
    """Its status and its body are where the client looks for them."""
    replay(upstream, case)

    with pytest.raises(MistralError) as failed:
        ask(client, case)

    assert failed.value.status_code == case.upstream_status
    assert json.loads(failed.value.body) == json.loads(case.upstream_body)
    assert isinstance(failed.value, HTTPValidationError if case.upstream_status == 422 else SDKError)
