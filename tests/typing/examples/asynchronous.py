"""The async client and functions as a typed program uses them. Checked, not run."""

from typing import Any, assert_type

import httpx

import gateway_async
from gateway_async import (
    AsyncGatewayClient,
    AsyncStream,
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionRequest,
    CompletionResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    GatewayError,
    LimitsConfig,
    PagedList,
    Route,
    Usage,
)
from gateway_async.errors import InvalidRequest, RateLimited


async def documented(client: AsyncGatewayClient) -> None:
    """The calls of the documented pages."""
    assert_type(client.gateway_uri, str)
    assert_type(await client.get_route("chat"), Route)
    assert_type(await client.search_routes(), PagedList[Route])
    assert_type(await client.search_routes(page_token="t"), PagedList[Route])
    assert_type((await client.search_routes()).token, str | None)
    assert_type((await client.search_routes())[0].model.provider, str)
    assert_type(await client.create_route("a", "llm/v1/chat", {"provider": "openai"}), Route)
    assert_type(await client.query("chat", {"messages": []}), dict[str, Any])
    assert_type(await client.set_limits("a", [{"calls": 1, "renewal_period": "minute"}]), LimitsConfig)
    assert_type(await client.get_limits("a"), LimitsConfig)
    assert_type(await client.health(), dict[str, Any])
    await client.delete_route("a")


async def typed(client: AsyncGatewayClient) -> None:
    """Schemas in, schemas out."""
    request = ChatRequest(
        messages=[ChatMessage(role="user", content="Hello")], temperature=0.5, tool_choice="auto"
    )
    answer = await client.chat("chat", request)
    assert_type(answer, ChatResponse)
    assert_type(answer.choices[0].message.content, str | list[dict[str, Any]] | None)
    assert_type(answer.choices[0].finish_reason, str | None)
    assert_type(answer.usage, Usage | None)
    assert_type(await client.chat("chat", {"messages": []}), ChatResponse)
    assert_type(await client.completions("c", CompletionRequest(prompt="Once")), CompletionResponse)
    assert_type(await client.embeddings("e", EmbeddingRequest(input=["a"])), EmbeddingResponse)
    assert_type((await client.embeddings("e", {"text": "a"})).data[0].embedding, list[float] | str)


async def streamed(client: AsyncGatewayClient, request: ChatRequest) -> None:
    """Chunk by chunk, in each of the three ways to open a stream."""
    async for raw in client.stream("chat", {"messages": []}):
        assert_type(raw, dict[str, Any])
    async with client.stream_chat("chat", request) as chunks:
        assert_type(chunks, AsyncStream[ChatChunk])
        async for chunk in chunks:
            assert_type(chunk, ChatChunk)
            assert_type(chunk.choices[0].delta.role, str | None)
    opened = await client.stream_completions("c", CompletionRequest(prompt="Once"))
    assert_type(opened, AsyncStream[CompletionChunk])
    await opened.aclose()


async def made() -> None:
    """Each way to have a client."""
    async with AsyncGatewayClient("http://localhost:5000", api_key="k", timeout=10, max_retries=0) as client:
        assert_type(client, AsyncGatewayClient)
    async with httpx.AsyncClient() as own:
        AsyncGatewayClient(http_client=own)
    assert_type(AsyncGatewayClient.local(), AsyncGatewayClient)
    AsyncGatewayClient.local("gateway.yaml")
    AsyncGatewayClient.local({"endpoints": []})


async def fluent() -> None:
    """The functions of the module."""
    gateway_async.set_gateway_uri("http://localhost:5000")
    assert_type(gateway_async.get_gateway_uri(), str)
    assert_type(await gateway_async.get_route("a"), Route)
    assert_type(await gateway_async.search_routes(), list[Route])
    assert_type(await gateway_async.query("a", {}), dict[str, Any])
    assert_type(await gateway_async.stream("a", {}), AsyncStream[dict[str, Any]])
    assert_type(await gateway_async.get_limits("a"), LimitsConfig)


async def failing(client: AsyncGatewayClient) -> None:
    """What an error knows."""
    try:
        await client.health()
    except RateLimited as limited:
        assert_type(limited.retry_after, float | None)
    except InvalidRequest as invalid:
        assert_type(invalid.detail, str | list[dict[str, Any]])
    except GatewayError as error:
        assert_type((error.status, error.error_code, error.message), tuple[int, str, str])


async def wrong(client: AsyncGatewayClient) -> None:
    """What a type checker must find: a mistake that is not reported here is an unused comment, and an error."""
    client.query("a", {})  # type: ignore[unused-coroutine]
    await client.query("a")  # type: ignore[call-arg]
    await client.query(5, {})  # type: ignore[arg-type]
    await client.get_route(route="a")  # type: ignore[call-arg]
    await client.chat("a", EmbeddingRequest(input="a"))  # type: ignore[arg-type]
    _text = (await client.chat("a", {})).choices[0].text  # type: ignore[attr-defined]
    for _ in client.stream("a", {}):  # type: ignore[attr-defined]
        pass
    AsyncGatewayClient("http://a", "key")  # type: ignore[call-arg]
    ChatMessage(content="Hello")  # type: ignore[call-arg]
