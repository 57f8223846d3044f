"""OpenAI's client and Anthropic's for Vertex AI against the recorded upstreams over a socket."""

import inspect
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from tests.providers.cases import Case, each
from tests.providers.published.vertex_ai import check_sent
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream

KEY = "key-recorded"
CHAT = "/chat/completions"


def path(case: Case) -> str:
    """The path of the recorded upstream request."""
    return urlsplit(case.upstream_request["url"]).path


def of_openai(case: Case) -> bool:
    """The upstream is the OpenAI endpoint."""
    return case.provider == "vertex-ai" and path(case).endswith(CHAT)


def of_claude(case: Case) -> bool:
    """The upstream is Claude."""
    return case.provider == "vertex-ai" and "/publishers/anthropic/" in path(case)


@pytest.fixture(scope="module")
def http() -> Iterator[Any]:
    """Connections for OpenAI's client."""
    with openai.DefaultHttpxClient(trust_env=False, timeout=20.0) as http:
        yield http


@pytest.fixture(scope="module")
def claudes_http() -> Iterator[Any]:
    """Connections for Anthropic's client."""
    with anthropic.DefaultHttpxClient(trust_env=False, timeout=20.0) as http:
        yield http


# --- OpenAI's -----------------------------------------------------------------------------------------------------


def ask_openai(http: Any, upstream: MockUpstream, case: Case) -> Any:
    """Call the endpoint with the recorded parameters, as Google's pages do."""
    base = upstream.url + path(case).removesuffix(CHAT)
    client = openai.OpenAI(api_key=KEY, base_url=base, max_retries=0, http_client=http)
    body = dict(case.upstream_request["body"])
    own = {name: body.pop(name) for name in ("extra_body",) if name in body}
    return client.chat.completions.create(**body, extra_body=own or None)


@each(lambda case: of_openai(case) and not case.fails)
def test_openais_client_reads_what_was_recorded(case: Case, http: Any, shared_upstream: MockUpstream) -> None:
    """It sends the recorded request to the recorded address, and finds all that stands in the answer or the chunks."""
    replay(shared_upstream, case)

    answer = ask_openai(http, shared_upstream, case)
    if case.streams:
        assert [chunk.to_dict(mode="json") for chunk in answer] == case.upstream_data()
    else:
        assert answer.to_dict(mode="json") == json.loads(case.upstream_body)

    request = shared_upstream.request()
    assert (request.path, request.json) == (address(case), case.upstream_request["body"])


@each(lambda case: of_openai(case) and case.upstream_answer and case.fails)
def test_openais_client_reads_the_recorded_error(
    case: Case, http: Any, shared_upstream: MockUpstream
) -> None:
    """Its status is the recorded one."""
    replay(shared_upstream, case)

    with pytest.raises(openai.APIStatusError) as failed:
        ask_openai(http, shared_upstream, case)

    assert failed.value.status_code == case.upstream_status


# --- Anthropic's --------------------------------------------------------------------------------------------------


def ask_claude(http: Any, upstream: MockUpstream, case: Case) -> Any:
    """Call Claude with the recorded parameters; the client makes the address, and puts the version into the body."""
    config = case.model["config"]
    client = anthropic.AnthropicVertex(
        region=config["location"],
        project_id=config["project"],
        access_token=KEY,
        base_url=f"{upstream.url}/v1",
        max_retries=0,
        http_client=http,
    )
    body = case.upstream_request["body"]  # its version is an older one than the client's own
    known = inspect.signature(client.messages.create).parameters
    older = {name: value for name, value in body.items() if name not in known}
    named: Any = {name: value for name, value in body.items() if name in known}
    model = case.model["name"].removeprefix("anthropic/")
    return client.messages.create(model=model, **named, extra_body=older or None)


@each(lambda case: of_claude(case) and not case.fails)
def test_anthropics_client_reads_what_was_recorded(
    case: Case, claudes_http: Any, shared_upstream: MockUpstream
) -> None:
    """It sends the recorded request to the recorded address, and finds all that stands in the answer or the events."""
    replay(shared_upstream, case)

    answer = ask_claude(claudes_http, shared_upstream, case)
    if case.streams:
        events = [event.to_dict(mode="json") for event in answer]
        assert events == [data for data in case.upstream_data() if data["type"] != "ping"]
    else:
        assert answer.to_dict(mode="json") == json.loads(case.upstream_body)

    request = shared_upstream.request()
    assert (request.path, request.json) == (address(case), case.upstream_request["body"])
    assert request.headers["authorization"] == f"Bearer {KEY}"
    check_sent(case.kind, request.path, request.json)


@each(lambda case: of_claude(case) and case.upstream_answer and case.fails)
def test_anthropics_client_reads_the_recorded_error(
    case: Case, claudes_http: Any, shared_upstream: MockUpstream
) -> None:
    """Its status is the recorded one."""
    replay(shared_upstream, case)

    with pytest.raises(anthropic.APIStatusError) as failed:
        ask_claude(claudes_http, shared_upstream, case)

    assert failed.value.status_code == case.upstream_status
