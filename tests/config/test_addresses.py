"""Addresses in providers' settings: one that is none is told when the configuration loads, with its key."""

from typing import Any

import pytest

from gateway_async.config_file import load_config
from gateway_async.errors import ConfigError
from gateway_async.provider_config import PROVIDER_CONFIGS
from tests.config.conftest import Write

FIELDS = [
    (provider, field)
    for provider, settings in PROVIDER_CONFIGS.items()
    for field in settings.model_fields
    if field.endswith(("_base", "_url"))
]


def configuration(provider: str, field: str, address: str) -> dict[str, Any]:
    """A configuration with this address, and else what the provider needs."""
    needed = {k: "key" for k, f in PROVIDER_CONFIGS[provider].model_fields.items() if f.is_required()}
    if "aws_config" in needed:
        needed["aws_config"] = {}  # type: ignore[assignment]
    names = {"mosaicml": "llama2", "ai21labs": "j2-mid"}
    model = {"provider": provider, "name": names.get(provider, "m"), "config": {**needed, field: address}}
    return {"endpoints": [{"name": "a", "endpoint_type": "llm/v1/completions", "model": model}]}


def test_the_fields_are_found() -> None:
    """A test of none would find nothing wrong."""
    assert len(FIELDS) > 35


@pytest.mark.parametrize(("provider", "field"), FIELDS)
@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.example.com/v1",
        "ftp://x",
        "https://",
        "http:///v1",
        "https://x:port",
        "https://x:99999",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_told_with_its_key(provider: str, field: str, address: str) -> None:
    """Rather than by the first call."""
    with pytest.raises(ConfigError, match="this is no address") as error:
        load_config(configuration(provider, field, address))

    assert [problem["key"] for problem in error.value.problems] == [f"model.config.{field}"]


@pytest.mark.parametrize(("provider", "field"), FIELDS)
@pytest.mark.parametrize(
    "address", ["https://x.example/v1", "http://localhost:8000", "http://[::1]:80/a?b=c", "https://u:p@x/"]
)
def test_an_address_stays_as_it_was_written(provider: str, field: str, address: str) -> None:
    """No slash is added, and none taken."""
    settings = load_config(configuration(provider, field, address)).routes[0].model.config

    assert getattr(settings, field) == address


def test_an_address_with_a_password_is_not_repeated(write: Write) -> None:
    """It names its line instead."""
    path = write(
        """
        endpoints:
          - name: local
            endpoint_type: llm/v1/chat
            model:
              provider: ollama
              name: m
              config:
                api_base: htp://me:sk-canary@x
        """
    )

    with pytest.raises(ConfigError) as error:
        load_config(path)

    assert error.value.problems == [
        {
            "line": 9,
            "endpoint": "local",
            "key": "model.config.api_base",
            "problem": "this is no address; one begins with https:// or http:// and a host",
        }
    ]
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("provider", "missing"),
    [
        ("openai-compatible", ["api_base"]),
        ("azure-ai-foundry", ["api_base", "api_key"]),
        ("groq", ["api_key"]),
    ],
)
def test_what_a_provider_of_the_table_needs_is_named(provider: str, missing: list[str]) -> None:
    """A key where the servers are the vendor's, an address where only the user knows it."""
    model = {"provider": provider, "name": "m", "config": {}}
    with pytest.raises(ConfigError) as error:
        load_config({"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chat", "model": model}]})

    assert sorted(p["key"] for p in error.value.problems) == [f"model.config.{key}" for key in missing]
    assert {p["problem"] for p in error.value.problems} == {"this key is missing"}
