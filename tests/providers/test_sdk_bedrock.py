"""botocore's own client against the recorded upstreams, over a socket.

It is given what stands in the recorded upstream body. It must send that body to that path, and must read the recorded
answer, stream or error whole.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session

from tests.providers.cases import Case, each
from tests.providers.published.bedrock import OPERATIONS, operation
from tests.support.upstream import MockUpstream, Reply

Json = dict[str, Any]

BROKEN = ("bedrock/stream_cut", "bedrock/stream_completions_cut", "bedrock/stream_without_metadata")
"""Streams that end early. To botocore every end is one."""


@pytest.fixture(scope="module")
def client(shared_upstream: MockUpstream) -> Iterator[Any]:
    """botocore's client of Bedrock."""
    made: Any = Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=shared_upstream.url,
        aws_access_key_id="AKIDRECORDED",
        aws_secret_access_key="key-recorded",
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    yield made
    made.close()


def path_of(case: Case) -> str:
    """The path of the recorded upstream request, without that of a base address."""
    return urlsplit(case.upstream_request["url"]).path


def name_of(case: Case) -> str:
    """The operation."""
    return OPERATIONS[path_of(case).rpartition("/")[2]]


def ask(client: Any, case: Case, upstream: MockUpstream) -> Json:
    """Call the operation with the recorded body; it must arrive as recorded."""
    if case.streams:
        stream = case.stream_bytes()
        pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
        upstream.reply(Reply(content_type=case.stream_type, script=pieces))
    else:
        upstream.reply(Reply(case.upstream_body, case.upstream_status, headers=case.upstream_headers))
    body, model = case.upstream_request["body"], unquote(path_of(case).split("/")[2])
    calls = {
        "Converse": client.converse,
        "ConverseStream": client.converse_stream,
        "InvokeModel": client.invoke_model,
        "InvokeModelWithResponseStream": client.invoke_model_with_response_stream,
    }
    name = name_of(case)
    try:
        if name.startswith("Converse"):
            shape = operation(name).input_shape
            assert shape is not None
            answer: Json = calls[name](modelId=model, **decoded(shape, body))
        else:
            headers = {"contentType": "application/json", "accept": "application/json"}
            answer = calls[name](modelId=model, body=json.dumps(body), **headers)
    finally:
        assert upstream.request().path == path_of(case)
        assert upstream.request().json == body
    return answer


def decoded(shape: Shape, value: Any) -> Any:
    """JSON of a shape as botocore has it: with bytes in the place of base64."""
    if shape.type_name == "blob":
        return base64.b64decode(value)
    if isinstance(shape, StructureShape) and not getattr(shape, "is_document_type", False):
        return {name: decoded(shape.members[name], part) for name, part in value.items() if name != "p"}
    if isinstance(shape, ListShape):
        return [decoded(shape.member, part) for part in value]
    if isinstance(shape, MapShape):
        return {name: decoded(shape.value, part) for name, part in value.items()}
    return value


def of_bedrock(case: Case) -> bool:
    """The upstream's side is Bedrock's."""
    return case.provider in ("bedrock", "amazon-bedrock")


@each(lambda case: of_bedrock(case) and case.answer)
def test_botocores_client_reads_the_recorded_answer(case: Case, client: Any, upstream: MockUpstream) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    answer = ask(client, case, upstream)

    if name_of(case) == "Converse":
        shape = operation("Converse").output_shape
        assert shape is not None
        del answer["ResponseMetadata"]
        assert answer == decoded(shape, json.loads(case.upstream_body))
    else:
        assert answer["body"].read() == case.upstream_body


def events_of(case: Case) -> list[Json]:
    """The recorded events, as botocore has them."""
    shape = operation(name_of(case)).output_shape
    assert shape is not None
    stream: Any = shape.members["stream" if name_of(case) == "ConverseStream" else "body"]
    return [
        {name: decoded(stream.members[name], frame["payload"])}
        for frame in case.upstream_frames or ()
        if (name := frame["headers"].get(":event-type"))
    ]


def read(answer: Json) -> tuple[list[Json], EventStreamError | None]:
    """The events of a stream, and the error that ends it."""
    stream, found = answer["stream" if "stream" in answer else "body"], []
    try:
        for event in stream:
            found.append(event)
    except EventStreamError as failed:
        return found, failed
    finally:
        stream.close()
    return found, None


@each(lambda case: of_bedrock(case) and case.streams and not case.fails)
def test_botocores_client_reads_the_recorded_stream(case: Case, client: Any, upstream: MockUpstream) -> None:
    """It sends the recorded request, and finds every recorded event."""
    answer = ask(client, case, upstream)

    assert read(answer) == (events_of(case), None)


@each(lambda case: of_bedrock(case) and case.streams and case.fails and case.name not in BROKEN)
def test_botocores_client_sees_the_recorded_error_in_a_stream(
    case: Case, client: Any, upstream: MockUpstream
) -> None:
    """What we take for an error in a stream is one to the client, after the same events."""
    answer = ask(client, case, upstream)

    found, failed = read(answer)

    last = (case.upstream_frames or ())[-1]
    assert found == events_of(case)
    assert failed is not None
    assert failed.response["Error"] == {
        "Code": last["headers"][":exception-type"],
        "Message": last["payload"].get("message", ""),
    }


@each(lambda case: of_bedrock(case) and case.upstream_answer and case.fails)
def test_botocores_client_reads_the_recorded_error(case: Case, client: Any, upstream: MockUpstream) -> None:
    """Its kind and its words are where the client looks for them."""
    with pytest.raises(ClientError) as failed:
        ask(client, case, upstream)

    said = json.loads(case.upstream_body)
    error = failed.value.response["Error"]
    assert error["Message"] == (said.get("message") or said.get("Message") or "")
    assert error["Code"] == case.upstream_headers["x-amzn-errortype"].partition(":")[0]
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == case.upstream_status
