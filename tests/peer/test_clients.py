"""mlflow's clients drive our server, and our clients drive mlflow's."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import gateway_async
import gateway_sync
from tests.peer.harness import Gateway, Reply, Upstream, mlflow_clients
from tests.peer.openai_answers import CHAT, CHUNKS, COMPLETION, COMPLETION_FOR_MLFLOW, EMBEDDINGS, stream
from tests.peer.parity import assert_holds, without_nulls
from tests.peer.routes import LIMIT

HI = {"messages": [{"role": "user", "content": "Hi"}]}
ROUTE = {
    "name": "limited-chat",
    "model": {"name": "gpt-4o-mini", "provider": "openai"},
    "limit": {**LIMIT, "key": None},
}


def replies(completion: Any) -> dict[str, Reply]:
    """An upstream with an answer for each operation."""
    return {
        "chat/completions": Reply(CHAT),
        "embeddings": Reply(EMBEDDINGS),
        "completions": Reply(completion),
    }


# --- mlflow's clients on our server -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_ours(ours: Gateway, upstream: Upstream) -> dict[str, Any]:
    """What mlflow's clients make of our server."""
    upstream.reply(replies(COMPLETION))
    return mlflow_clients(ours)


@pytest.fixture(scope="module")
def on_theirs(theirs: Gateway, upstream: Upstream) -> dict[str, Any]:
    """What mlflow's clients make of mlflow's server."""
    upstream.reply(replies(COMPLETION_FOR_MLFLOW))
    return mlflow_clients(theirs)


ROUTES = [
    "get_route",
    "search_routes",
    "search_routes, token",
    "search_routes, from the fourth",
    "fluent get_route",
    "fluent search_routes",
    "list_endpoints",
    "get_endpoint",
    "create_route",
]


@pytest.mark.parametrize("call", ROUTES)
def test_mlflows_clients_find_the_same_routes(
    call: str, on_ours: dict[str, Any], on_theirs: dict[str, Any], ours: Gateway, theirs: Gateway
) -> None:
    """Routes and endpoints, all fields of them, with addresses on our server."""
    assert _elsewhere(on_ours[call], ours.url) == _elsewhere(on_theirs[call], theirs.url)


def _elsewhere(value: Any, url: str) -> Any:
    """The value with another address for the gateway's."""
    if isinstance(value, dict):
        return {key: _elsewhere(part, url) for key, part in value.items()}
    if isinstance(value, list):
        return [_elsewhere(part, url) for part in value]
    return value.replace(url, "http://gateway") if isinstance(value, str) else value


def test_mlflows_clients_get_absolute_addresses(on_ours: dict[str, Any], ours: Gateway) -> None:
    """The client puts its own base before the path that the server tells."""
    route = {
        **ROUTE,
        "route_type": "llm/v1/chat",
        "route_url": f"{ours.url}/gateway/limited-chat/invocations",
    }
    endpoint = {**ROUTE, "endpoint_type": "llm/v1/chat"}

    assert on_ours["get_route"]["value"] == route
    assert_holds(on_ours["get_endpoint"]["value"], endpoint)
    assert on_ours["get_endpoint"]["value"]["endpoint_url"].startswith(f"{ours.url}/")


ANSWERS = {
    "query, chat": CHAT,
    "fluent query": CHAT,
    "predict": CHAT,
    "query, completions": COMPLETION,
    "query, embeddings": EMBEDDINGS,
    "query, text": EMBEDDINGS,
}


@pytest.mark.parametrize(("call", "answer"), ANSWERS.items(), ids=list(ANSWERS))
def test_mlflows_clients_get_the_answer(call: str, answer: dict[str, Any], on_ours: dict[str, Any]) -> None:
    """The upstream's answer in full, for each kind of route, and for the documented `text`."""
    assert without_nulls(on_ours[call]["value"]) == without_nulls(answer)


@pytest.mark.parametrize(
    "call", ["query, chat", "fluent query", "predict", "query, completions", "query, embeddings"]
)
def test_mlflows_clients_miss_nothing_of_mlflows_answer(
    call: str, on_ours: dict[str, Any], on_theirs: dict[str, Any]
) -> None:
    """Every field that mlflow's server answers is in our answer."""
    assert_holds(on_ours[call]["value"], without_nulls(on_theirs[call]["value"]))


REFUSALS = {
    "get_route, unknown": (404, "nobody"),
    "get_endpoint, unknown": (404, "nobody"),
    "query, unknown": (404, "nobody"),
    "predict, unknown": (404, "nobody"),
    "query, invalid": (422, "messages"),
    "query, model": (422, "model"),
    "search_routes, bad token": (400, "token"),
}


@pytest.mark.parametrize(("call", "expected"), REFUSALS.items(), ids=list(REFUSALS))
def test_mlflows_clients_raise_with_our_reason(
    call: str, expected: tuple[int, str], on_ours: dict[str, Any]
) -> None:
    """The class that mlflow's own server makes them raise, our status, our sentence."""
    status, word = expected

    assert on_ours[call]["raises"] == "HTTPError"
    assert on_ours[call]["says"].startswith(f"{status} Client Error")
    assert word in on_ours[call]["says"].partition("Response text:")[2]


def test_mlflows_client_sets_limits_here(on_ours: dict[str, Any], on_theirs: dict[str, Any]) -> None:
    """With an admin's key where it has its token; mlflow's own server answers 501."""
    for call in ("set_limits", "get_limits"):
        assert on_theirs[call]["says"].startswith("501")
        assert on_ours[call] == {"value": {"limits": [{"calls": 1, "key": None, "renewal_period": "hour"}]}}


# --- our clients on mlflow's server -----------------------------------------------------------------------------


@pytest.fixture
def mlflows(theirs: Gateway, upstream: Upstream) -> str:
    """The address of mlflow's server, with an upstream that answers."""
    upstream.reply(replies(COMPLETION_FOR_MLFLOW))
    return theirs.url


@pytest.fixture
def client(mlflows: str) -> Iterator[gateway_sync.MlflowGatewayClient]:
    """Our blocking client."""
    with gateway_sync.MlflowGatewayClient(mlflows) as client:
        yield client


def test_our_client_finds_mlflows_routes(client: gateway_sync.MlflowGatewayClient, mlflows: str) -> None:
    """Single, listed, and from a token on, with absolute addresses."""
    route = client.get_route("limited-chat")
    routes = client.search_routes()

    assert route.route_url == f"{mlflows}/gateway/limited-chat/invocations"
    assert_holds(route.model_dump(), {**ROUTE, "route_type": "llm/v1/chat"})
    assert route in routes
    assert routes.token is None
    assert client.search_routes(page_token="eyJpbmRleCI6IDN9") == routes[3:]


def test_our_client_gets_mlflows_answers(client: gateway_sync.MlflowGatewayClient) -> None:
    """Chat, completions and embeddings."""
    chat = client.query("openai-chat", HI)
    completion = client.query("openai-completions", {"prompt": "Hi"})
    embeddings = client.query("openai-embeddings", {"input": ["Hi"]})

    assert chat["choices"][0]["message"]["content"] == "Hello"
    assert completion["choices"][0]["text"] == " world"
    assert embeddings["data"] == EMBEDDINGS["data"]


def test_our_client_streams_from_mlflows_server(
    client: gateway_sync.MlflowGatewayClient, upstream: Upstream
) -> None:
    """A stream that ends without `[DONE]` is complete."""
    upstream.reply(stream(*CHUNKS))

    with client.stream("openai-chat", HI) as chunks:
        text = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks]

    assert text == ["", "Hel", "lo", ""]


@pytest.mark.parametrize(
    ("call", "status", "code", "says"),
    [
        (
            lambda client: client.get_route("nobody"),
            404,
            "RESOURCE_DOES_NOT_EXIST",
            "'nobody' is not present",
        ),
        (lambda client: client.query("nobody", HI), 404, "RESOURCE_DOES_NOT_EXIST", "Not Found"),
        (lambda client: client.query("openai-chat", {"messages": []}), 422, None, "at least 1 item"),
        (lambda client: client.get_limits("openai-chat"), 501, None, "not available yet"),
    ],
    ids=["no-route", "no-query", "invalid", "no-limits"],
)
def test_our_client_raises_with_mlflows_reason(
    call: Any, status: int, code: str | None, says: str, client: gateway_sync.MlflowGatewayClient
) -> None:
    """The status's error code and the server's own detail."""
    with pytest.raises(gateway_sync.MlflowException) as refused:
        call(client)

    assert refused.value.get_http_status_code() == status
    assert code in (None, refused.value.error_code)
    assert says in str(refused.value)


@pytest.mark.parametrize("name", ["create_route", "delete_route"])
def test_our_client_says_that_mlflows_server_makes_no_routes(
    name: str, client: gateway_sync.MlflowGatewayClient
) -> None:
    """The documented exception, naming the call."""
    arguments: tuple[Any, ...] = ("new", "llm/v1/chat", {}) if name == "create_route" else ("openai-chat",)

    with pytest.raises(gateway_sync.MlflowException, match=name):
        getattr(client, name)(*arguments)


def test_our_fluent_functions_drive_mlflows_server(mlflows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's functions, with the address from the environment."""
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", mlflows)

    assert gateway_sync.get_gateway_uri() == mlflows
    assert gateway_sync.get_route("openai-chat").name == "openai-chat"
    assert gateway_sync.search_routes()[0].name == "openai-chat"
    assert gateway_sync.query("openai-chat", HI)["choices"][0]["message"]["content"] == "Hello"


def test_our_async_client_drives_mlflows_server(mlflows: str, upstream: Upstream) -> None:
    """The same calls, awaited, and a stream."""

    async def drive() -> None:
        async with gateway_async.AsyncGatewayClient(mlflows) as client:
            assert (
                await client.get_route("openai-chat")
            ).route_url == f"{mlflows}/gateway/openai-chat/invocations"
            assert (await client.search_routes())[0].name == "openai-chat"
            assert (await client.query("openai-chat", HI))["choices"][0]["message"]["content"] == "Hello"
            with pytest.raises(gateway_async.GatewayError, match="nobody"):
                await client.get_route("nobody")
            upstream.reply(stream(*CHUNKS))
            async with client.stream("openai-chat", HI) as chunks:
                text = [chunk["choices"][0]["delta"].get("content") or "" async for chunk in chunks]
            assert text == ["", "Hel", "lo", ""]

    asyncio.run(drive())


def test_our_async_fluent_functions_drive_mlflows_server(
    mlflows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The async module's functions, with the address from the environment."""
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", mlflows)

    async def drive() -> None:
        assert (await gateway_async.get_route("openai-chat")).name == "openai-chat"
        assert (await gateway_async.search_routes())[0].name == "openai-chat"
        assert (await gateway_async.query("openai-chat", HI))["choices"][0]["message"]["content"] == "Hello"

    asyncio.run(drive())
