"""The routes of the peer tests, in a configuration that both gateways load.

Those of OpenAI and Anthropic stand here; each `routes_<provider>.py` beside has `endpoints(upstream)` for its own.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"


def configuration(upstream: str) -> dict[str, Any]:
    """Every route, all of them answered by the mock upstream at this address.

    mlflow ignores `anthropic_api_base` and its like; the launcher of the peer sends it there all the same.
    """
    openai = {"openai_api_key": "sk-openai-test", "openai_api_base": f"{upstream}/v1"}
    organization = {**openai, "openai_organization": "org-1"}
    azure = {
        "openai_api_type": "azure",
        "openai_api_key": "azure-test",
        "openai_api_base": upstream,
        "openai_api_version": "2024-06-01",
        "openai_deployment_name": "deployed",
    }
    azuread = {**azure, "openai_api_type": "AzureAD"}
    anthropic = {"anthropic_api_key": "sk-ant-test", "anthropic_api_base": f"{upstream}/v1"}
    every = (CHAT, COMPLETIONS, EMBEDDINGS)
    endpoints = [
        *(endpoint("openai", "gpt-4o-mini", openai, kind) for kind in every),
        *(endpoint("openai", "gpt-4o-mini", organization, kind, name="organization") for kind in every),
        *(endpoint("openai", "gpt-4o-mini", azure, kind, name="azure") for kind in every),
        *(endpoint("openai", "gpt-4o-mini", azuread, kind, name="azuread") for kind in every),
        endpoint(
            "openai", "gpt-4o-mini", {**openai, "openai_api_version": "2099-01-01"}, CHAT, name="version"
        ),
        *(endpoint("anthropic", "claude-test", anthropic, kind) for kind in every),
        {**endpoint("openai", "gpt-4o-mini", openai, CHAT, name="limited"), "limit": LIMIT},
    ]
    for path in sorted(Path(__file__).parent.glob("routes_*.py")):
        endpoints += import_module(f"tests.peer.{path.stem}").endpoints(upstream)
    return {"endpoints": endpoints}


LIMIT = {"calls": 1, "renewal_period": "hour"}


def endpoint(provider: str, model: str, config: dict[str, Any], kind: str, name: str = "") -> dict[str, Any]:
    """An endpoint of the file, named `<provider or name>-<chat, completions or embeddings>`."""
    return {
        "name": f"{name or provider}-{kind.rpartition('/')[2]}",
        "endpoint_type": kind,
        "model": {"provider": provider, "name": model, "config": config},
    }
