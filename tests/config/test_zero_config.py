"""What is served without a configuration: a model that needs nothing, and those whose keys are there."""

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.config import AnthropicConfig, OpenAIConfig, Provider
from gateway_async.config_file import load_config
from gateway_async.errors import ConfigError
from gateway_async.zero_config import USUAL_KEYS, UsualKey

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def test_without_a_key_the_offline_model_is_served() -> None:
    """A route of each type, named after it."""
    found = [(route.name, route.route_type.value, route.model.provider) for route in load_config(None).routes]

    assert found == [(kind, f"llm/v1/{kind}", "offline") for kind in ("chat", "completions", "embeddings")]


def test_a_key_in_the_environment_makes_a_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named after the provider; the key is read from there."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-canary-2\n")
    config = load_config(None)

    *_, openai, anthropic = config.routes
    assert (openai.name, openai.model.provider) == ("openai", Provider.OPENAI)
    assert (anthropic.name, anthropic.model.provider) == ("anthropic", Provider.ANTHROPIC)
    assert isinstance(openai.model.config, OpenAIConfig)
    assert isinstance(anthropic.model.config, AnthropicConfig)
    assert (openai.model.config.openai_api_key, anthropic.model.config.anthropic_api_key) == (
        "sk-canary-1",
        "sk-canary-2",
    )
    assert "canary" not in repr(config)


@pytest.mark.parametrize("usual", USUAL_KEYS, ids=lambda usual: usual.provider)
def test_every_usual_key_makes_a_route(usual: UsualKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its provider, with a model of it."""
    monkeypatch.setenv(usual.variable, "sk-canary")

    *_, route = load_config(None).routes

    assert (route.name, route.model.name) == (usual.provider, usual.model)
    assert getattr(route.model.config, usual.field) == "sk-canary"


def test_a_token_that_has_other_uses_makes_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the one that every job of GitHub's has."""
    monkeypatch.setenv("GITHUB_TOKEN", "sk-canary")

    assert len(load_config(None).routes) == 3


def test_an_empty_key_makes_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is how some people unset one."""
    monkeypatch.setenv("OPENAI_API_KEY", " ")

    assert len(load_config(None).routes) == 3


def test_a_key_that_can_be_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not repeated."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary\nand more")

    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as error:
        load_config(None)

    assert "canary" not in error.value.message


async def test_a_client_of_this_process_needs_no_configuration() -> None:
    """As the server does not."""
    async with AsyncGatewayClient.local() as client:
        answer = await client.query("chat", HELLO)
        routes = await client.search_routes()

    assert answer["choices"][0]["message"]["content"] == "You said: Hello"
    assert [route.name for route in routes] == ["chat", "completions", "embeddings"]
