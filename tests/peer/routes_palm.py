"""PaLM's routes."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each type; without its base address, mlflow is sent to the upstream by its launcher."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"palm_api_key": "palm-test", "palm_api_base": f"{upstream}/v1beta3/models"}
    return [endpoint("palm", "bison-001", config, kind) for kind in (CHAT, COMPLETIONS, EMBEDDINGS)]
