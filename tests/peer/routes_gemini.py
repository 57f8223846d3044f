"""Gemini's routes."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each type; without its base address, mlflow is sent to the upstream by its launcher."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"gemini_api_key": "gemini-test", "gemini_api_base": f"{upstream}/v1beta/models"}
    return [endpoint("gemini", "gemini-test", config, kind) for kind in (CHAT, COMPLETIONS, EMBEDDINGS)]
