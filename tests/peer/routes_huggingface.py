"""The routes of Text Generation Inference."""

from typing import Any

from tests.peer import routes


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """Completions, also of a server with a path, and chat, which mlflow has not."""
    provider, config = "huggingface-text-generation-inference", {"hf_server_url": upstream}
    deeper = {"hf_server_url": f"{upstream}/models/one/"}
    return [
        routes.endpoint(provider, "hf-model", config, routes.COMPLETIONS, name="tgi"),
        routes.endpoint(provider, "hf-model", deeper, routes.COMPLETIONS, name="tgi-deeper"),
        routes.endpoint(provider, "hf-model", config, routes.CHAT, name="tgi"),
    ]
