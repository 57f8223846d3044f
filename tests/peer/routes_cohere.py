"""Cohere's routes, over v1."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each type; without its base address, mlflow is sent to the upstream by its launcher."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"cohere_api_key": "cohere-test", "cohere_api_base": f"{upstream}/v1"}
    return [
        endpoint("cohere", "command", config, CHAT),
        endpoint("cohere", "command", config, COMPLETIONS),
        endpoint("cohere", "embed-english-light-v2.0", config, EMBEDDINGS),
    ]
