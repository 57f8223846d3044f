"""The asynchronous gateway: client, schemas and engine.

from gateway_async import AsyncGatewayClient

async with AsyncGatewayClient("http://localhost:5000") as client:
    answer = await client.query("chat", {"messages": [{"role": "user", "content": "Hello"}]})
"""

from gateway_async.client import AsyncGatewayClient
from gateway_async.config import GatewayConfig, Limit, LimitsConfig, Route, RouteConfig, RouteType
from gateway_async.errors import GatewayError, MlflowException
from gateway_async.fluent import (
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
from gateway_async.paging import PagedList
from gateway_async.schemas import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionRequest,
    CompletionResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    Usage,
)
from gateway_async.streaming import AsyncStream

__version__ = "0.1.0"

__all__ = [
    "AsyncGatewayClient",
    "AsyncStream",
    "ChatChunk",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "CompletionChunk",
    "CompletionRequest",
    "CompletionResponse",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "GatewayConfig",
    "GatewayError",
    "Limit",
    "LimitsConfig",
    "MlflowException",
    "PagedList",
    "Route",
    "RouteConfig",
    "RouteType",
    "Usage",
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
