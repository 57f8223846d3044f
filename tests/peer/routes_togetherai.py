"""The routes of Together AI."""

from typing import Any

from tests.peer import routes


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """One of each type."""
    config = {"togetherai_api_key": "sk-togetherai-test", "togetherai_api_base": f"{upstream}/v1"}
    kinds = (routes.CHAT, routes.COMPLETIONS, routes.EMBEDDINGS)
    return [routes.endpoint("togetherai", "togetherai-model", config, kind) for kind in kinds]
