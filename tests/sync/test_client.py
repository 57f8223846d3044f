"""The blocking client as its users call it: against a gateway in this process, and over HTTP."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway_async import address
from gateway_sync import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    MlflowGatewayClient,
    fluent,
    query,
    search_routes,
    set_gateway_uri,
    stream,
)
from gateway_sync._bridge import run
from gateway_sync.errors import ClientError, ConfigError, ConnectionFailed, RateLimited, RouteNotFound
from tests.sync.gateway import Gateway, gateway

CONFIG: dict[str, Any] = {
    "endpoints": [
        {"name": kind, "endpoint_type": f"llm/v1/{kind}", "model": {"provider": "offline", "name": "echo"}}
        for kind in ("chat", "completions", "embeddings")
    ]
}
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Good morning"}]}


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address or key of this machine's user takes part."""
    for name in "MLFLOW_GATEWAY_URI", "GATEWAY_API_KEY":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(address, "_address", None)


@pytest.fixture(scope="module")
def local() -> Iterator[MlflowGatewayClient]:
    """A client whose gateway runs in this process."""
    with MlflowGatewayClient.local(CONFIG) as client:
        yield client


@pytest.fixture
def server() -> Iterator[Gateway]:
    """A gateway behind a real socket."""
    with gateway() as server:
        yield server


# In this process


def test_a_query_gives_the_routes_answer(local: MlflowGatewayClient) -> None:
    """Of each type, in the standard shape."""
    chat = local.query("chat", HELLO)
    completion = local.query("completions", {"prompt": "Once upon a time"})
    embeddings = local.query("embeddings", {"text": ["one", "two"]})

    assert "Good morning" in chat["choices"][0]["message"]["content"]
    assert "Once upon a time" in completion["choices"][0]["text"]
    assert len(embeddings["data"]) == 2


def test_a_stream_gives_the_answer_in_chunks(local: MlflowGatewayClient) -> None:
    """Together they are the answer of the query."""
    words = [
        choice["delta"].get("content") or ""
        for chunk in local.stream("chat", HELLO)
        for choice in chunk["choices"]
    ]

    assert len(words) > 2
    assert "".join(words) == local.query("chat", HELLO)["choices"][0]["message"]["content"]


def test_typed_calls_take_and_give_schemas(local: MlflowGatewayClient) -> None:
    """Each call of a type, whole and streamed."""
    request, prompt = ChatRequest.model_validate(HELLO), CompletionRequest(prompt="Once")

    said = local.chat("chat", request).choices[0].message.content
    words = [str(chunk.choices[0].delta.content or "") for chunk in local.stream_chat("chat", request)]
    assert "".join(words) == said

    text = local.completions("completions", prompt).choices[0].text
    pieces = [chunk.choices[0].text or "" for chunk in local.stream_completions("completions", prompt)]
    assert "".join(pieces) == text

    assert local.embeddings("embeddings", EmbeddingRequest(input="one")).data[0].index == 0


def test_routes_can_be_looked_up(local: MlflowGatewayClient) -> None:
    """One by its name, all in pages."""
    assert local.health() == {"status": "OK"}
    assert local.get_route("chat").route_type == "llm/v1/chat"
    page = local.search_routes()
    assert [route.name for route in page] == ["chat", "completions", "embeddings"]
    assert page.token is None
    assert local.gateway_uri == "local"


def test_a_refusal_is_raised(local: MlflowGatewayClient) -> None:
    """From a query, and from a stream at the call."""
    with pytest.raises(RouteNotFound):
        local.query("nowhere", HELLO)
    with pytest.raises(RouteNotFound):
        local.stream("nowhere", HELLO)


def test_routes_and_limits_of_a_gateway_of_one_s_own_change(local: MlflowGatewayClient) -> None:
    """The documented calls, for as long as the client lives."""
    local.create_route("new", "llm/v1/chat", {"provider": "offline", "name": "echo"})
    local.set_limits("new", [{"calls": 0, "renewal_period": "minute"}])
    with pytest.raises(RateLimited, match="closed"):
        local.query("new", HELLO)
    local.delete_route("new")

    with pytest.raises(RouteNotFound):
        local.get_route("new")


def test_many_threads_call_at_once(local: MlflowGatewayClient) -> None:
    """One client serves them all, queries and streams mixed."""

    def ask(number: int) -> bool:
        data = {"messages": [{"role": "user", "content": f"number {number}"}]}
        if number % 2:
            return f"number {number}" in local.query("chat", data)["choices"][0]["message"]["content"]
        words = [chunk["choices"][0]["delta"].get("content") or "" for chunk in local.stream("chat", data)]
        return f"number {number}" in "".join(words)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


async def test_a_running_event_loop_does_not_matter(local: MlflowGatewayClient) -> None:
    """In a notebook, whose cells run in a loop, the client works as in a script."""
    assert local.query("chat", HELLO)["choices"]
    assert list(local.stream("chat", HELLO))


# Over HTTP


def test_one_client_keeps_its_connection(server: Gateway) -> None:
    """Calls one after the other do not connect again."""
    with MlflowGatewayClient(server.url) as client:
        assert len({client.query("chat", {})["connection"] for _ in range(5)}) == 1


def test_a_closed_client_opens_again(server: Gateway) -> None:
    """`close` lets go of the connections; it does not forbid a call."""
    client = MlflowGatewayClient(server.url)
    before = client.query("chat", {})["connection"]

    client.close()
    client.close()

    assert client.query("chat", {})["connection"] != before
    client.close()


def test_leaving_a_stream_hangs_up(server: Gateway) -> None:
    """The gateway sees it, and can stop the answer upstream."""
    with MlflowGatewayClient(server.url) as client:
        with client.stream("chat", {"n": 2, "hold_at": 1}) as chunks:
            assert next(chunks) == {"i": 0}

        assert server.left.wait(40)


def test_dropping_a_stream_hangs_up(server: Gateway) -> None:
    """As does whoever leaves the loop over it."""
    client = MlflowGatewayClient(server.url)
    for _ in client.stream("chat", {"n": 2, "hold_at": 1}):
        break

    assert server.left.wait(40)


def test_a_stream_outlives_the_variable_of_its_client(server: Gateway) -> None:
    """`for chunk in MlflowGatewayClient(…).stream(…)` gives all."""
    chunks = MlflowGatewayClient(server.url).stream("chat", {"n": 3, "hold_at": 2})
    assert [next(chunks), next(chunks)] == [{"i": 0}, {"i": 1}]

    server.release.set()

    assert list(chunks) == [{"i": 2}]


def test_a_stream_is_refused_at_the_call(server: Gateway) -> None:
    """The gateway's status is the error's."""
    with MlflowGatewayClient(server.url) as client, pytest.raises(RouteNotFound):
        client.stream("nowhere", {"n": 1})


def test_an_httpx_client_of_ones_own_is_used_and_left_open(server: Gateway) -> None:
    """It lives on the loop thread, where several blocking clients may share it."""
    own = httpx.AsyncClient(headers={"x-mine": "1"})
    with (
        MlflowGatewayClient(server.url, http_client=own) as one,
        MlflowGatewayClient(server.url, http_client=own) as two,
    ):
        assert one.query("chat", {})["connection"] == two.query("chat", {})["connection"]

    assert not own.is_closed
    run(own.aclose)


def test_nobody_there_is_an_error_of_the_client() -> None:
    """Also of the first call of all."""
    with gateway() as server:
        url = server.url
    with MlflowGatewayClient(url, max_retries=0) as client, pytest.raises(ConnectionFailed):
        client.health()
    assert issubclass(ConnectionFailed, ClientError)


def test_no_address_is_an_error_that_says_how_to_set_one() -> None:
    """At the client, and at each function."""
    for call in MlflowGatewayClient, search_routes, lambda: query("chat", {}):
        with pytest.raises(ConfigError, match="set_gateway_uri"):
            call()


# The functions


def test_the_functions_call_the_gateway_that_is_set(server: Gateway) -> None:
    """Over one connection, also from several threads; after a change, over another."""
    set_gateway_uri(server.url)
    connections = [query("chat", {})["connection"] for _ in range(3)]
    thread = threading.Thread(target=lambda: connections.append(query("chat", {})["connection"]))
    thread.start()
    thread.join()
    assert len(set(connections)) == 1

    with gateway() as other:
        fluent.set_gateway_uri(other.url)
        assert query("release", {})["data"] == {}
        assert other.release.is_set()
        assert not server.release.is_set()


def test_a_stream_goes_on_when_the_address_changes(server: Gateway) -> None:
    """What is under way keeps its client until it has ended."""
    set_gateway_uri(server.url)
    chunks = stream("chat", {"n": 3, "hold_at": 1})
    with gateway() as other:
        set_gateway_uri(other.url)
        query("chat", {})
        server.release.set()

        assert [chunk["i"] for chunk in chunks] == [0, 1, 2]


def test_a_key_that_changes_is_sent(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions look at the environment at each call."""
    set_gateway_uri(server.url)
    first = query("chat", {})["connection"]

    monkeypatch.setenv("GATEWAY_API_KEY", "new")

    assert query("chat", {})["connection"] != first
