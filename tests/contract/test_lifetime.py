"""How long connections live, and where: pools of the caller's, pickles, several event loops, clients that nobody closes."""

import asyncio
import gc
import pickle
from typing import Any

import httpx
import pytest

from gateway_async import AsyncGatewayClient, GatewayError, set_gateway_uri
from gateway_sync import MlflowGatewayClient
from tests.contract.conftest import CONFIG
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of
from tests.support.server import Server
from tests.support.upstream import chat, json_reply

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
OK = json_reply({"status": "OK"})
CANARY = "sk-canary-1234567890"


class Recorded(httpx.AsyncBaseTransport):
    """A transport of the caller's, which answers by itself."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Record the request."""
        self.requests.append(request)
        return httpx.Response(200, json={"status": "OK"})

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


async def test_an_own_httpx_client_is_used_and_not_closed() -> None:
    """Its proxies, certificates and headers are the caller's business, and so is its end."""
    transport = Recorded()
    own = httpx.AsyncClient(transport=transport, headers={"x-mine": "1"})
    async with AsyncGatewayClient("http://gateway.example", http_client=own, api_key="k") as client:
        assert await client.health() == {"status": "OK"}

    assert not own.is_closed
    assert not transport.closed
    (request,) = transport.requests
    assert (request.headers["x-mine"], request.headers["authorization"]) == ("1", "Bearer k")
    await own.aclose()


async def test_a_client_works_again_after_it_was_closed(fake: FakeGateway) -> None:
    """The pool opens again."""
    fake.answer(OK)
    client = AsyncGatewayClient(fake.url)
    for _ in range(2):
        assert await client.health()
        await client.aclose()
        await client.aclose()


async def test_a_client_that_nobody_holds_any_more_closes_its_connections(fake: FakeGateway) -> None:
    """A service that makes one for each request must not run out of sockets."""
    fake.answer(chat())
    for _ in range(3):
        await AsyncGatewayClient(fake.url).query("chat", HELLO)
    gc.collect()

    assert (fake.count, fake.connections) == (3, 3)
    await asyncio.to_thread(fake.nobody_is_connected)  # the loop here goes on: it is what closes them


async def test_connections_are_kept_for_the_next_call(fake: FakeGateway) -> None:
    """Calls one after the other need one connection."""
    fake.answer(chat())
    async with AsyncGatewayClient(fake.url) as client:
        for _ in range(5):
            await client.query("chat", HELLO)
    assert fake.connections == 1


@pytest.mark.parametrize("make", [AsyncGatewayClient, MlflowGatewayClient])
def test_a_client_can_be_pickled(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address travels, also one that came from the environment of here."""
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", "http://here:1")
    sent = pickle.dumps(make(timeout=7))
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", "http://there:2")

    assert pickle.loads(sent).gateway_uri == "http://here:1"


@pytest.mark.parametrize("make", [AsyncGatewayClient, MlflowGatewayClient])
async def test_a_pickled_client_keeps_its_settings(make: Any, fake: FakeGateway) -> None:
    """Key, timeout and retries."""
    fake.answer(refused(503, retry_after="0"))
    copy = pickle.loads(pickle.dumps(make(fake.url, api_key=CANARY, max_retries=1)))

    with pytest.raises(GatewayError):
        await copy.health() if make is AsyncGatewayClient else copy.health()

    assert [request.headers["authorization"] for request in fake.received] == [f"Bearer {CANARY}"] * 2
    await copy.aclose() if make is AsyncGatewayClient else copy.close()


async def test_a_client_of_this_process_can_be_pickled() -> None:
    """Its configuration travels, keys and all."""
    config = {"endpoints": CONFIG["endpoints"][:1]}
    client = pickle.loads(pickle.dumps(AsyncGatewayClient.local(config)))

    assert (await client.query("chat", HELLO))["choices"]


async def test_a_client_with_a_borrowed_pool_can_not_be_pickled() -> None:
    """The message says why."""
    async with httpx.AsyncClient() as own:
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(AsyncGatewayClient("http://a", http_client=own))


def test_a_client_shows_no_key() -> None:
    """Not in its repr."""
    client = AsyncGatewayClient("http://a", api_key=CANARY)

    assert CANARY not in f"{client!r} {client}"


def test_a_client_works_in_several_event_loops(server: Server) -> None:
    """One after the other, as in a notebook or in tests; each loop has connections of its own."""
    client = AsyncGatewayClient(server.url)

    async def use() -> None:
        assert (await client.query("chat", HELLO))["choices"]
        assert await all_of(client.stream("chat", HELLO))
        await client.aclose()

    for _ in range(3):
        asyncio.run(use())


def test_a_client_that_was_not_closed_works_in_the_next_loop(server: Server) -> None:
    """What is left of the loop before does no harm."""
    client = AsyncGatewayClient(server.url)

    for _ in range(3):
        assert asyncio.run(client.query("chat", HELLO))["choices"]
    asyncio.run(client.aclose())


def test_a_client_in_two_loops_at_once(server: Server) -> None:
    """Two threads, each with its loop, share one client."""
    import threading

    client = AsyncGatewayClient(server.url)
    answers: list[Any] = []

    def use() -> None:
        async def ask() -> None:
            for _ in range(5):
                answers.append(await client.query("chat", HELLO))

        asyncio.run(ask())

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 10
    asyncio.run(client.aclose())


def test_the_set_address_is_taken_when_the_client_is_made(fake: FakeGateway) -> None:
    """A later change is for later clients."""
    set_gateway_uri(fake.url)
    client = AsyncGatewayClient()
    set_gateway_uri("http://other")
    fake.answer(OK)

    assert asyncio.run(_health(client)) == {"status": "OK"}


async def _health(client: AsyncGatewayClient) -> Any:
    async with client:
        return await client.health()
