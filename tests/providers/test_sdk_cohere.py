"""Cohere's own client against the recorded upstreams, over a socket: it sends what we send, and reads what we read."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.support.upstream import MockUpstream, Received, Reply

Json = dict[str, Any]

PATHS = ("/v1/chat", "/v1/generate", "/v1/embed", "/v2/chat", "/v2/embed")
OLDER = ("preamble_override",)
"""What v1 took at first, and the client has no more."""


class Place:
    """Where the recorded upstreams answer, and the connections to it."""

    def __init__(self, upstream: MockUpstream, http: httpx.Client) -> None:
        self.upstream, self.http = upstream, http

    def replay(self, case: Case) -> None:
        """Answer as recorded from now on."""
        if case.streams:
            stream = case.stream_bytes()
            pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
            kind = "text/event-stream" if case.of_events else "application/stream+json"
            self.upstream.reply(Reply(content_type=kind, script=pieces))
        else:
            self.upstream.reply(
                Reply(case.upstream_body, case.upstream_status, headers=case.upstream_headers)
            )

    def ask(self, case: Case) -> Any:
        """Call what the case is about with the recorded parameters; a stream is read to its end."""
        path = address(case)
        [operation] = [known for known in PATHS if path.endswith(known)]
        settings: Json = {
            "api_key": case.model["config"]["cohere_api_key"],
            "base_url": self.upstream.url + path.removesuffix(operation),
            "httpx_client": self.http,
            "max_retries": 0,
            "log_warning_experimental_features": False,
        }
        client: Any = cohere.ClientV2(**settings) if "/v2/" in operation else cohere.Client(**settings)
        body = {name: value for name, value in case.upstream_request["body"].items() if name != "stream"}
        older = {name: body.pop(name) for name in OLDER if name in body}
        options: Json = {"max_retries": 0, "additional_body_parameters": older}
        method = operation.rpartition("/")[2] + ("_stream" if case.streams else "")
        if operation == "/v1/embed":
            body["batching"] = False
        answer = getattr(client, method)(**body, request_options=options)
        return [plain(part) for part in answer] if case.streams else plain(answer)


@pytest.fixture(scope="module")
def place(shared_upstream: MockUpstream) -> Iterator[Place]:
    """The recorded upstreams' place."""
    with httpx.Client(trust_env=False, timeout=20) as http:
        yield Place(shared_upstream, http)


def plain(value: Any) -> Any:
    """What the client made of an answer, as JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return value


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send; it says of each call that it is no stream."""
    assert request.path == address(case)
    assert {"stream": False, **case.upstream_request["body"]} == {"stream": False, **request.json}
    assert request.headers["authorization"] == "Bearer key-recorded"


def of_cohere(case: Case) -> bool:
    """The upstream's side is Cohere's own."""
    return case.provider == "cohere" and case.shape is None


@each(lambda case: of_cohere(case) and case.answer)
def test_coheres_client_reads_the_recorded_answer(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    place.replay(case)

    answer = place.ask(case)

    assert_asked(place.upstream.request(), case)
    assert answer == json.loads(case.upstream_body)


@each(lambda case: of_cohere(case) and case.streams)
def test_coheres_client_reads_the_recorded_stream(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds every recorded event; errors are events to it."""
    place.replay(case)

    events = place.ask(case)

    assert_asked(place.upstream.request(), case)
    assert events == case.upstream_data()


ERRORS: Mapping[int, type[ApiError]] = {
    400: cohere.BadRequestError,
    401: cohere.UnauthorizedError,
    403: cohere.ForbiddenError,
    404: cohere.NotFoundError,
    422: cohere.UnprocessableEntityError,
    429: cohere.TooManyRequestsError,
    498: cohere.InvalidTokenError,
    499: cohere.ClientClosedRequestError,
    500: cohere.InternalServerError,
    501: cohere.NotImplementedError,
    503: cohere.ServiceUnavailableError,
    504: cohere.GatewayTimeoutError,
}


@each(lambda case: of_cohere(case) and case.upstream_answer and case.fails)
def test_coheres_client_reads_the_recorded_error(case: Case, place: Place) -> None:
    """Its kind, its message and the time to wait are where the client looks for them."""
    place.replay(case)

    with pytest.raises(ERRORS.get(case.upstream_status, ApiError)) as failed:
        place.ask(case)

    assert failed.value.status_code == case.upstream_status
    assert failed.value.body == json.loads(case.upstream_body)
    assert (failed.value.headers or {}).get("retry-after") == case.upstream_headers.get("retry-after")
