"""Routes to MLflow's model server."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each type."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"model_server_url": upstream}
    every = (CHAT, COMPLETIONS, EMBEDDINGS)
    return [endpoint("mlflow-model-serving", "my-model", config, kind) for kind in every]
