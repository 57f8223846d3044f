"""Groq's own client against the recorded upstream, over a socket: it sends what we send, and reads what we read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import groq
import pytest

from tests.providers.cases import Case, each
from tests.providers.through import replay
from tests.support.upstream import MockUpstream


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[groq.Groq]:
    """Groq's client, whose server is the recorded upstream."""
    http = groq.DefaultHttpxClient(trust_env=False, timeout=20.0)
    with groq.Groq(
        api_key="key-recorded", base_url=shared_upstream.url, max_retries=0, http_client=http
    ) as client:
        yield client


def ask(client: groq.Groq, case: Case) -> Any:
    """Call it with the recorded parameters."""
    call: Any = client.chat.completions.create
    body = dict(case.upstream_request["body"])
    forgotten = {name: body.pop(name) for name in ("stream_options",) if name in body}
    return call(**body, extra_body=forgotten)


def assert_asked(upstream: MockUpstream, case: Case) -> None:
    """The client has sent what we send."""
    sent, expected = upstream.request(), case.upstream_request
    assert sent.path == urlsplit(expected["url"]).path
    assert sent.json == expected["body"]
    for name, value in expected["headers"].items():
        assert sent.headers[name.lower()] == value


@each(lambda case: case.provider == "groq" and case.answer)
def test_groqs_client_reads_the_recorded_answer(
    client: groq.Groq, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    replay(upstream, case)

    answer = ask(client, case)

    assert_asked(upstream, case)
    assert answer.to_dict(mode="json") == json.loads(case.upstream_body)


@each(lambda case: case.provider == "groq" and case.streams and not case.fails)
def test_groqs_client_reads_the_recorded_stream(
    client: groq.Groq, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds every recorded chunk."""
    replay(upstream, case)

    chunks = [chunk.to_dict(mode="json") for chunk in ask(client, case)]

    assert_asked(upstream, case)
    assert chunks == case.upstream_data()


ERRORS: Mapping[int, type[groq.APIStatusError]] = {
    400: groq.BadRequestError,
    401: groq.AuthenticationError,
    413: groq.APIStatusError,
    429: groq.RateLimitError,
}


@each(lambda case: case.provider == "groq" and case.upstream_status >= 300)
def test_groqs_client_reads_the_recorded_error(client: groq.Groq, upstream: MockUpstream, case: Case) -> None:
    """Its kind, its words and the time to wait are where the client looks for them."""
    replay(upstream, case)

    with pytest.raises(ERRORS[case.upstream_status]) as failed:
        ask(client, case)

    assert failed.value.body == json.loads(case.upstream_body)
    assert failed.value.response.headers.get("retry-after") == case.upstream_headers.get("retry-after")
