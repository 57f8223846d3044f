"""The routes of the peer tests, in a configuration that both gateways load."""

from typing import Any

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"


def configuration(upstream: str) -> dict[str, Any]:
    """Every kind of OpenAI and Anthropic route, all of them answered by the mock upstream at this address.

    mlflow ignores `anthropic_api_base`; the launcher of the peer sets the address there.
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
        *(_endpoint("openai", "gpt-4o-mini", openai, kind) for kind in every),
        *(_endpoint("openai", "gpt-4o-mini", organization, kind, name="organization") for kind in every),
        *(_endpoint("openai", "gpt-4o-mini", azure, kind, name="azure") for kind in every),
        *(_endpoint("openai", "gpt-4o-mini", azuread, kind, name="azuread") for kind in every),
        _endpoint(
            "openai", "gpt-4o-mini", {**openai, "openai_api_version": "2099-01-01"}, CHAT, name="version"
        ),
        *(_endpoint("anthropic", "claude-test", anthropic, kind) for kind in every),
        {**_endpoint("openai", "gpt-4o-mini", openai, CHAT, name="limited"), "limit": LIMIT},
    ]
    return {"endpoints": endpoints}


LIMIT = {"calls": 1, "renewal_period": "hour"}


def _endpoint(provider: str, model: str, config: dict[str, str], kind: str, name: str = "") -> dict[str, Any]:
    return {
        "name": f"{name or provider}-{kind.rpartition('/')[2]}",
        "endpoint_type": kind,
        "model": {"provider": provider, "name": model, "config": config},
    }
