"""Databricks' SDK, and OpenAI's client as Databricks uses it, against the recorded upstreams over a socket."""

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
from databricks.sdk import WorkspaceClient, errors
from databricks.sdk.core import Config
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.serving import ChatMessage, ServingEndpointsAPI
from openai.types.chat import ChatCompletionChunk

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.providers.through import replay
from tests.support.upstream import MockUpstream, Reply

TOKEN = "key-recorded"


def of_databricks(case: Case) -> bool:
    """The upstream's side is Databricks', and the case's address is whole."""
    return case.provider == "databricks" and case.upstream_request["url"].startswith("https://")


@pytest.fixture(scope="module")
def workspace(shared_upstream: MockUpstream) -> WorkspaceClient:
    """Databricks' client, once it has asked the workspace about itself."""
    return WorkspaceClient(config=Config(host=shared_upstream.url, token=TOKEN, retry_timeout_seconds=1))


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[openai.OpenAI]:
    """OpenAI's client, as Databricks makes it."""
    with openai.DefaultHttpxClient(trust_env=False, timeout=20.0) as http:
        yield openai.OpenAI(api_key=TOKEN, base_url=shared_upstream.url, max_retries=0, http_client=http)


QUERIES = set(inspect.signature(ServingEndpointsAPI.query).parameters)


def is_queried(case: Case) -> bool:
    """The SDK's own method has all that the case sends."""
    body = case.upstream_request["body"]
    plain = all(set(message) == {"role", "content"} for message in body.get("messages", ()))
    return (
        case.upstream_answer is not None
        and body.keys() <= QUERIES
        and plain
        and all(isinstance(message["content"], str) for message in body.get("messages", ()))
    )


def query(workspace: WorkspaceClient, case: Case) -> Any:
    """Ask the endpoint by the SDK's own method."""
    body = dict(case.upstream_request["body"])
    if "messages" in body:
        body["messages"] = [ChatMessage.from_dict(message) for message in body["messages"]]
    return workspace.serving_endpoints.query(case.model["name"], **body)


@each(lambda case: of_databricks(case) and case.answer and is_queried(case))
def test_databricks_sdk_reads_the_recorded_answer(
    case: Case, workspace: WorkspaceClient, shared_upstream: MockUpstream
) -> None:
    """It sends the recorded request to the recorded address, and finds the answer and its usage."""
    replay(shared_upstream, case)

    answer = query(workspace, case)

    request = shared_upstream.request()
    assert (request.path, request.json) == (address(case), case.upstream_request["body"])
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    recorded = json.loads(case.upstream_body)
    assert answer.model == recorded["model"]
    assert answer.usage.prompt_tokens == recorded["usage"]["prompt_tokens"]
    for choice, known in zip(answer.choices or (), recorded.get("choices", ()), strict=True):
        told = choice.text if choice.message is None else choice.message.content
        assert told == known.get("text", known.get("message", {}).get("content"))
    for row, known in zip(answer.data or (), recorded.get("data", ()), strict=True):
        assert row.embedding == known["embedding"]


ERRORS: Mapping[int, type[DatabricksError]] = {
    400: errors.BadRequest,
    401: errors.Unauthenticated,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    429: errors.TooManyRequests,
    500: errors.InternalError,
    503: errors.TemporarilyUnavailable,
    504: errors.DeadlineExceeded,
}


@each(
    lambda case: (
        of_databricks(case) and case.upstream_answer and case.fails and case.upstream_status not in (429, 503)
    )
)
def test_databricks_sdk_reads_the_recorded_error(
    case: Case, workspace: WorkspaceClient, shared_upstream: MockUpstream
) -> None:
    """Its kind and its words are where the SDK looks for them; what it tries again is left out."""
    replay(shared_upstream, case)

    with pytest.raises(ERRORS[case.upstream_status]) as failed:
        query(workspace, case)

    known = json.loads(case.upstream_body)
    assert failed.value.error_code == known["error_code"]
    assert str(failed.value).startswith(known["message"].rstrip("."))


@each(lambda case: of_databricks(case) and case.streams and not case.fails and case.kind == "llm/v1/chat")
def test_openais_client_reads_the_recorded_stream(
    case: Case, client: openai.OpenAI, shared_upstream: MockUpstream
) -> None:
    """Every recorded chunk is one to the client that Databricks names for streams."""
    stream = case.stream_bytes()
    pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
    shared_upstream.reply(Reply(content_type="text/event-stream", script=pieces))

    chunks = client.post(
        address(case),
        cast_to=ChatCompletionChunk,
        body=case.upstream_request["body"],
        stream=True,
        stream_cls=openai.Stream[ChatCompletionChunk],
    )

    assert [chunk.to_dict(mode="json", warnings=False) for chunk in chunks] == case.upstream_data()
    assert shared_upstream.request().json == case.upstream_request["body"]
