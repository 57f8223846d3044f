"""The blocking client and functions as a typed program uses them. Checked, not run."""

from typing import Any, assert_type

import gateway_sync
from gateway_sync import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    EmbeddingResponse,
    GatewayClient,
    LimitsConfig,
    MlflowGatewayClient,
    PagedList,
    Route,
    SyncStream,
)
from gateway_sync.config import Limit


def documented(client: MlflowGatewayClient) -> None:
    """The calls of the documented pages."""
    assert_type(client.gateway_uri, str)
    assert_type(client.get_route("chat"), Route)
    assert_type(client.get_route("chat").limit, Limit | None)
    assert_type(client.search_routes(page_token=None), PagedList[Route])
    assert_type(client.create_route("a", "llm/v1/chat", {"provider": "openai"}), Route)
    assert_type(client.query("chat", {"messages": []}), dict[str, Any])
    assert_type(client.set_limits("a", [{"calls": 1}]), LimitsConfig)
    assert_type(client.get_limits("a"), LimitsConfig)
    assert_type(client.health(), dict[str, Any])
    client.delete_route("a")


def typed(client: GatewayClient) -> None:
    """Schemas in, schemas out, whole and streamed."""
    request = ChatRequest(messages=[ChatMessage(role="user", content="Hello")])
    assert_type(client.chat("chat", request), ChatResponse)
    assert_type(client.embeddings("e", {"text": ["a"]}), EmbeddingResponse)
    with client.stream_chat("chat", request) as chunks:
        assert_type(chunks, SyncStream[ChatChunk])
        for chunk in chunks:
            assert_type(chunk, ChatChunk)
    for raw in client.stream("chat", {}):
        assert_type(raw, dict[str, Any])
    for piece in client.stream_completions("c", {"prompt": "Once"}):
        assert_type(piece, CompletionChunk)


def made() -> None:
    """Each way to have a client."""
    with GatewayClient("http://localhost:5000", api_key="k", timeout=10, max_retries=0) as client:
        assert_type(client, MlflowGatewayClient)
    assert_type(GatewayClient.local(), MlflowGatewayClient)


def fluent() -> None:
    """The functions of the module."""
    gateway_sync.set_gateway_uri("http://localhost:5000")
    assert_type(gateway_sync.get_gateway_uri(), str)
    assert_type(gateway_sync.get_route("a"), Route)
    assert_type(gateway_sync.search_routes(), list[Route])
    assert_type(gateway_sync.query("a", {}), dict[str, Any])
    assert_type(gateway_sync.set_limits("a", []), LimitsConfig)
    assert_type(gateway_sync.stream("a", {}), SyncStream[dict[str, Any]])


def wrong(client: GatewayClient) -> None:
    """What a type checker must find."""
    client.query("a")  # type: ignore[call-arg]
    client.query("a", [])  # type: ignore[arg-type]
    client.search_routes(token="t")  # type: ignore[call-arg]
    with client.chat("a", {}):  # type: ignore[attr-defined]
        pass
