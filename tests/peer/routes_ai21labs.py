"""AI21's routes to Jurassic-2, of which one can't be served."""

from typing import Any


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """Completions, and a chat that the model has not."""
    from tests.peer.routes import CHAT, COMPLETIONS, endpoint

    config = {"ai21labs_api_key": "ai21-test", "ai21labs_api_base": f"{upstream}/studio/v1"}
    return [endpoint("ai21labs", "j2-ultra", config, kind) for kind in (CHAT, COMPLETIONS)]
