"""MosaicML's routes."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each type; without its base address, mlflow is sent to the upstream by its launcher."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"mosaicml_api_key": "mosaic-test", "mosaicml_api_base": upstream}
    return [endpoint("mosaicml", "llama2-70b-chat", config, kind) for kind in (CHAT, COMPLETIONS, EMBEDDINGS)]
