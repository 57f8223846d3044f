"""What mlflow's own clients make of a gateway: `mlflow_clients.py URL` prints it as JSON, run by the peer's Python.

Every outcome is `{"value": …}`, or `{"raises": name of the class, "says": its message}`.
"""

# mypy: disable-error-code="import-not-found"
# mlflow is in the peer's environment only.

import json
import sys
from collections.abc import Callable
from typing import Any

from mlflow import gateway
from mlflow.deployments import get_deploy_client

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return [plain(part) for part in value] if isinstance(value, list) else value


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """What a call returns, or how it fails."""
    try:
        return {"value": plain(call())}
    except Exception as error:  # noqa: BLE001  whatever it is, it is the outcome
        return {"raises": type(error).__name__, "says": str(error)}


def outcomes(url: str) -> dict[str, Any]:
    """The outcome of each call of the three clients."""
    client = gateway.MlflowGatewayClient(url)
    gateway.set_gateway_uri(url)
    deployments = get_deploy_client(url)
    calls: dict[str, Callable[[], Any]] = {
        "get_route": lambda: client.get_route("limited-chat"),
        "get_route, unknown": lambda: client.get_route("nobody"),
        "search_routes": lambda: client.search_routes(),
        "search_routes, token": lambda: client.search_routes().token,
        "search_routes, from the fourth": lambda: client.search_routes(page_token="eyJpbmRleCI6IDN9"),
        "search_routes, bad token": lambda: client.search_routes(page_token="zzz"),
        "query, chat": lambda: client.query("openai-chat", CHAT),
        "query, embeddings": lambda: client.query("openai-embeddings", {"input": ["Hi"]}),
        "query, text": lambda: client.query("openai-embeddings", {"text": ["Hi"]}),
        "query, completions": lambda: client.query("openai-completions", {"prompt": "Hi"}),
        "query, unknown": lambda: client.query("nobody", CHAT),
        "query, invalid": lambda: client.query("openai-chat", {"messages": []}),
        "query, model": lambda: client.query("openai-chat", {**CHAT, "model": "gpt-4o"}),
        "set_limits": lambda: client.set_limits("limited-chat", [{"calls": 1, "renewal_period": "hour"}]),
        "get_limits": lambda: client.get_limits("limited-chat"),
        "create_route": lambda: client.create_route("new", "llm/v1/chat", {}),
        "fluent get_route": lambda: gateway.get_route("openai-chat"),
        "fluent search_routes": lambda: gateway.search_routes(),
        "fluent query": lambda: gateway.query("openai-chat", CHAT),
        "list_endpoints": lambda: deployments.list_endpoints(),
        "get_endpoint": lambda: deployments.get_endpoint("limited-chat"),
        "get_endpoint, unknown": lambda: deployments.get_endpoint("nobody"),
        "predict": lambda: deployments.predict(endpoint="openai-chat", inputs=CHAT),
        "predict, unknown": lambda: deployments.predict(endpoint="nobody", inputs=CHAT),
    }
    return {name: outcome(call) for name, call in calls.items()}


if __name__ == "__main__":
    print(json.dumps(outcomes(sys.argv[1])))
