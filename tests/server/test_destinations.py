"""Routes with several destinations over HTTP: what the headers tell, and how long a caller waits."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.policies.destined import claude, in_order, key, model
from tests.support.configs import HELLO, Json
from tests.support.ports import closed_port
from tests.support.server import Server, running
from tests.support.upstream import HOLD, MockUpstream, Reply, chat, delta, error, mock_upstream, stream, words

ATTEMPTS, DESTINATION, ROUTE = "x-gateway-attempts", "x-gateway-destination", "x-gateway-route"
TIMEOUT = "x-request-timeout"


@pytest.fixture(scope="module")
def shared_other() -> Iterator[MockUpstream]:
    """Another upstream. Tests take `other`."""
    with mock_upstream() as upstream:
        yield upstream


@pytest.fixture
def other(shared_other: MockUpstream) -> MockUpstream:
    """It, as if it were new."""
    shared_other.reply(chat("I am the other"))
    return shared_other


def named(name: str, *models: Json, **more: Any) -> Json:
    """A route whose breakers never open, since tests share it."""
    return {**in_order(*models, breaker={"failures": 10_000, "failure_rate": 1}, **more), "name": name}


@pytest.fixture(scope="module")
def gateway(
    shared_upstream: MockUpstream, shared_other: MockUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A gateway in front of both."""
    one, other = model(0, shared_upstream.url), model(1, shared_other.url)
    nobody = model(0, f"http://127.0.0.1:{closed_port()}")
    routes = [
        named("both", one, other),
        named("again", one, retry={"attempts": 3, "budget": 10}),
        named("dead", nobody, {**nobody, "name": "m1"}),
        named("claude", claude(0, shared_upstream.url)),
        {**named("rests", one), "breaker": {"failures": 1, "open_seconds": 600}},
    ]
    with running(tmp_path_factory.mktemp("destinations"), {"endpoints": routes}) as server:
        yield server
    assert key(0) not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


@pytest.fixture(scope="module")
def outer(gateway: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway whose provider is the other gateway."""
    config = {"openai_api_key": "any", "openai_api_base": f"{gateway.url}/v1"}
    through = {"provider": "openai", "name": "both", "config": config}
    routes = [{"name": "outer", "endpoint_type": "llm/v1/chat", "model": through}]
    with running(tmp_path_factory.mktemp("outer"), {"endpoints": routes}) as server:
        yield server


ways = pytest.mark.parametrize("openai", [False, True], ids=["documented", "openai"])
streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])


def post(
    server: Server, route: str, *, openai: bool, streams: bool = False, **headers: str
) -> httpx.Response:
    """Ask a route for a chat."""
    body = {**HELLO, **({"stream": True} if streams else {})}
    with server.client(headers={name.replace("_", "-"): text for name, text in headers.items()}) as http:
        if openai:
            return http.post("/v1/chat/completions", json={**body, "model": route})
        return http.post(f"/gateway/{route}/invocations", json=body)


def message(answer: httpx.Response, *, openai: bool) -> str:
    """The message of an error, in its dialect."""
    body = answer.json()
    return str(body["error"]["message"] if openai else body["message"])


@ways
@streamed
def test_an_answer_tells_who_gave_it_and_how_many_attempts_it_took(
    gateway: Server, upstream: MockUpstream, other: MockUpstream, openai: bool, streams: bool
) -> None:
    """Whole or streamed, in each dialect."""
    upstream.reply(error(503))
    other.reply(words("Hi") if streams else chat())
    answer = post(gateway, "both", openai=openai, streams=streams)
    assert answer.status_code == 200
    assert [answer.headers[name] for name in (ROUTE, DESTINATION, ATTEMPTS)] == ["both", "openai/m1", "2"]

    upstream.reply(words("Hi") if streams else chat())
    upstream.first(error(429, retry_after="0"), error(500))
    answer = post(gateway, "again", openai=openai, streams=streams)
    assert answer.status_code == 200
    assert [answer.headers[name] for name in (ROUTE, DESTINATION, ATTEMPTS)] == ["again", "openai/m0", "3"]


@ways
@streamed
def test_an_error_tells_it_too(
    gateway: Server, upstream: MockUpstream, other: MockUpstream, openai: bool, streams: bool
) -> None:
    """Of the destination that failed last, with its words."""
    upstream.reply(error(500))
    other.reply(error(503, "all is lost", retry_after="0"))
    answer = post(gateway, "both", openai=openai, streams=streams)
    assert (answer.status_code, answer.headers[DESTINATION], answer.headers[ATTEMPTS]) == (
        503,
        "openai/m1",
        "2",
    )
    assert "all is lost" in message(answer, openai=openai)

    answer = post(gateway, "dead", openai=openai, streams=streams)
    assert (answer.status_code, answer.headers[DESTINATION], answer.headers[ATTEMPTS]) == (
        503,
        "openai/m1",
        "2",
    )
    assert "can't be reached" in message(answer, openai=openai)


@ways
@streamed
def test_a_route_whose_destinations_rest_says_when_to_come_back(
    gateway: Server, upstream: MockUpstream, openai: bool, streams: bool
) -> None:
    """With 503 and `Retry-After`, and nobody is asked."""
    upstream.reply(error(500))
    post(gateway, "rests", openai=openai, streams=streams)
    upstream.received.clear()
    answer = post(gateway, "rests", openai=openai, streams=streams)
    assert (answer.status_code, answer.headers[ATTEMPTS]) == (503, "0")
    assert 0 < int(answer.headers["retry-after"]) <= 600
    assert "rests" in message(answer, openai=openai)
    assert not upstream.received


@ways
@streamed
@pytest.mark.parametrize("value", ["", "0", "-1", "soon", "nan", "inf", "1e999", "1 s"])
def test_a_time_out_that_is_none_is_refused(
    gateway: Server, upstream: MockUpstream, openai: bool, streams: bool, value: str
) -> None:
    """With 400 and how to write one; the provider is not asked."""
    answer = post(gateway, "both", openai=openai, streams=streams, X_Request_Timeout=value)
    assert answer.status_code == 400
    assert "X-Request-Timeout is a number of seconds above 0" in message(answer, openai=openai)
    assert not upstream.received


@streamed
@pytest.mark.parametrize("value", ["1e308", "86400", "2.5"])
def test_a_time_out_may_be_any_number(
    gateway: Server, upstream: MockUpstream, streams: bool, value: str
) -> None:
    """However large."""
    upstream.reply(words("Hi") if streams else chat())
    assert post(gateway, "both", openai=True, streams=streams, X_Request_Timeout=value).status_code == 200
    assert 0 < float(upstream.request().headers[TIMEOUT]) < float(value) or value == "1e308"


@ways
@streamed
def test_the_callers_time_out_bounds_the_call(
    gateway: Server, upstream: MockUpstream, other: MockUpstream, openai: bool, streams: bool
) -> None:
    """With 504; the provider is told of it, and left at once."""
    upstream.reply(Reply(before=HOLD))
    began = time.monotonic()
    answer = post(gateway, "both", openai=openai, streams=streams, X_Request_Timeout="0.5")
    assert 0.5 <= time.monotonic() - began < 15
    assert (answer.status_code, answer.headers[DESTINATION], answer.headers[ATTEMPTS]) == (
        504,
        "openai/m0",
        "1",
    )
    assert 0 < float(upstream.request().headers[TIMEOUT]) < 0.5
    upstream.left(upstream.request())
    assert not other.received


@ways
def test_a_stream_that_goes_on_when_the_time_is_up_ends_with_an_error(
    gateway: Server, upstream: MockUpstream, openai: bool
) -> None:
    """In the dialect's shape, as the last event."""
    upstream.reply(stream(delta("Hi"), HOLD))
    answer = post(gateway, "both", openai=openai, streams=True, X_Request_Timeout="0.5")
    assert answer.status_code == 200
    *_, last = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    failed = json.loads(last)
    assert "in the time that the caller gave" in (failed["error"]["message"] if openai else failed["message"])


@streamed
def test_a_gateway_behind_a_gateway_keeps_to_the_time_of_its_caller(
    outer: Server, upstream: MockUpstream, other: MockUpstream, streams: bool
) -> None:
    """What is left is passed on from one to the next, and each tells of its own destination."""
    upstream.reply(error(503))
    other.reply(words("Hi") if streams else chat())
    answer = post(outer, "outer", openai=True, streams=streams, X_Request_Timeout="20")
    assert (answer.headers[DESTINATION], answer.headers[ATTEMPTS]) == ("openai/both", "1")
    first, second = (float(each.request().headers[TIMEOUT]) for each in (upstream, other))
    assert 20 > first >= second > 0

    upstream.reply(Reply(before=HOLD))
    answer = post(outer, "outer", openai=True, streams=streams, X_Request_Timeout="0.5")
    assert answer.status_code == 504
    upstream.left(upstream.request())


@ways
def test_a_request_that_cannot_be_carried_is_the_callers_fault(
    gateway: Server, upstream: MockUpstream, openai: bool
) -> None:
    """As without destinations; no attempt was made."""
    body: Json = {**HELLO, "seed": 7}
    with gateway.client() as http:
        if openai:
            answer = http.post("/v1/chat/completions", json={**body, "model": "claude"})
        else:
            answer = http.post("/gateway/claude/invocations", json=body)
    assert (answer.status_code, answer.headers[ATTEMPTS]) == (400 if openai else 422, "0")
    assert "seed" in message(answer, openai=openai)
    assert not upstream.received
