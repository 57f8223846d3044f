"""Together AI's own client against the recorded upstreams, over a socket: it sends what we send, and reads what we read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import together

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream, Received


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[together.Together]:
    """Together AI's client, which asks the mock upstream, and once."""
    http = together.DefaultHttpxClient(trust_env=False, timeout=20.0)
    with together.Together(
        api_key="key-recorded", base_url=shared_upstream.url, max_retries=0, http_client=http
    ) as client:
        yield client


def of_together(case: Case) -> bool:
    """The upstream's side is Together AI's own, at its own address."""
    url = urlsplit(case.upstream_request["url"])
    return case.provider == "togetherai" and case.shape is None and url.hostname == "api.together.xyz"


def ask(client: together.Together, case: Case) -> Any:
    """Call what the case is about with the recorded parameters."""
    call: Any = {
        "llm/v1/chat": client.chat.completions,
        "llm/v1/completions": client.completions,
        "llm/v1/embeddings": client.embeddings,
    }[case.kind]
    return call.create(**case.upstream_request["body"])


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send."""
    assert request.path == address(case)
    assert request.json == case.upstream_request["body"]
    assert request.headers["authorization"] == case.upstream_request["headers"]["Authorization"]


@each(lambda case: of_together(case) and case.answer)
def test_togethers_client_reads_the_recorded_answer(
    client: together.Together, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    replay(upstream, case)

    answer = ask(client, case)

    assert_asked(upstream.request(), case)
    assert answer.to_dict(mode="json") == json.loads(case.upstream_body)


@each(lambda case: of_together(case) and case.streams and "error" not in case.name)
def test_togethers_client_reads_the_recorded_stream(
    client: together.Together, upstream: MockUpstream, case: Case
) -> None:
    """It sends the recorded request, and finds every recorded chunk."""
    replay(upstream, case)

    chunks = [chunk.to_dict(mode="json") for chunk in ask(client, case)]

    assert_asked(upstream.request(), case)
    assert chunks == case.upstream_data()


@each(lambda case: of_together(case) and case.streams and "error" in case.name)
def test_togethers_client_sees_the_recorded_error_in_a_stream(
    client: together.Together, upstream: MockUpstream, case: Case
) -> None:
    """What we take for an error in a stream is one to the client."""
    replay(upstream, case)

    with pytest.raises(together.APIError) as failed:
        list(ask(client, case))

    assert {"error": failed.value.body} == case.upstream_data()[-1]


ERRORS: Mapping[int, type[together.APIStatusError]] = {
    400: together.BadRequestError,
    401: together.AuthenticationError,
    402: together.APIStatusError,
    403: together.PermissionDeniedError,
    404: together.NotFoundError,
    429: together.RateLimitError,
    500: together.InternalServerError,
    503: together.InternalServerError,
}


@each(lambda case: of_together(case) and case.upstream_answer and case.fails)
def test_togethers_client_reads_the_recorded_error(
    client: together.Together, upstream: MockUpstream, case: Case
) -> None:
    """Its kind, its words and the time to wait are where the client looks for them."""
    replay(upstream, case)

    with pytest.raises(ERRORS[case.upstream_status]) as failed:
        ask(client, case)

    assert failed.value.body in (json.loads(case.upstream_body), json.loads(case.upstream_body)["error"])
    assert failed.value.response.headers.get("retry-after") == case.upstream_headers.get("retry-after")
