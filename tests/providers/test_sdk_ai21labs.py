"""AI21's own client against the recorded upstreams of Jamba, over a socket: it sends what we send, reads what we read.

It has no Jurassic-2 any more.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from ai21 import AI21Client, errors
from ai21.models.chat import AssistantMessage, ChatMessage, SystemMessage, ToolMessage, UserMessage

from tests.providers.cases import Case, each
from tests.providers.test_sdk_against_our_fakes import address
from tests.support.upstream import MockUpstream, Received, Reply

Json = dict[str, Any]

# The client warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MESSAGES: Mapping[str, type[ChatMessage]] = {
    "assistant": AssistantMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "user": UserMessage,
}


class Place:
    """Where the recorded upstreams answer, and the connections to it."""

    def __init__(self, upstream: MockUpstream, http: httpx.Client) -> None:
        self.upstream, self.http = upstream, http

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

    def ask(self, case: Case) -> Any:
        """Call what the case is about with the recorded parameters; a stream is read to its end."""
        base = address(case).removesuffix("/chat/completions")
        client = AI21Client(
            api_key=case.model["config"]["ai21labs_api_key"],
            api_host=self.upstream.url + base,
            http_client=self.http,
        )
        body = dict(case.upstream_request["body"])
        messages = [MESSAGES[message["role"]].model_validate(message) for message in body.pop("messages")]
        answer: Any = client.chat.completions.create(messages=messages, **body)
        return [plain(part) for part in answer] if case.streams else plain(answer)


@pytest.fixture(scope="module")
def place(shared_upstream: MockUpstream) -> Iterator[Place]:
    """The recorded upstreams' place."""
    with httpx.Client(trust_env=False, timeout=20) as http:
        yield Place(shared_upstream, http)


def plain(value: Any) -> Any:
    """What the client made of an answer, as JSON."""
    return value.model_dump(by_alias=True, exclude_unset=True, mode="json")


def told(value: Any) -> Any:
    """JSON without nothings, which the client writes out."""
    if isinstance(value, list):
        return [told(part) for part in value]
    if isinstance(value, dict):
        return {name: told(part) for name, part in value.items() if part is not None}
    return value


def assert_asked(request: Received, case: Case) -> None:
    """The client has sent what we send; it says of each call that it is no stream."""
    assert request.path == address(case)
    assert told(request.json) == {"stream": False, **told(case.upstream_request["body"])}
    assert request.headers["authorization"] == "Bearer key-recorded"


def of_jamba(case: Case) -> bool:
    """The upstream's side is that of Jamba's API."""
    jamba = str(case.model["name"]).startswith("jamba")
    return case.provider == "ai21labs" and jamba and case.shape is None


@each(lambda case: of_jamba(case) and case.answer)
def test_ai21s_client_reads_the_recorded_answer(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds in the answer all that stands there."""
    place.replay(case)

    answer = place.ask(case)

    assert_asked(place.upstream.request(), case)
    assert answer == json.loads(case.upstream_body)


@each(lambda case: of_jamba(case) and case.streams)
def test_ai21s_client_reads_the_recorded_stream(case: Case, place: Place) -> None:
    """It sends the recorded request, and finds every recorded chunk."""
    place.replay(case)

    chunks = place.ask(case)

    assert_asked(place.upstream.request(), case)
    assert chunks == case.upstream_data()


ERRORS: Mapping[int, type[errors.AI21APIError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    422: errors.UnprocessableEntity,
    429: errors.TooManyRequestsError,
    500: errors.AI21ServerError,
    503: errors.ServiceUnavailable,
}


@each(lambda case: of_jamba(case) and case.upstream_answer and case.fails)
def test_ai21s_client_reads_the_recorded_error(case: Case, place: Place) -> None:
    """Its kind and its words are where the client looks for them."""
    place.replay(case)

    with pytest.raises(ERRORS.get(case.upstream_status, errors.AI21APIError)) as failed:
        place.ask(case)

    assert failed.value.status_code == case.upstream_status
    assert failed.value.details == case.upstream_body.decode()
