"""Google's own client against the recorded upstreams of Gemini, over a socket: it sends what we send, reads what we read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from google import genai
from google.genai import errors, types
from pydantic.alias_generators import to_camel

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream, Received

Json = dict[str, Any]


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[genai.Client]:
    """Google's client, which asks the mock upstream, and once."""
    options = types.HttpOptions(
        base_url=shared_upstream.url,
        api_version="v1beta",
        timeout=20_000,
        client_args={"trust_env": False},
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    with genai.Client(api_key="key-recorded", vertexai=False, http_options=options) as client:
        yield client


def ask(client: genai.Client, case: Case) -> Any:
    """Call what the case is about with the recorded parameters; a stream is read to its end."""
    body = dict(case.upstream_request["body"])
    model = case.model["name"]
    if case.kind == "llm/v1/embeddings":
        return client.models.embed_content(model=model, **of_embedding(body))
    contents = [types.Content.model_validate(content) for content in body.pop("contents")]
    config = types.GenerateContentConfig.model_validate({**body.pop("generationConfig", {}), **body})
    call: Any = client.models.generate_content_stream if case.streams else client.models.generate_content
    answer = call(model=model, contents=contents, config=config)
    return list(answer) if case.streams else answer


def of_embedding(body: Json) -> Json:
    """The client's parameters for the recorded body of a batch."""
    config = {name: value for name, value in body["requests"][0].items() if name not in ("model", "content")}
    contents = [types.Content.model_validate(request["content"]) for request in body["requests"]]
    return {"contents": contents, "config": types.EmbedContentConfig.model_validate(config)}


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send."""
    body = request.json
    if body.get("generationConfig") == {}:
        del body["generationConfig"]
    assert request.path == address(case)
    assert told(body) == told(case.upstream_request["body"])
    assert request.headers["x-goog-api-key"] == case.upstream_request["headers"]["x-goog-api-key"]


BESIDE = ("automaticFunctionCallingHistory", "citations", "parsed", "sdkHttpResponse")
UNREAD = ("citationMetadata", "finishMessage", "serviceTier")
"""What the client adds to an answer, and what it does not read or reads under another name."""


def told(value: Any) -> Any:
    """JSON without the client's ways: nothings, names with underscores, functions behind other tools, other base64."""
    if isinstance(value, list):
        return sorted((told(part) for part in value), key=_is_function)
    if isinstance(value, dict):
        named = {to_camel(key) if "_" in key else key: told(part) for key, part in value.items()}
        return {
            key: part for key, part in named.items() if part is not None and key not in (*BESIDE, *UNREAD)
        }
    return value.replace("-", "+").replace("_", "/") if isinstance(value, str) else value


def _is_function(part: Any) -> bool:
    return isinstance(part, dict) and "functionDeclarations" in part


def as_json(answer: Any) -> Any:
    """What the client made of an answer, as it stands on the wire."""
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


def of_gemini(case: Case) -> bool:
    """An operation of Gemini's that the client has; it embeds in batches only."""
    url = urlsplit(case.upstream_request["url"])
    return (
        case.provider == "gemini" and url.hostname != "proxy.example.com" and ":embedContent" not in url.path
    )


@each(lambda case: of_gemini(case) and case.answer)
def test_googles_client_reads_the_recorded_answer(
    case: Case, client: genai.Client, shared_upstream: MockUpstream
) -> None:
    """It sends the recorded request, and finds in the answer all that it knows of."""
    replay(shared_upstream, case)

    answer = ask(client, case)

    assert_asked(shared_upstream.request(), case)
    assert told(as_json(answer)) == told(json.loads(case.upstream_body))


@each(lambda case: of_gemini(case) and case.streams and not case.fails)
def test_googles_client_reads_the_recorded_stream(
    case: Case, client: genai.Client, shared_upstream: MockUpstream
) -> None:
    """It sends the recorded request, and finds every recorded event."""
    replay(shared_upstream, case)

    pieces = ask(client, case)

    assert_asked(shared_upstream.request(), case)
    assert [told(as_json(piece)) for piece in pieces] == told(case.upstream_data())


ERRORS: Mapping[bool, type[errors.APIError]] = {False: errors.ClientError, True: errors.ServerError}


@each(lambda case: of_gemini(case) and case.upstream_answer and case.fails)
def test_googles_client_reads_the_recorded_error(
    case: Case, client: genai.Client, shared_upstream: MockUpstream
) -> None:
    """Its kind, its code and its words are where the client looks for them."""
    replay(shared_upstream, case)

    with pytest.raises(ERRORS[case.upstream_status >= 500]) as failed:
        ask(client, case)

    body = json.loads(case.upstream_body)
    error = (body[0] if isinstance(body, list) else body)["error"]
    assert (failed.value.code, failed.value.status) == (error["code"], error["status"])
    assert failed.value.message == error["message"]


@each(lambda case: of_gemini(case) and case.name.startswith("gemini/stream_error"))
def test_googles_client_sees_the_recorded_error_in_a_stream(
    case: Case, client: genai.Client, shared_upstream: MockUpstream
) -> None:
    """What we take for an error in a stream is one to the client, bare as it stands there."""
    replay(shared_upstream, case)

    with pytest.raises(errors.APIError) as failed:
        ask(client, case)

    assert case.error is not None
    assert str(failed.value.message) in case.error["message"]
