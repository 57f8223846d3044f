"""The blocking gateway client, with the documented API of `mlflow.gateway`.

    from gateway_sync import query, set_gateway_uri

    set_gateway_uri("http://localhost:5000")
    answer = query("chat", {"messages": [{"role": "user", "content": "Hello"}]})

Every call runs the same call of `gateway_async` in a thread of this package and waits for it.
"""

from gateway_async import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionRequest,
    CompletionResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    GatewayConfig,
    GatewayError,
    Limit,
    LimitsConfig,
    MlflowException,
    PagedList,
    Route,
    RouteConfig,
    RouteType,
    Usage,
    __version__,
)
from gateway_sync.client import GatewayClient, MlflowGatewayClient
from gateway_sync.fluent import (
    create_route,
    delete_route,
    get_gateway_uri,
    get_limits,
    get_route,
    query,
    search_routes,
    set_gateway_uri,
    set_limits,
    stream,
    update_route,
)
from gateway_sync.streaming import SyncStream

__all__ = [
    "ChatChunk",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "CompletionChunk",
    "CompletionRequest",
    "CompletionResponse",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "GatewayClient",
    "GatewayConfig",
    "GatewayError",
    "Limit",
    "LimitsConfig",
    "MlflowException",
    "MlflowGatewayClient",
    "PagedList",
    "Route",
    "RouteConfig",
    "RouteType",
    "SyncStream",
    "Usage",
    "__version__",
    "create_route",
    "delete_route",
    "get_gateway_uri",
    "get_limits",
    "get_route",
    "query",
    "search_routes",
    "set_gateway_uri",
    "set_limits",
    "stream",
    "update_route",
]
