"""Vertex AI: its settings, Google's credentials, and what is no request or no answer of it."""

import asyncio
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials

from gateway_async import AsyncGatewayClient
from gateway_async.config import Model, RouteType, VertexAIConfig
from gateway_async.credentials.google import GoogleCredentials
from gateway_async.errors import ConfigError, InvalidRequest, UpstreamError, UpstreamInvalid
from gateway_async.providers import get_provider
from gateway_async.providers._base import Authorizing, UpstreamRequest, UpstreamResponse
from tests.providers.cases import CASES, Case
from tests.support.tasks import others_done
from tests.support.upstream import MockUpstream, chat

CHAT, CLAUDE, EMBEDDINGS, COMPLETIONS, OTHERS = (
    CASES[f"vertex-ai/{name}"]
    for name in ("chat", "claude", "embeddings", "completions", "chat_model_of_others")
)
USER = {"role": "user", "content": "Hi"}
HELLO = {"messages": [USER]}
DATA: Mapping[RouteType, dict[str, Any]] = {
    RouteType.LLM_V1_CHAT: HELLO,
    RouteType.LLM_V1_COMPLETIONS: {"prompt": "Hi"},
    RouteType.LLM_V1_EMBEDDINGS: {"input": "Hi"},
}
PLACE = {"project": "my-project", "location": "us-central1"}
AUTHORIZED_USER = {
    "type": "authorized_user",
    "client_id": "id",
    "client_secret": "secret",
    "refresh_token": "refresh",
    "quota_project_id": "payer",
}


def adapter(kind: RouteType = RouteType.LLM_V1_CHAT, name: str = "gemini-2.5-flash", **config: str) -> Any:
    """An adapter for one model at the usual place."""
    model = {"provider": "vertex-ai", "name": name, "config": {**PLACE, **config}}
    return get_provider("vertex-ai").bind(Model.model_validate(model), kind)


async def sent(adapter: Any, data: Any = HELLO) -> UpstreamRequest:
    """What goes upstream."""
    request = adapter.request(data, stream=False)
    assert isinstance(adapter, Authorizing)
    return await adapter.authorize(request)


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"project": "p"},
        {"location": "global"},
        {"project": "p/q", "location": "global"},
        {"project": "p", "location": "us-central1.evil.example/"},
        {"api_base": "vertex.example.com"},
    ],
    ids=json.dumps,
)
def test_it_must_be_known_where_the_models_are(config: dict[str, str]) -> None:
    """Project and location, which stand in the address, or a base address."""
    with pytest.raises(ValueError, match=r"project|location|api_base"):
        VertexAIConfig(**config)


def test_a_route_without_settings_says_what_is_needed() -> None:
    """It is not served; the others are."""
    with pytest.raises(ConfigError, match="project and location, or api_base"):
        get_provider("vertex-ai").bind(Model(provider="vertex-ai", name="gemini"), RouteType.LLM_V1_CHAT)


def test_a_key_does_not_show() -> None:
    """Neither in a text nor in a dump."""
    config = VertexAIConfig(**PLACE, api_key="key-recorded")

    assert "key-recorded" not in f"{config!r} {config.model_dump()} {config.model_dump_json()}"


@pytest.mark.parametrize("kind", list(RouteType))
@pytest.mark.parametrize("name", ["gemini-2.5-flash", "claude-sonnet-4@20250514"])
def test_with_a_key_nobody_is_asked(kind: RouteType, name: str) -> None:
    """The request is complete when it is made."""
    one = adapter(kind, name, api_key="key-recorded")

    request = one.request(DATA[kind], stream=False)

    assert not isinstance(one, Authorizing)
    assert request.headers["Authorization"] == "Bearer key-recorded"


# --- Google's credentials -----------------------------------------------------------------------------------------


class Google:
    """Where Google's tokens come from."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def refresh(self, credentials: Credentials, request: object) -> None:
        """Put the next token into the credentials; it lasts an hour."""
        assert threading.current_thread() is not threading.main_thread(), "this blocks"
        self.asked += 1
        if self.fails:
            raise RefreshError("invalid_grant: Token has been expired or revoked.")  # type: ignore[no-untyped-call]
        credentials.token = f"token-{self.asked}"
        credentials.expiry = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)


def _default(scopes: Any) -> tuple[Credentials, str]:
    return Credentials(None, scopes=scopes), "p"  # type: ignore[no-untyped-call]


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Google:
    """What Google's servers give is ours."""
    google = Google()
    monkeypatch.setattr(Credentials, "refresh", lambda self, request: google.refresh(self, request))
    monkeypatch.setattr("google.auth.default", _default)
    return google


@pytest.fixture
def user_file(tmp_path: Path) -> str:
    """A file as gcloud writes it."""
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(AUTHORIZED_USER))
    return str(path)


async def test_application_default_credentials_let_us_in(google: Google) -> None:
    """One token for all who wait, used again while it lasts."""
    one = adapter()

    requests = await asyncio.gather(*[sent(one) for _ in range(10)])
    requests.append(await sent(one))

    assert {request.headers["Authorization"] for request in requests} == {"Bearer token-1"}
    assert google.asked == 1


@pytest.mark.parametrize(
    ("kind", "name", "data"),
    [
        (RouteType.LLM_V1_CHAT, "claude-sonnet-4@20250514", HELLO),
        (RouteType.LLM_V1_COMPLETIONS, "gemini-2.5-flash", {"prompt": "Hi"}),
        (RouteType.LLM_V1_EMBEDDINGS, "text-embedding-005", {"input": "Hi"}),
    ],
)
@pytest.mark.usefixtures("google")
async def test_they_are_for_every_kind_of_route(kind: RouteType, name: str, data: Any) -> None:
    """Chat with Claude, completions and embeddings too."""
    assert (await sent(adapter(kind, name), data)).headers["Authorization"] == "Bearer token-1"


async def test_a_file_names_the_credentials_and_who_pays(google: Google, user_file: str) -> None:
    """The project that pays goes along."""
    request = await sent(adapter(credentials=user_file))

    assert request.headers["Authorization"] == "Bearer token-1"
    assert request.headers["x-goog-user-project"] == "payer"


async def test_a_file_that_is_replaced_is_read_again(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key was revoked, and another put in its place: no restart is needed."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(json.dumps(AUTHORIZED_USER))
    second.write_text("{}")
    google.fails = True
    held = GoogleCredentials(str(first))
    with pytest.raises(ConfigError, match="expired or revoked"):
        await held.headers()

    second.replace(first)
    monkeypatch.setattr(
        "gateway_async.credentials.held.time.time", lambda: datetime.now(UTC).timestamp() + 60
    )
    with pytest.raises(ConfigError, match="neither a service account's nor a user's"):
        await held.headers()


async def test_a_token_is_renewed_before_it_ends(google: Google, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes before; and a token that still lasts serves where no new one is to be had."""
    now = datetime.now(UTC).timestamp()
    start = now
    monkeypatch.setattr("gateway_async.credentials.held.time.time", lambda: now)
    held = GoogleCredentials()

    async def token_after(seconds: float) -> str:
        nonlocal now
        now = start + seconds
        await held.headers()
        await others_done()
        return (await held.headers())["Authorization"]

    assert await token_after(0) == "Bearer token-1"
    assert await token_after(3290) == "Bearer token-1"
    google.fails = True
    assert await token_after(3310) == "Bearer token-1"
    assert google.asked == 2
    google.fails = False
    assert await token_after(3320) == "Bearer token-3"


async def test_no_credentials_are_the_gateways_own_fault(google: Google) -> None:
    """A 502 that says what to do."""
    google.fails = True

    with pytest.raises(UpstreamError, match=r"expired or revoked.*GOOGLE_APPLICATION_CREDENTIALS") as failed:
        await sent(adapter())

    assert failed.value.status == 502


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "{}", '{"type": "authorized_user"}', '{"type": "x"}']
)
async def test_a_file_without_credentials_is_named(content: str | None, tmp_path: Path) -> None:
    """Whatever it holds."""
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(UpstreamError, match=r"key\.json"):
        await sent(adapter(credentials=str(path)))


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what else would do."""
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)

    with pytest.raises(UpstreamError, match=r"ai-gateway-sdk\[vertex\].*api_key"):
        await sent(adapter())


@pytest.mark.usefixtures("google")
async def test_through_the_whole_gateway(upstream: MockUpstream) -> None:
    """The credentials are in the request that is sent."""
    upstream.reply(chat("Hello"))
    model = {
        "provider": "vertex-ai",
        "name": "gemini-2.5-flash",
        "config": {"api_base": f"{upstream.url}/v1/p"},
    }
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": model}

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        await client.query("chat", HELLO)

    request = upstream.request()
    assert request.path == "/v1/p/endpoints/openapi/chat/completions"
    assert request.headers["authorization"] == "Bearer token-1"


# --- requests and answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        (CHAT, "logprobs", {**HELLO, "logprobs": True}),
        (CHAT, "user", {**HELLO, "user": "u"}),
        (CHAT, "parallel_tool_calls", {**HELLO, "parallel_tool_calls": False}),
        (OTHERS, "suffix", {**HELLO, "suffix": "!"}),
        (CLAUDE, "service_tier", {**HELLO, "service_tier": "flex"}),
        (CLAUDE, "seed", {**HELLO, "seed": 1}),
        (COMPLETIONS, "prompt", {"prompt": ["a", "b"]}),
        (COMPLETIONS, "echo", {"prompt": "Hi", "echo": True}),
        (EMBEDDINGS, "input", {"input": [1, 2]}),
        (EMBEDDINGS, "user", {"input": "Hi", "user": "u"}),
    ],
)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: dict[str, Any]) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"predictions": None},
        {"predictions": [{}]},
        {"predictions": [{"embeddings": {"values": None}}]},
        {"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": "x"}}}]},
    ],
    ids=json.dumps,
)
def test_predictions_that_are_none_are_the_upstreams_fault(body: Any) -> None:
    """It is a 502."""
    with pytest.raises(UpstreamInvalid):
        EMBEDDINGS.adapter().answer(UpstreamResponse(200, {}, json.dumps(body).encode()), EMBEDDINGS.data())
