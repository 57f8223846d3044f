"""Configurations that several suites run a gateway with."""

from typing import Any

Json = dict[str, Any]

KEY = "sk-canary-4f1c7e0b9a52"
"""The key of every route to the mock upstream; it must show nowhere."""

ADMIN = "admin-canary-5d2a8c31e7f6"
"""The admin's key of gateways that are given one by `GATEWAY_ADMIN_KEY`; it must show nowhere either."""

AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}
"""The header that goes with a change."""

HELLO: Json = {"messages": [{"role": "user", "content": "Hello there"}]}
"""A chat that every route for chat answers."""


ODD = "a\nb\x00 é 漢"
"""A model's name that no header can carry."""


def offline(name: str, kind: str, model: str = "echo") -> Json:
    """A route of the offline provider."""
    return {"name": name, "endpoint_type": f"llm/v1/{kind}", "model": {"provider": "offline", "name": model}}


def upstream_route(name: str, kind: str, url: str, **more: Any) -> Json:
    """A route of the provider `openai` whose base address is `url`."""
    config = {"openai_api_key": KEY, "openai_api_base": f"{url}/v1"}
    model = {"provider": "openai", "name": "gpt-mock", "config": config}
    return {"name": name, "endpoint_type": f"llm/v1/{kind}", "model": model, **more}


def everything(url: str) -> Json:
    """Routes of every type, offline and to the mock upstream, one that can't be reached, and one of little patience."""
    kinds = ("chat", "completions", "embeddings")
    quick = {"connect": 10, "first_byte": 1.5, "idle": 1, "total": 2.5}
    return {
        "endpoints": [
            *(offline(kind, kind) for kind in kinds),
            *(upstream_route(f"up-{kind}", kind, url) for kind in kinds),
            offline("odd-Ä.1_2", "chat", ODD),
            upstream_route("dead", "chat", "http://127.0.0.1:9"),
            upstream_route("impatient", "chat", url, timeouts=quick),
        ],
        "server": {"max_body_mb": 1},
    }
