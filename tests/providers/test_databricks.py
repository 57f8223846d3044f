"""Databricks: its credentials, and what is no request or no answer of it."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.config import Model, RouteType
from gateway_async.errors import InvalidRequest, UpstreamError, UpstreamInvalid
from gateway_async.providers import get_provider
from gateway_async.providers._base import Authorizing, UpstreamRequest, UpstreamResponse
from tests.providers.cases import CASES, Case, read
from tests.support.upstream import MockUpstream, chat, event, json_reply

CHAT, STREAM, THINKING = (CASES[f"databricks/{name}"] for name in ("chat", "stream", "stream_thinking"))
COMPLETIONS, EMBEDDINGS = CASES["databricks/completions"], CASES["databricks/embeddings"]
USER = {"role": "user", "content": "Hi"}
HELLO = {"messages": [USER]}


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own credentials take part."""
    for name in (
        "HOST",
        "TOKEN",
        "CONFIG_PROFILE",
        "AUTH_TYPE",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "WORKSPACE_ID",
    ):
        monkeypatch.delenv(f"DATABRICKS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "profiles"))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables of Databricks' tools."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"DATABRICKS_{name}", value)

    return set_variables


def adapter(base: str | None = None, provider: str = "databricks") -> Any:
    """An adapter for chat."""
    model = {"provider": provider, "name": "llama", "config": {"databricks_api_base": base}}
    return get_provider(provider).bind(Model.model_validate(model), RouteType.LLM_V1_CHAT)


async def sent(adapter: Any) -> UpstreamRequest:
    """What goes upstream."""
    request = adapter.request(HELLO, stream=False)
    assert isinstance(adapter, Authorizing)
    return await adapter.authorize(request)


# --- credentials --------------------------------------------------------------------------------------------------


async def test_host_and_token_of_the_environment_need_no_sdk(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked over the network, and the extra need not be installed."""
    monkeypatch.setitem(sys.modules, "databricks.sdk.core", None)
    environment(HOST="example.cloud.databricks.com/", TOKEN="dapi-1", WORKSPACE_ID="42")

    request = await sent(adapter())

    assert request.url == "https://example.cloud.databricks.com/serving-endpoints/llama/invocations"
    assert request.headers == {
        "Content-Type": "application/json",
        "Authorization": "Bearer dapi-1",
        "X-Databricks-Workspace-Id": "42",
    }


async def test_a_new_token_in_the_environment_counts_at_once(environment: Callable[..., None]) -> None:
    """It is read at every call."""
    environment(HOST="https://example.com", TOKEN="dapi-1")
    one = adapter()
    await sent(one)
    environment(TOKEN="dapi-2")

    assert (await sent(one)).headers["Authorization"] == "Bearer dapi-2"


async def test_a_configured_base_stands_before_the_environments_host(
    environment: Callable[..., None],
) -> None:
    """The token is the environment's."""
    environment(HOST="https://other.example.com", TOKEN="dapi-1")

    request = await sent(adapter("https://example.com/proxy/"))

    assert request.url == "https://example.com/proxy/serving-endpoints/llama/invocations"
    assert request.headers["Authorization"] == "Bearer dapi-1"


async def test_a_profile_gives_host_and_token(
    environment: Callable[..., None], tmp_path: Path, upstream: MockUpstream
) -> None:
    """As Databricks' SDK reads it, once for many calls."""
    (tmp_path / "profiles").write_text(f"[staging]\nhost = {upstream.url}\ntoken = dapi-staging\n")
    environment(CONFIG_PROFILE="staging")
    one = adapter()

    requests = await asyncio.gather(*[sent(one) for _ in range(10)])

    assert {request.url for request in requests} == {f"{upstream.url}/serving-endpoints/llama/invocations"}
    assert {request.headers["Authorization"] for request in requests} == {"Bearer dapi-staging"}
    assert len(upstream.received) <= 1, "the SDK asks the workspace about itself once"


class FakeConfig:
    """Databricks' SDK with a token that changes."""

    made = 0

    def __init__(self, **known: Any) -> None:
        FakeConfig.made += 1
        self.host = known.get("host") or "https://example.com"
        self.workspace_id = None
        self.tokens = 0

    def authenticate(self) -> dict[str, str]:
        """The next token."""
        assert threading.current_thread() is not threading.main_thread(), "this blocks"
        self.tokens += 1
        return {"Authorization": f"Bearer token-{self.tokens}"}


@pytest.fixture
def fake_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK gives a new token each time that it is asked."""
    FakeConfig.made = 0
    monkeypatch.setattr("databricks.sdk.core.Config", FakeConfig)


@pytest.mark.usefixtures("fake_sdk")
async def test_headers_are_used_again_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the SDK, which knows when its token ends, is asked again; what it is made of is kept."""
    now = 1000.0
    monkeypatch.setattr("gateway_async.credentials.databricks.time.time", lambda: now)
    one = adapter()

    first, second = await asyncio.gather(sent(one), sent(one))
    now += 31
    third = await sent(one)

    assert first.headers["Authorization"] == second.headers["Authorization"] == "Bearer token-1"
    assert third.headers["Authorization"] == "Bearer token-2"
    assert FakeConfig.made == 1


async def test_a_route_without_credentials_says_what_to_set() -> None:
    """It is the gateway's own fault, so a 502, and the other routes go on."""
    with pytest.raises(
        UpstreamError, match=r"set DATABRICKS_HOST and DATABRICKS_TOKEN, or name a profile"
    ) as failed:
        await sent(adapter())

    assert failed.value.status == 502
    assert failed.value.message.startswith("databricks: ")


async def test_without_the_sdk_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what else would do."""
    monkeypatch.setitem(sys.modules, "databricks.sdk.core", None)

    with pytest.raises(
        UpstreamError, match=r"DATABRICKS_HOST and DATABRICKS_TOKEN.*ai-gateway-sdk\[databricks\]"
    ):
        await sent(adapter())


async def test_a_failure_counts_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that fails may take long: it is not made again for each of them."""
    tries = []

    def fail(**known: Any) -> None:
        tries.append(known)
        raise ValueError("no way in")

    monkeypatch.setattr("databricks.sdk.core.Config", fail)
    one = adapter()

    failures = await asyncio.gather(*[sent(one) for _ in range(10)], return_exceptions=True)
    failures.append(*await asyncio.gather(sent(one), return_exceptions=True))

    assert all(isinstance(failure, UpstreamError) and "no way in" in str(failure) for failure in failures)
    assert len(tries) == 1


async def test_a_call_that_is_cancelled_does_not_take_the_credentials_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They were being found for all who wait."""
    go = threading.Event()

    class Slow(FakeConfig):
        def __init__(self, **known: Any) -> None:
            go.wait(10)
            super().__init__(**known)

    monkeypatch.setattr("databricks.sdk.core.Config", Slow)
    one = adapter()
    first, second = (asyncio.create_task(sent(one)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    go.set()

    assert (await second).headers["Authorization"] == "Bearer token-1"


@pytest.mark.parametrize("provider", ["databricks", "databricks-model-serving"])
async def test_a_route_needs_no_config(
    provider: str, environment: Callable[..., None], upstream: MockUpstream
) -> None:
    """Under both names, through the whole gateway."""
    environment(HOST=upstream.url, TOKEN="dapi-1")
    upstream.reply(chat("Hello"))
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": {"provider": provider, "name": "llama"}}

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        answer = await client.query("chat", HELLO)

    assert answer["choices"][0]["message"]["content"] == "Hello"
    request = upstream.request()
    assert (request.path, request.headers["authorization"]) == (
        "/serving-endpoints/llama/invocations",
        "Bearer dapi-1",
    )
    assert request.json == HELLO


async def test_routes_without_credentials_do_not_stop_the_others(upstream: MockUpstream) -> None:
    """The gateway starts, and says what is wrong when they are called."""
    routes = [
        {
            "name": "lost",
            "endpoint_type": "llm/v1/chat",
            "model": {"provider": "databricks", "name": "llama"},
        },
        {"name": "echo", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline", "name": "echo"}},
    ]

    async with AsyncGatewayClient.local({"endpoints": routes}) as client:
        assert await client.query("echo", HELLO)
        with pytest.raises(UpstreamError, match="DATABRICKS_TOKEN"):
            await client.query("lost", HELLO)


async def test_a_token_of_the_environment_never_shows(
    environment: Callable[..., None], upstream: MockUpstream
) -> None:
    """Though the upstream repeats it."""
    environment(HOST=upstream.url, TOKEN="dapi-0123456789abcdef")
    upstream.reply(
        json_reply({"error_code": "PERMISSION_DENIED", "message": "dapi-0123456789abcdef is wrong"}, 403)
    )
    route = {
        "name": "chat",
        "endpoint_type": "llm/v1/chat",
        "model": {"provider": "databricks", "name": "llama"},
    }

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        with pytest.raises(UpstreamError, match="is wrong") as failed:
            await client.query("chat", HELLO)

    assert "dapi-0123456789abcdef" not in f"{failed.value} {failed.value.body()}"


# --- requests and answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        (CHAT, "audio", {**HELLO, "audio": {"voice": "alloy", "format": "wav"}}),
        (CHAT, "store", {**HELLO, "store": True}),
        (CHAT, "web_search_options", {**HELLO, "web_search_options": {}}),
        (COMPLETIONS, "best_of", {"prompt": "Hi", "best_of": 2}),
        (
            CHAT,
            "messages.1.thinking_blocks",
            {"messages": [USER, {"role": "assistant", "thinking_blocks": "hm"}]},
        ),
        (
            CHAT,
            "messages.1.thinking_blocks",
            {"messages": [USER, {"role": "assistant", "thinking_blocks": [{}]}]},
        ),
    ],
)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: dict[str, Any]) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "content",
    [
        [1],
        [{}],
        [{"type": "text"}],
        [{"type": "reasoning"}],
        [{"type": "reasoning", "summary": [{"text": 1}]}],
    ],
    ids=json.dumps,
)
def test_content_that_is_none_is_the_upstreams_fault(content: Any) -> None:
    """In an answer and in a stream."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": None}).encode()
    with pytest.raises(UpstreamInvalid):
        CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data())

    chunk = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}
    assert isinstance(read(STREAM.reader(), [event(chunk)]).error, UpstreamInvalid)


def test_parts_that_are_no_text_reach_the_caller() -> None:
    """They stand beside the text, as they came."""
    parts = [
        {"type": "text", "text": "Look: "},
        {"type": "image_url", "image_url": {"url": "https://example.com"}},
    ]
    choice = {"index": 0, "message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()

    answer = json.loads(CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data()))

    message = answer["choices"][0]["message"]
    assert (message["content"], message["databricks_parts"]) == ("Look: ", parts[1:])


def test_an_error_under_a_status_of_success_is_one() -> None:
    """With the status that its code stands for."""
    body = json.dumps({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Slow down."}).encode()

    with pytest.raises(UpstreamError, match="Slow down") as failed:
        CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data())

    assert failed.value.status == 429


@pytest.mark.parametrize("vector", [None, 1, ["a"]])
def test_a_vector_that_is_none_is_the_upstreams_fault(vector: Any) -> None:
    """Where base64 is to be made of it."""
    body = json.dumps({"data": [{"embedding": vector}]}).encode()

    with pytest.raises(UpstreamInvalid):
        EMBEDDINGS.adapter().answer(
            UpstreamResponse(200, {}, body), {"input": "Hi", "encoding_format": "base64"}
        )


def test_vectors_in_base64_stay() -> None:
    """An endpoint of OpenAI's models may give them."""
    body = json.dumps({"data": [{"embedding": "AAAAPw=="}]}).encode()

    answer = EMBEDDINGS.adapter().answer(
        UpstreamResponse(200, {}, body), {"input": "Hi", "encoding_format": "base64"}
    )

    assert json.loads(answer)["data"][0]["embedding"] == "AAAAPw=="


def test_other_parts_of_an_answer_go_back_where_they_came_from() -> None:
    """What is neither text nor thoughts stands in the content again, and not under a name of ours."""
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    said = {"role": "assistant", "content": "Here.", "databricks_parts": [part]}
    sent = json.loads(adapter().request({"messages": [USER, said, USER]}, stream=False).body)
    assert sent["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "Here."}, part]}
    with pytest.raises(InvalidRequest, match=r"messages\.0\.databricks_parts"):
        adapter().request({"messages": [{**said, "databricks_parts": "x"}]}, stream=False)


def test_encrypted_thoughts_of_a_stream_are_numbered_with_the_others() -> None:
    """Each is whole in one chunk, and ends the thought before it."""
    signed = {"type": "summary_text", "text": "Hm.", "signature": "sig"}
    encrypted = {"type": "summary_encrypted_text", "data": "EroB"}
    pieces: list[Any] = [[{"type": "reasoning", "summary": [one]}] for one in (signed, encrypted)]
    reader = adapter().reader(HELLO)

    chunks = [
        json.loads(chunk)
        for content in (*pieces, "Hi")
        for chunk in reader.feed(event({"choices": [{"index": 0, "delta": {"content": content}}]}))
    ]

    assert [chunk["choices"][0]["delta"].get("thinking_blocks") for chunk in chunks] == [
        None,
        [
            {"index": 0, "type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"index": 1, "type": "redacted_thinking", "data": "EroB"},
        ],
        None,
    ]


async def test_an_answer_of_the_token_service_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its SDK reads what it gets without a look."""

    def config(**_: object) -> object:
        raise KeyError("expires_in")

    monkeypatch.setattr("gateway_async.credentials.databricks._config", config)
    with pytest.raises(UpstreamError, match="no Databricks credentials are found"):
        await adapter().authorize(UpstreamRequest("/x", {}, b""))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {
                "error": "Received error from amazon-bedrock",
                "external_model_message": {"message": "too long"},
            },
            "Received error from amazon-bedrock: too long",
        ),
        (
            {"external_model_provider": "openai", "external_model_error": {"error": {"message": "too long"}}},
            "too long",
        ),
        ({"error_code": "BAD_REQUEST", "message": "too long"}, "too long"),
        (["too long"], '["too long"]'),
    ],
)
def test_the_words_of_a_model_behind_an_endpoint_are_kept(body: Any, said: str) -> None:
    """Databricks' own say only where they come from (https://github.com/aaif-goose/goose/pull/1394)."""
    failed = adapter().error(UpstreamResponse(400, {}, json.dumps(body).encode()))

    assert failed.message == f"databricks answered 400: {said}"
