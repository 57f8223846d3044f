"""Plugins behind routes that come over the API: their keys and addresses are held to the same rules."""

from typing import Any

import pytest

from gateway_async.config import RouteConfig
from gateway_async.errors import InvalidRequest
from gateway_async.live.restricted import restricted_route
from gateway_async.network_guard import addresses_in
from gateway_async.server_config import UpstreamConfig
from tests.plugins.conftest import Install

SOURCE = """
from pydantic import BaseModel
from gateway_async.provider import Address, ApiKey, ConfigModel, RouteType

class Shard(BaseModel):
    url: Address

class Settings(ConfigModel):
    some_api_key: ApiKey | None = None
    shards: list[Shard] = []
    mirrors: dict[str, str] = {}

    def server_credentials(self):
        return None if self.some_api_key else "some-cloud"

class Provider:
    name = "some"
    route_types = frozenset({RouteType.LLM_V1_CHAT})
    config = Settings

    def bind(self, model, kind):
        raise NotImplementedError

provider = Provider()
"""


def read(config: dict[str, Any] | None, *secrets: str) -> RouteConfig:
    """A route of the plugin."""
    model = {"provider": "some", **({} if config is None else {"some_config": config})}
    document = {"name": "mine", "route_type": "llm/v1/chat", "model": model}
    return restricted_route(document, UpstreamConfig(allow_secrets=list(secrets)))


@pytest.fixture(autouse=True)
def plugin(install: Install) -> None:
    """It is installed."""
    install("some", SOURCE)


def test_a_plugin_s_key_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one of the server's."""
    monkeypatch.setenv("A_KEY_OF_THE_SERVER", "sk-canary")

    with pytest.raises(InvalidRequest, match=r"some_api_key: .*allow_secrets") as refused:
        read({"some_api_key": "$A_KEY_OF_THE_SERVER"})

    assert "canary" not in str(refused.value)


def test_a_plugin_s_addresses_are_found_wherever_they_stand() -> None:
    """In lists and mappings, and where their type does not say what they are."""
    config = {
        "some_api_key": "x",
        "shards": [{"url": "http://a"}, {"url": "https://b"}],
        "mirrors": {"c": "http://c"},
    }

    found = dict(addresses_in(read(config).model))

    assert found == {"shards.0.url": "http://a", "shards.1.url": "https://b", "mirrors.c": "http://c"}


@pytest.mark.parametrize("config", [None, {}])
def test_a_plugin_may_say_that_it_uses_the_server_s_credentials(config: dict[str, Any] | None) -> None:
    """Then they must be listed, and go nowhere else."""
    with pytest.raises(InvalidRequest, match=r"'some-cloud'.*allow_secrets"):
        read(config)

    assert read(config, "some-cloud").name == "mine"
    with pytest.raises(InvalidRequest, match="own address"):
        read({"mirrors": {"a": "http://evil.example"}}, "some-cloud")
