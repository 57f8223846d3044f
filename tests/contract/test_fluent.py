"""The documented functions of the module: as coroutines in `gateway_async`, blocking in `gateway_sync`."""

import asyncio
import functools
import gc
import inspect
import subprocess
import sys
import textwrap
from typing import Any

import anyio.to_thread
import pytest

import gateway_async
import gateway_sync
from gateway_async import ChatChunk, GatewayError
from gateway_async.errors import RouteNotFound, Unauthenticated
from tests.contract.conftest import ROUTES
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of
from tests.support.server import Server, environment
from tests.support.upstream import json_reply, words

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
OK = json_reply({"id": "x", "choices": []})


class Fluent:
    """The functions of a package, all awaited."""

    def __init__(self, package: Any) -> None:
        self.package = package

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.package, name)
        if inspect.iscoroutinefunction(function) or name.endswith("_uri"):
            return function
        return lambda *args, **kwargs: anyio.to_thread.run_sync(functools.partial(function, *args, **kwargs))


@pytest.fixture(params=[gateway_async, gateway_sync], ids=["async", "blocking"])
def fluent(request: pytest.FixtureRequest) -> Fluent:
    """The functions."""
    return Fluent(request.param)


async def test_the_functions_call_the_gateway_that_is_set(fluent: Fluent, server: Server) -> None:
    """The documented examples, one after the other."""
    fluent.set_gateway_uri(gateway_uri=server.url)

    assert (await fluent.get_route("chat")).route_url == f"{server.url}/gateway/chat/invocations"
    answer = await fluent.query("chat", {"messages": [{"role": "user", "content": "Hello"}]})
    assert answer["choices"][0]["message"]["content"] == "You said: Hello"
    answer = await fluent.query(
        "completions", {"prompt": "Where do we go from", "temperature": 0.6, "max_tokens": 4}
    )
    assert answer["usage"]["completion_tokens"] == 4
    answer = await fluent.query("embeddings", {"text": ["I like spaghetti", "and sushi", "but not together"]})
    assert len(answer["data"]) == 3


async def test_all_pages_of_routes_are_fetched(fluent: Fluent, server: Server) -> None:
    """The result is a plain list of every route."""
    fluent.set_gateway_uri(server.url)

    routes = await fluent.search_routes()

    assert type(routes) is list
    assert len(routes) == len({route.name for route in routes}) == ROUTES


async def test_what_the_gateway_refuses_is_raised(fluent: Fluent, server: Server) -> None:
    """As the client raises it."""
    fluent.set_gateway_uri(server.url)

    with pytest.raises(RouteNotFound):
        await fluent.get_route("nothing")
    with pytest.raises(RouteNotFound):
        await fluent.get_limits("nothing")
    with pytest.raises(Unauthenticated):
        await fluent.create_route("my-route", route_type="llm/v1/chat", model={"provider": "offline"})
    with pytest.raises(Unauthenticated):
        await fluent.update_route("chat", {"model": {"name": "other"}})
    with pytest.raises(Unauthenticated):
        await fluent.delete_route("chat")
    with pytest.raises(Unauthenticated):
        await fluent.set_limits("chat", [{"key": "user", "renewal_period": "minute", "calls": 50}])


async def test_without_an_address_every_function_says_so(fluent: Fluent) -> None:
    """And how to set one."""
    calls = [
        fluent.get_route("r"),
        fluent.search_routes(),
        fluent.create_route("r"),
        fluent.update_route("r", {}),
        fluent.delete_route("r"),
        fluent.query("r", {}),
        fluent.stream("r", {}),
        fluent.set_limits("r", []),
        fluent.get_limits("r"),
    ]
    for call in calls:
        with pytest.raises(GatewayError, match="set_gateway_uri"):
            await call


async def test_a_change_of_the_address_takes_effect(
    fluent: Fluent, fake: FakeGateway, server: Server
) -> None:
    """From the next call on."""
    fake.answer(OK)
    fluent.set_gateway_uri(server.url)
    assert (await fluent.query("chat", HELLO))["choices"] != []

    fluent.set_gateway_uri(fake.url)
    assert await fluent.query("chat", HELLO) == {"id": "x", "choices": []}


async def test_a_change_of_the_key_takes_effect(
    fluent: Fluent, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook may set it late."""
    fake.answer(OK)
    fluent.set_gateway_uri(fake.url)
    await fluent.query("chat", HELLO)
    for key in ("first", "second"):
        monkeypatch.setenv("GATEWAY_API_KEY", key)
        await fluent.query("chat", HELLO)

    found = [request.headers.get("authorization") for request in fake.received]
    assert found == [None, "Bearer first", "Bearer second"]


async def test_calls_share_connections(fluent: Fluent, fake: FakeGateway) -> None:
    """One client serves all calls."""
    fake.answer(OK)
    fluent.set_gateway_uri(fake.url)

    for _ in range(5):
        await fluent.query("chat", HELLO)

    assert (fake.count, fake.connections) == (5, 1)


async def test_an_answer_can_be_streamed(server: Server) -> None:
    """`await stream(…)` opens it; a refusal shows there."""
    gateway_async.set_gateway_uri(server.url)

    async with await gateway_async.stream("chat", HELLO) as chunks:
        said = [ChatChunk.model_validate(chunk) async for chunk in chunks]
    assert "".join(str(chunk.choices[0].delta.content or "") for chunk in said) == "You said: Hello"

    with pytest.raises(RouteNotFound):
        await gateway_async.stream("nothing", HELLO)


async def test_a_stream_goes_on_when_the_address_changes(fake: FakeGateway, server: Server) -> None:
    """Who began with one gateway ends with it."""
    fake.answer(words("one", "two", pace=0.1))
    gateway_async.set_gateway_uri(fake.url)
    chunks = await gateway_async.stream("chat", HELLO)

    gateway_async.set_gateway_uri(server.url)
    await gateway_async.query("chat", HELLO)
    gc.collect()

    assert len(await all_of(chunks)) == 3


def test_the_functions_work_in_several_loops(fake: FakeGateway) -> None:
    """Each loop has its own connections, which end with it: nothing is left to warn about."""
    fake.answer(OK)
    gateway_async.set_gateway_uri(fake.url)

    for _ in range(3):
        asyncio.run(gateway_async.query("chat", HELLO))

    assert (fake.count, fake.connections) == (3, 3)
    fake.nobody_is_connected()


def test_retries_of_the_functions_are_the_client_s(fake: FakeGateway) -> None:
    """They are calls of the client."""
    fake.answer(refused(503, retry_after="0"), OK)
    gateway_async.set_gateway_uri(fake.url)

    asyncio.run(gateway_async.query("chat", HELLO))

    assert fake.count == 2


@pytest.mark.parametrize(
    "program",
    [
        """
        import asyncio, gateway_async
        asyncio.run(gateway_async.query("chat", {"messages": [{"role": "user", "content": "Hi"}]}))
        """,
        """
        import asyncio, gateway_async
        client = gateway_async.AsyncGatewayClient()
        asyncio.run(client.health())
        """,
        """
        import asyncio, gateway_async
        async def main():
            await gateway_async.AsyncGatewayClient().health()
            async for chunk in await gateway_async.stream("chat", {"messages": [{"role": "user", "content": "Hi"}]}):
                break
        asyncio.run(main())
        """,
        """
        import gateway_sync
        gateway_sync.query("chat", {"messages": [{"role": "user", "content": "Hi"}]})
        gateway_sync.GatewayClient().health()
        """,
    ],
    ids=["functions", "a client that is not closed", "a stream that is not closed", "blocking"],
)
def test_a_program_that_closes_nothing_ends_without_a_warning(server: Server, program: str) -> None:
    """No socket, transport or loop is reported as left open."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env=environment({"MLFLOW_GATEWAY_URI": server.url}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
