"""The vendors' own clients against the recorded upstreams, over a socket: what holds them holds what we test with.

Each client is given the parameters that stand in the recorded upstream body. It must send that body to that path, and
must read the recorded answer, stream or error whole.
"""

import base64
import inspect
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from tests.providers.cases import Case, each
from tests.support.upstream import MockUpstream, Received, Reply

Json = dict[str, Any]


class Place:
    """Where the recorded upstreams answer, and the connections to it: to make new ones for each client takes long."""

    def __init__(self, upstream: MockUpstream) -> None:
        self.upstream, self.url = upstream, upstream.url
        self.openai = openai.DefaultHttpxClient(trust_env=False, timeout=20.0)
        self.anthropic = anthropic.DefaultHttpxClient(trust_env=False, timeout=20.0)

    def replay(self, case: Case) -> None:
        """Answer as recorded from now on."""
        if case.streams:
            stream = case.stream_bytes()
            pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
            self.upstream.reply(Reply(content_type="text/event-stream", script=pieces))
        else:
            self.upstream.reply(
                Reply(case.upstream_body, case.upstream_status, headers=case.upstream_headers)
            )

    def request(self) -> Received:
        """What the client sent."""
        return self.upstream.request()


@pytest.fixture(scope="module")
def place(shared_upstream: MockUpstream) -> Iterator[Place]:
    """The recorded upstreams' place."""
    place = Place(shared_upstream)
    with place.openai, place.anthropic:
        yield place


def address(case: Case) -> str:
    """The path and query of the recorded upstream request."""
    url = urlsplit(case.upstream_request["url"])
    return f"{url.path}?{url.query}" if url.query else url.path


# --- OpenAI -------------------------------------------------------------------------------------------------------


def openai_client(place: Place, case: Case) -> openai.OpenAI:
    """OpenAI's client, or Azure's, as the case's route is configured."""
    config = case.model["config"]
    common: Json = {"max_retries": 0, "http_client": place.openai}
    key = config["openai_api_key"]
    if "openai_deployment_name" in config:
        bearer = config["openai_api_type"].lower() == "azuread"
        return openai.AzureOpenAI(
            azure_endpoint=place.url,
            azure_deployment=config["openai_deployment_name"],
            api_version=config["openai_api_version"],
            api_key=None if bearer else key,
            azure_ad_token=key if bearer else None,
            **common,
        )
    version = config.get("openai_api_version")
    return openai.OpenAI(
        api_key=key,
        base_url=place.url + urlsplit(config.get("openai_api_base", "https://api.openai.com/v1")).path,
        organization=config.get("openai_organization"),
        default_query={"api-version": version} if version else None,
        **common,
    )


def ask_openai(client: openai.OpenAI, case: Case) -> Any:
    """Call what the case is about with the recorded parameters."""
    call: Any = {
        "llm/v1/chat": client.chat.completions,
        "llm/v1/completions": client.completions,
        "llm/v1/embeddings": client.embeddings,
    }[case.kind]
    return call.create(**{"model": case.model["name"], **case.upstream_request["body"]})


def assert_asked_openai(request: Received, case: Case) -> None:
    """The client has sent what we send."""
    expected = case.upstream_request
    body = request.json
    if "model" not in expected["body"]:  # Azure's client names the model, which the address does already
        del body["model"]
    if case.kind == "llm/v1/embeddings":  # the client's own choice, where the caller makes none
        expected = {**expected, "body": {"encoding_format": "base64", **expected["body"]}}
    assert request.path == address(case)
    assert body == expected["body"]
    for name, value in expected["headers"].items():
        assert request.headers[name.lower()] == value


def of_openai(case: Case) -> bool:
    """The upstream's side is OpenAI's own or Azure's."""
    return case.provider == "openai" and case.shape is None


@each(lambda case: of_openai(case) and case.answer)
def test_openais_client_reads_the_recorded_answer(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    place.replay(case)

    answer = ask_openai(openai_client(place, case), case)

    assert_asked_openai(place.request(), case)
    assert answer.to_dict(mode="json") == json.loads(case.upstream_body)


@each(lambda case: case.name == "openai/embeddings_base64")
def test_openais_client_decodes_the_recorded_base64(case: Case, place: Place) -> None:
    """The recorded text is what the client takes for 32-bit floats."""
    assert case.upstream_answer is not None
    text = case.upstream_answer["body"]["data"][0]["embedding"]
    plain = Case(**{**vars(case), "upstream_request": {**case.upstream_request, "body": {"input": "one"}}})
    place.replay(case)

    answer = ask_openai(openai_client(place, case), plain)

    assert answer.data[0].embedding == list(struct.unpack("<3f", base64.b64decode(text)))


@each(lambda case: of_openai(case) and case.streams and not case.fails)
def test_openais_client_reads_the_recorded_stream(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds every recorded chunk."""
    place.replay(case)

    chunks = [chunk.to_dict(mode="json") for chunk in ask_openai(openai_client(place, case), case)]

    assert_asked_openai(place.request(), case)
    assert chunks == case.upstream_data()


@each(lambda case: of_openai(case) and case.streams and case.name.startswith("openai/stream_error"))
def test_openais_client_sees_the_recorded_error_in_a_stream(case: Case, place: Place) -> None:
    """What we take for an error in a stream is one to the client."""
    place.replay(case)

    with pytest.raises(openai.APIError) as failed:
        list(ask_openai(openai_client(place, case), case))

    assert {"error": failed.value.body} == case.upstream_data()[-1]


OPENAI_ERRORS: Mapping[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


@each(lambda case: of_openai(case) and case.upstream_answer and case.fails)
def test_openais_client_reads_the_recorded_error(case: Case, place: Place) -> None:
    """Its kind, its code and the time to wait are where the client looks for them."""
    place.replay(case)

    with pytest.raises(OPENAI_ERRORS[case.upstream_status]) as failed:
        ask_openai(openai_client(place, case), case)

    error = json.loads(case.upstream_body)["error"]
    assert failed.value.body == error
    assert (failed.value.code, failed.value.type, failed.value.param) == (
        error["code"],
        error["type"],
        error["param"],
    )
    assert failed.value.response.headers.get("retry-after") == case.upstream_headers.get("retry-after")


# --- Anthropic ----------------------------------------------------------------------------------------------------


def anthropic_client(place: Place, case: Case) -> anthropic.Anthropic:
    """Anthropic's client, which asks for the version that the case's route names."""
    version = case.model["config"].get("anthropic_version", "2023-06-01")
    base = address(case).rpartition("/v1/")[0]
    return anthropic.Anthropic(
        api_key=case.model["config"]["anthropic_api_key"],
        base_url=place.url + base,
        default_headers={"anthropic-version": version},
        max_retries=0,
        timeout=20.0,
        http_client=place.anthropic,
    )


def ask_anthropic(client: anthropic.Anthropic, case: Case) -> Any:
    """Call what the case is about with the recorded parameters."""
    body = case.upstream_request["body"]
    if address(case).endswith("/complete"):  # of which the client has no method any more
        events = anthropic.Stream[object] if case.streams else None
        return client.post("/v1/complete", cast_to=object, body=body, stream=case.streams, stream_cls=events)
    known = inspect.signature(client.messages.create).parameters
    older = {name: value for name, value in body.items() if name not in known}
    named: Json = {name: value for name, value in body.items() if name in known}
    return client.messages.create(**named, extra_body=older)


def of_anthropic(case: Case) -> bool:
    """The upstream's side is Anthropic's own."""
    return case.provider == "anthropic" and case.shape is None


def as_json(value: Any) -> Any:
    """What the client made of an answer, as JSON."""
    return value.to_dict(mode="json") if hasattr(value, "to_dict") else value


def assert_asked_anthropic(request: Received, case: Case) -> None:
    """The client has sent what we send."""
    assert request.path == address(case)
    assert request.json == case.upstream_request["body"]
    assert request.headers["anthropic-version"] == case.upstream_request["headers"]["anthropic-version"]


@each(lambda case: of_anthropic(case) and case.answer)
def test_anthropics_client_reads_the_recorded_answer(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    place.replay(case)

    answer = ask_anthropic(anthropic_client(place, case), case)

    assert_asked_anthropic(place.request(), case)
    assert as_json(answer) == json.loads(case.upstream_body)


@each(lambda case: of_anthropic(case) and case.streams and not case.fails)
def test_anthropics_client_reads_the_recorded_stream(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds every recorded event but the pings."""
    place.replay(case)

    events = [as_json(event) for event in ask_anthropic(anthropic_client(place, case), case)]

    assert_asked_anthropic(place.request(), case)
    assert events == [data for data in case.upstream_data() if data["type"] != "ping"]


@each(lambda case: of_anthropic(case) and case.streams and "error" in case.name)
def test_anthropics_client_sees_the_recorded_error_in_a_stream(case: Case, place: Place) -> None:
    """What we take for an error in a stream is one to the client."""
    place.replay(case)

    with pytest.raises(anthropic.APIStatusError) as failed:
        list(ask_anthropic(anthropic_client(place, case), case))

    assert failed.value.body == case.upstream_data()[-1]


ANTHROPIC_ERRORS: Mapping[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.APIStatusError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    504: anthropic.APIStatusError,
    529: anthropic.APIStatusError,
}


@each(lambda case: case.provider == "anthropic" and case.upstream_answer and case.fails)
def test_anthropics_client_reads_the_recorded_error(case: Case, place: Place) -> None:
    """Its kind, its message and the time to wait are where the client looks for them."""
    place.replay(case)

    with pytest.raises(ANTHROPIC_ERRORS[case.upstream_status]) as failed:
        ask_anthropic(anthropic_client(place, case), case)

    assert failed.value.body == json.loads(case.upstream_body)
    assert failed.value.response.headers.get("retry-after") == case.upstream_headers.get("retry-after")
