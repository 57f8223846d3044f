"""Every recorded case through a running gateway, asked by OpenAI's own client: sockets on both sides."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.providers.cases import KEYS, Case, each, settled
from tests.providers.through import replay, route
from tests.support.server import Server
from tests.support.upstream import MockUpstream

Json = dict[str, Any]

CONTENT = ("messages", "prompt", "input", "stream")
"""What OpenAI's client takes as its own arguments; the rest of a request goes beside them."""


@pytest.fixture(scope="module")
def client(gateway: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which knows nothing of the providers."""
    http = openai.DefaultHttpxClient(trust_env=False, timeout=20.0)
    with openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key="any", max_retries=0, http_client=http
    ) as client:
        yield client


def ask(client: openai.OpenAI, case: Case) -> Any:
    """The case's request."""
    call: Any = {
        "llm/v1/chat": client.chat.completions,
        "llm/v1/completions": client.completions,
        "llm/v1/embeddings": client.embeddings,
    }[case.kind]
    request = {("input" if name == "text" else name): value for name, value in case.request.items()}
    own = {name: request.pop(name) for name in CONTENT if name in request}
    if case.kind == "llm/v1/embeddings":  # it would ask for base64 by itself
        request.setdefault("encoding_format", "float")
        own["encoding_format"] = request.pop("encoding_format")
    return call.create(model=route(case), extra_body=request or None, **own)


@each(lambda case: case.answer)
def test_an_answer_reaches_openais_client(client: openai.OpenAI, upstream: MockUpstream, case: Case) -> None:
    """Through both sockets, all that was recorded: the path and the body upstream, the answer's every field."""
    replay(upstream, case)

    answer = ask(client, case)

    assert_sent(upstream, case)
    found = json.loads(answer.model_dump_json(exclude_unset=True, warnings=False))
    assert found == settled(case.answer, found)


@each(lambda case: case.streams and case.chunks)
def test_a_stream_reaches_openais_client(client: openai.OpenAI, upstream: MockUpstream, case: Case) -> None:
    """Chunk by chunk what was recorded, and a failure at its place."""
    replay(upstream, case)
    chunks: list[Json] = []
    failed: openai.APIError | None = None
    try:
        for chunk in ask(client, case):
            chunks.append(json.loads(chunk.model_dump_json(exclude_unset=True, warnings=False)))
    except openai.APIError as error:
        failed = error

    assert_sent(upstream, case)
    assert chunks == settled(expected_chunks(case), chunks)
    assert (failed and failed.message) == (case.error and case.error["message"])


def expected_chunks(case: Case) -> list[Json]:
    """What was recorded, but for a chunk that says only what was used, for a caller who asked for none."""
    asks = (case.request.get("stream_options") or {}).get("include_usage")
    return [chunk for chunk in case.chunks or () if asks or chunk["choices"] or not chunk.get("usage")]


@each(lambda case: case.fails and not case.chunks)
def test_an_error_reaches_openais_client(client: openai.OpenAI, upstream: MockUpstream, case: Case) -> None:
    """With its status, before any chunk of a stream, and the upstream's own words."""
    assert case.error is not None
    replay(upstream, case)

    with pytest.raises(openai.APIStatusError) as refused:
        ask(client, case)

    expected = 400 if case.error["status"] == 422 else case.error["status"]
    assert refused.value.status_code == expected
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["message"] == case.error["message"]
    assert [key for key in KEYS if key in refused.value.response.text] == []


def assert_sent(upstream: MockUpstream, case: Case) -> None:
    """The upstream got what was recorded."""
    sent, expected = upstream.request(), case.upstream_request
    url = urlsplit(expected["url"])
    assert sent.path == (f"{url.path}?{url.query}" if url.query else url.path)
    body = expected["body"]
    if case.streams and "stream_options" not in body and (asked := sent.json.get("stream_options")):
        assert asked == {"include_usage": True}  # the gateway counts what every stream uses
        body = {**body, "stream_options": asked}
    if case.kind == "llm/v1/embeddings" and "encoding_format" not in case.request:
        assert {**sent.json, "encoding_format": None} == {**body, "encoding_format": None}
    else:
        assert sent.json == body
    for name, value in expected["headers"].items():
        assert sent.headers[name.lower()] == value
