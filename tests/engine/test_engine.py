"""The engine between a caller and a provider: what goes upstream, what comes back, and what changes with a reload."""

import asyncio
import gc
import logging
import warnings
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.call import Answer
from gateway_async.config_file import load_config
from gateway_async.errors import InvalidRequest, NotSupported, RouteNotFound, UpstreamError
from gateway_async.gateway import PAGE_SIZE, Gateway
from tests.support.upstream import DONE, HOLD, MockUpstream, chat, delta, error, json_reply, stream

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
KEY = "sk-canary-1"


def configuration(url: str, **more: Any) -> dict[str, Any]:
    """Routes of every type to a mock upstream."""
    settings = {"openai_api_key": KEY, "openai_api_base": f"{url}/v1"}
    model = {"provider": "openai", "name": "gpt-mock", "config": settings}
    kinds = ("chat", "completions", "embeddings")
    return {"endpoints": [{"name": k, "endpoint_type": f"llm/v1/{k}", "model": model, **more} for k in kinds]}


async def test_what_was_not_sent_is_not_sent_upstream(upstream: MockUpstream) -> None:
    """Not even as null; what was is there as it was, and the model's name with it."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"default": None}}}
    data = {
        **HELLO,
        "temperature": 0,
        "stop": None,
        "tools": [tool],
        "vendor": {"a": None},
        "seed": 2**63 - 1,
    }
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        await client.query("chat", HELLO)
        await client.query("chat", data)

    plain, full = (request.json for request in upstream.received)
    assert plain == {"model": "gpt-mock", **HELLO}
    assert full == {
        "model": "gpt-mock",
        **HELLO,
        "temperature": 0,
        "tools": [tool],
        "vendor": {"a": None},
        "seed": 2**63 - 1,
    }


async def test_the_documented_text_goes_upstream_as_input(upstream: MockUpstream) -> None:
    """Which is what OpenAI knows."""
    upstream.reply(
        json_reply(
            {"object": "list", "model": "m", "data": [{"index": 0, "object": "embedding", "embedding": [1]}]}
        )
    )
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        await client.query("embeddings", {"text": ["a"]})

    assert upstream.received[0].json == {"model": "gpt-mock", "input": ["a"]}


async def test_what_the_upstream_adds_reaches_the_caller(upstream: MockUpstream) -> None:
    """Fields that no schema of ours has, in the answer and in chunks."""
    upstream.reply(chat("Hi", system_fingerprint="fp", of_tomorrow={"a": None}))
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        plain = await client.query("chat", HELLO)
        typed = await client.chat("chat", HELLO)
        upstream.reply(stream(delta("Hi", reasoning_content="…"), delta(finish="stop"), DONE))
        first, *_ = [chunk async for chunk in client.stream("chat", HELLO)]

    assert (plain["system_fingerprint"], plain["of_tomorrow"]) == ("fp", {"a": None})
    assert typed.model_dump()["of_tomorrow"] == {"a": None}
    assert first["choices"][0]["delta"] == {"content": "Hi", "reasoning_content": "…"}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(400, 400), (401, 502), (403, 502), (404, 404), (422, 422), (429, 429), (500, 502), (503, 503)],
)
async def test_an_upstream_s_refusal_keeps_its_status_where_it_is_the_caller_s(
    upstream: MockUpstream, theirs: int, ours: int
) -> None:
    """Its words are kept, our key in them is not; how long to wait is told."""
    upstream.reply(error(theirs, f"not with {KEY}", retry_after="7"))
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        for call in ("query", "chat"):
            with pytest.raises(UpstreamError, match="not with") as failed:
                await getattr(client, call)("chat", HELLO)
            assert failed.value.status == ours
            assert "canary" not in f"{failed.value!r} {failed.value.detail} {failed.value.body()}"
        with pytest.raises(UpstreamError) as failed:
            await client.stream("chat", HELLO)
    assert failed.value.status == ours
    assert failed.value.retry_after == (None if theirs in (401, 403) else 7)


async def test_a_stream_that_is_left_is_stopped_upstream(upstream: MockUpstream) -> None:
    """At once."""
    upstream.reply(stream(delta("Hi"), HOLD))
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        async with client.stream("chat", HELLO) as chunks:
            await anext(aiter(chunks))
        await asyncio.to_thread(upstream.left, upstream.received[0])


async def test_a_call_that_is_cancelled_is_stopped_upstream(upstream: MockUpstream) -> None:
    """So that nobody pays for an answer that nobody reads."""
    upstream.reply(chat(before=HOLD))
    async with AsyncGatewayClient.local(configuration(upstream.url)) as client:
        task = asyncio.create_task(client.query("chat", HELLO))
        request = await asyncio.to_thread(upstream.request)
        task.cancel()
        await asyncio.to_thread(upstream.left, request)
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_client_of_this_process_works_in_several_loops(upstream: MockUpstream) -> None:
    """Connections to providers belong to a loop; the next one makes its own."""
    client = AsyncGatewayClient.local(configuration(upstream.url))

    async def use() -> None:
        await client.query("chat", HELLO)
        await client.aclose()

    for _ in range(3):
        asyncio.run(use())
    assert len(upstream.received) == 3


def test_a_client_that_was_not_closed_works_in_the_next_loop(upstream: MockUpstream) -> None:
    """What is left of the loop before does no harm; its sockets are the garbage collector's, who warns of them."""
    client = AsyncGatewayClient.local(configuration(upstream.url))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(3):
            asyncio.run(client.query("chat", HELLO))
        asyncio.run(client.aclose())
        gc.collect()

    assert len(upstream.received) == 3


async def test_a_route_whose_type_its_provider_has_not_refuses_its_calls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other routes go on, and the log says why."""
    model = {"provider": "anthropic", "name": "m", "config": {"anthropic_api_key": KEY}}
    config = {"endpoints": [{"name": "old", "endpoint_type": "llm/v1/embeddings", "model": model}]}
    config["endpoints"] += [
        {"name": "chat", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}}
    ]
    with caplog.at_level(logging.WARNING):
        gateway = Gateway(load_config(config))

    assert "'anthropic' has no llm/v1/embeddings" in gateway.unserved()["old"]
    assert "the route 'old' is not served" in caplog.text
    with pytest.raises(NotSupported, match="'anthropic' has no llm/v1/embeddings"):
        await gateway.handle(gateway.find("old"), {"input": "Hi"})
    assert isinstance(await gateway.handle(gateway.find("chat"), dict(HELLO)), Answer)


async def test_a_reload_swaps_the_whole_table() -> None:
    """A call under way keeps what it started with."""
    first = {
        "endpoints": [
            {"name": "a", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline", "name": "one"}}
        ]
    }
    second = {
        "endpoints": [
            {"name": "b", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline", "name": "two"}}
        ]
    }
    async with Gateway(load_config(first)) as gateway:
        entry = gateway.find("a")
        gateway.serve(load_config(second).routes)

        with pytest.raises(RouteNotFound, match="'a'"):
            gateway.find("a")
        answer = await gateway.handle(entry, dict(HELLO))
        assert isinstance(answer, Answer)
        assert b'"one"' in answer.body
        assert [route.name for route in gateway.routes()[0]] == ["b"]


def test_routes_are_listed_page_by_page() -> None:
    """A page's end is told where there is more."""
    entries = [
        {"name": f"r{n}", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}}
        for n in range(PAGE_SIZE + 2)
    ]
    gateway = Gateway(load_config({"endpoints": entries}))

    page, following = gateway.routes()
    assert (len(page), following) == (PAGE_SIZE, PAGE_SIZE)
    assert [route.name for route in gateway.routes(PAGE_SIZE)[0]] == [f"r{PAGE_SIZE}", f"r{PAGE_SIZE + 1}"]
    assert gateway.routes(PAGE_SIZE)[1] is None
    assert gateway.routes(10**30) == ([], None)


async def test_embeddings_are_not_streamed() -> None:
    """The field is named."""
    gateway = Gateway(load_config(None))
    with pytest.raises(InvalidRequest, match="embeddings are not streamed"):
        await gateway.handle(gateway.find("embeddings"), {"input": "a", "stream": True})
