"""The routes of Mistral."""

from typing import Any

from tests.peer import routes


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """One of each type."""
    config = {"mistral_api_key": "sk-mistral-test", "mistral_api_base": f"{upstream}/v1"}
    kinds = (routes.CHAT, routes.COMPLETIONS, routes.EMBEDDINGS)
    return [routes.endpoint("mistral", "mistral-model", config, kind) for kind in kinds]
