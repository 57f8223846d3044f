"""What a gateway serves that was given no configuration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway_async.provider_table import ROWS


class UsualKey(NamedTuple):
    """A provider that is ready to use when its usual key is in the environment."""

    variable: str
    provider: str
    field: str
    model: str


USUAL_KEYS = (
    UsualKey("OPENAI_API_KEY", "openai", "openai_api_key", "gpt-5-mini"),
    UsualKey("ANTHROPIC_API_KEY", "anthropic", "anthropic_api_key", "claude-haiku-4-5"),
    UsualKey("GEMINI_API_KEY", "gemini", "gemini_api_key", "gemini-2.5-flash"),
    UsualKey("MISTRAL_API_KEY", "mistral", "mistral_api_key", "mistral-small-latest"),
    UsualKey("CO_API_KEY", "cohere", "cohere_api_key", "command-a-03-2025"),
    UsualKey("AI21_API_KEY", "ai21labs", "ai21labs_api_key", "jamba-mini"),
    *(
        UsualKey(row.key, row.name, "api_key", row.usual_model)
        for row in ROWS.values()
        if row.key and row.usual_model
    ),
)


def zero_config(environ: Mapping[str, str]) -> dict[str, Any]:
    """Routes `chat`, `completions` and `embeddings` of the `offline` provider, and one for each key in the environment.

    Args:
        environ: The environment; a provider's route has the provider's name and serves chat.

    Returns:
        A configuration in the form of the file.
    """
    endpoints: list[dict[str, Any]] = [
        {"name": kind, "endpoint_type": f"llm/v1/{kind}", "model": {"provider": "offline", "name": "offline"}}
        for kind in ("chat", "completions", "embeddings")
    ]
    for usual in USUAL_KEYS:
        if environ.get(usual.variable, "").strip():
            config = {usual.field: f"${usual.variable}"}
            model = {"provider": usual.provider, "name": usual.model, "config": config}
            endpoints.append({"name": usual.provider, "endpoint_type": "llm/v1/chat", "model": model})
    return {"endpoints": endpoints}
