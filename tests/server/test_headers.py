"""What the headers of an answer tell: where it comes from, its id there, and what was left out on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.configs import KEY
from tests.support.server import Server, running
from tests.support.upstream import MockUpstream, Reply, chat, error, event, json_reply, stream, words

MESSAGES = [{"role": "user", "content": "Hi"}]
CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CLAUDE_STREAM = [
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]


@pytest.fixture(scope="module")
def dropping(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with a route that drops what its provider has nothing for, and one that does not."""
    config = {"anthropic_api_key": KEY, "anthropic_api_base": f"{shared_upstream.url}/v1"}
    model = {"provider": "anthropic", "name": "claude-test", "config": config}
    endpoints = [
        {"name": "lenient", "endpoint_type": "llm/v1/chat", "model": model, "drop_unsupported": True},
        {"name": "strict", "endpoint_type": "llm/v1/chat", "model": model},
    ]
    with running(tmp_path_factory.mktemp("dropping"), {"endpoints": endpoints}) as server:
        yield server


@pytest.fixture
def ask(dropping: Server, upstream: MockUpstream) -> Iterator[Any]:
    """Ask a route of that gateway."""
    with dropping.client() as client:

        def asked(route: str, **more: Any) -> httpx.Response:
            return client.post(f"/gateway/{route}/invocations", json={"messages": MESSAGES, **more})

        yield asked


# --- what was left out --------------------------------------------------------------------------------------------


def test_what_the_provider_has_not_is_dropped_and_told(ask: Any, upstream: MockUpstream) -> None:
    """On a route that says so: the rest goes upstream, the header names what did not."""
    upstream.reply(json_reply(CLAUDE))

    answer = ask(
        "lenient", seed=7, logit_bias={"1": 2}, temperature=1, response_format={"type": "json_object"}
    )

    assert answer.status_code == 200
    assert answer.headers["x-gateway-dropped-params"] == "seed, logit_bias, response_format"
    assert upstream.request().json == {
        "model": "claude-test",
        "max_tokens": 200000,
        "messages": MESSAGES,
        "temperature": 0.5,
    }


def test_a_stream_tells_it_too(ask: Any, upstream: MockUpstream) -> None:
    """In its headers, before its first chunk."""
    upstream.reply(stream(*map(event, CLAUDE_STREAM)))

    answer = ask("lenient", seed=7, stream=True)

    assert answer.headers["x-gateway-dropped-params"] == "seed"
    assert '"finish_reason":"stop"' in answer.text


def test_nothing_dropped_is_nothing_told(ask: Any, upstream: MockUpstream) -> None:
    """The header is there only when there is something to say."""
    upstream.reply(json_reply(CLAUDE))

    assert "x-gateway-dropped-params" not in ask("lenient").headers


def test_elsewhere_it_is_refused_by_name(ask: Any, upstream: MockUpstream) -> None:
    """With the way out, and nothing goes upstream."""
    answer = ask("strict", seed=7)

    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", "seed"]
    assert "drop_unsupported" in answer.json()["message"]
    assert upstream.received == []


def test_content_is_never_dropped(ask: Any, upstream: MockUpstream) -> None:
    """What the caller said is no parameter."""
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}

    answer = ask("lenient", messages=[{"role": "user", "content": [sound]}])

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "messages", 0, "content", 0]
    assert upstream.received == []


# --- the provider's own id ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "mistral-correlation-id"]
)
def test_the_upstreams_id_of_the_request_is_kept(
    http: httpx.Client, upstream: MockUpstream, header: str
) -> None:
    """For whoever asks the provider what happened; the gateway's own id stands beside it."""
    plain = chat()
    upstream.reply(Reply(plain.body, headers={header: "req_1"}))

    answer = http.post("/gateway/up-chat/invocations", json={"messages": MESSAGES})

    assert answer.headers["x-upstream-request-id"] == "req_1"
    assert answer.headers["x-request-id"] != "req_1"


def test_the_upstreams_id_is_kept_with_a_stream_and_with_an_error(
    http: httpx.Client, upstream: MockUpstream
) -> None:
    """There it is needed most."""
    whole = words("Hi")
    upstream.reply(
        Reply(content_type=whole.content_type, script=whole.script, headers={"x-request-id": "req_2"})
    )
    streamed = http.post("/gateway/up-chat/invocations", json={"messages": MESSAGES, "stream": True})
    assert streamed.headers["x-upstream-request-id"] == "req_2"

    upstream.reply(error(429, x_request_id="req_3", retry_after="7"))
    for more in ({}, {"stream": True}):
        refused = http.post("/gateway/up-chat/invocations", json={"messages": MESSAGES, **more})
        assert refused.status_code == 429
        assert refused.headers["x-upstream-request-id"] == "req_3"
        assert refused.headers["retry-after"] == "7"


def test_what_a_provider_leaves_out_by_itself_is_told(shared_upstream: MockUpstream, tmp_path: Path) -> None:
    """Mistral's completions have neither `n` nor `stop`, as users of mlflow's gateway know them."""
    config = {"mistral_api_key": KEY, "mistral_api_base": f"{shared_upstream.url}/v1"}
    model = {"provider": "mistral", "name": "mistral-tiny", "config": config}
    endpoints = [{"name": "tiny", "endpoint_type": "llm/v1/completions", "model": model}]
    shared_upstream.reply(chat())
    with running(tmp_path, {"endpoints": endpoints}) as server, server.client() as client:
        answer = client.post("/gateway/tiny/invocations", json={"prompt": "Hi", "stop": ["."], "n": 1})

    assert answer.status_code == 200
    assert answer.headers["x-gateway-dropped-params"] == "stop"
    assert "stop" not in shared_upstream.request().json
