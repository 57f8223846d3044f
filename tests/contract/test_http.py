"""What goes over HTTP: keys, paths, bodies, and what becomes of an error or of an answer that no gateway gives."""

import json
from typing import Any

import httpx
import pytest

from gateway_async import AsyncGatewayClient, ChatRequest, GatewayError
from gateway_async.errors import (
    ConfigError,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    RouteNotFound,
)
from gateway_sync import MlflowGatewayClient
from tests.contract.conftest import Connect
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of, make
from tests.support.upstream import CUT, Reply, chat, json_reply, words

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
OK = json_reply({"status": "OK"})
CANARY = "sk-canary-1234567890"


@pytest.mark.parametrize("given", [{"api_key": CANARY}, None])
async def test_the_key_is_sent_as_a_bearer_token(
    connect: Connect, fake: FakeGateway, given: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is given, else the environment's; at every call, also of a stream."""
    monkeypatch.setenv("GATEWAY_API_KEY", "of-the-environment" if given else f"{CANARY}\n")
    client = connect(fake.url, **(given or {}))
    fake.answer(OK, chat(), words("Hello"))

    await client.health()
    await client.query("chat", HELLO)
    await all_of(client.stream("chat", HELLO))

    assert [request.headers["authorization"] for request in fake.received] == [f"Bearer {CANARY}"] * 3


async def test_without_a_key_none_is_sent(connect: Connect, fake: FakeGateway) -> None:
    """Not an empty one either."""
    fake.answer(OK)

    await connect(fake.url).health()

    assert "authorization" not in fake.received[0].headers


@pytest.mark.parametrize("key", [f"{CANARY}\nX-Other: 1", f"{CANARY}é", f"{CANARY}\x00"])
async def test_a_key_that_no_header_can_carry_is_refused(connect: Connect, key: str) -> None:
    """At once, and without repeating it."""
    with pytest.raises(ConfigError, match="key") as refusal:
        connect("http://localhost:1", api_key=key)

    assert "canary" not in repr(refusal.value) + str(refusal.value)


async def test_a_key_does_not_show_in_an_error(connect: Connect, fake: FakeGateway) -> None:
    """Neither the client's key nor a password in its address, whatever goes wrong."""
    problems: list[str] = []
    for reply in (
        refused(401),
        Reply(b"<html>"),
        Reply(before=CUT),
        Reply(b"\x00", 302, headers={"location": "/x"}),
    ):
        fake.answer(reply)
        with pytest.raises(GatewayError) as failed:
            await connect(fake.url.replace("//", "//somebody:canary@"), api_key=CANARY).query("chat", HELLO)
        problems.append(f"{failed.value} {failed.value!r} {failed.value.detail}")
    with pytest.raises(GatewayError) as failed:
        await connect("http://somebody:canary@127.0.0.1:x", api_key=CANARY).health()
    problems.append(str(failed.value))

    assert "canary" not in "".join(problems)


async def test_what_is_not_set_is_not_sent(connect: Connect, fake: FakeGateway) -> None:
    """A schema sends what its maker set, and no defaults; vendors' own fields too."""
    fake.answer(chat())
    request = ChatRequest.model_validate({**HELLO, "temperature": 0, "top_k": 5, "stop": None})

    await connect(fake.url).chat("chat", request)

    assert fake.received[0].json == {**HELLO, "temperature": 0, "top_k": 5, "stop": None}


async def test_the_documented_paths_are_called(connect: Connect, fake: FakeGateway) -> None:
    """With the prefix of a mount before them, and names escaped."""
    fake.answer(json_reply({"limits": []}))
    client = connect(f"{fake.url}/some/prefix/")

    await client.health()
    await client.query("a b/c", HELLO)
    await client.get_limits("r")
    await client.set_limits("r", [])
    await client.delete_route("r")

    assert [request.path.removeprefix("/some/prefix") for request in fake.received] == [
        "/health",
        "/gateway/a%20b%2Fc/invocations",
        "/api/2.0/gateway/limits/r",
        "/api/2.0/gateway/limits/",
        "/api/2.0/gateway/routes/r",
    ]
    assert fake.received[3].json == {"route": "r", "limits": []}


async def test_routes_and_limits_that_a_gateway_makes_are_returned(
    connect: Connect, fake: FakeGateway
) -> None:
    """Against Databricks, or a gateway of ours that offers them."""
    limit = {"calls": 50, "key": "user", "renewal_period": "minute"}
    made = {
        "name": "r",
        "route_type": "llm/v1/chat",
        "model": {"provider": "new"},
        "route_url": "/gateway/r/invocations",
    }
    client = connect(fake.url)

    fake.answer(json_reply({**made, "of_tomorrow": True}))
    route = await client.create_route("r", "llm/v1/chat", {"provider": "openai"})
    assert route.route_url == f"{fake.url}/gateway/r/invocations"
    assert fake.received[0].json == {
        "name": "r",
        "route_type": "llm/v1/chat",
        "model": {"provider": "openai"},
    }

    fake.answer(json_reply({"limits": [limit]}))
    assert [set_.model_dump() for set_ in (await client.set_limits("r", [limit])).limits] == [limit]
    assert (await client.get_limits("r")).limits[0].calls == 50

    fake.answer(json_reply({}))
    assert await client.delete_route("r") is None


async def test_deleting_what_is_not_there_is_not_found(connect: Connect, fake: FakeGateway) -> None:
    """That is no question of where the gateway runs."""
    fake.answer(
        json_reply(
            {"detail": "no route r", "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"}, status=404
        )
    )

    with pytest.raises(RouteNotFound):
        await connect(fake.url).delete_route("r")


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_gateway_that_creates_no_routes_raises_the_documented_exception(
    connect: Connect, fake: FakeGateway, status: int
) -> None:
    """mlflow's own server has no such path."""
    fake.answer(refused(status, "Not Found"))

    with pytest.raises(
        GatewayError, match="create_route API is only available when running within Databricks"
    ) as no:
        await connect(fake.url).create_route("r", "llm/v1/chat", {})

    assert isinstance(no.value.__cause__, GatewayError)


@pytest.mark.parametrize(
    ("body", "words_"),
    [
        ({"detail": "The route is gone."}, ["NOT", "The route is gone."]),
        ({"detail": "short", "error_code": "X", "message": "The long message."}, ["The long message."]),
        ({"detail": [{"loc": ["body", "n"], "msg": "too small", "type": "t"}]}, ["n: too small"]),
        ({"detail": [{"loc": ["body"], "msg": "wrong"}, "odd", None]}, ["wrong; odd; None"]),
        ({"error": {"message": "in OpenAI's words"}}, ["in OpenAI's words"]),
        ({"detail": {"nested": ["thing"]}}, ["nested", "thing"]),
        ({}, []),
        ([], []),
        ("just text", ["just text"]),
        (None, []),
    ],
)
async def test_an_error_has_the_status_s_code_and_the_server_s_own_detail(
    connect: Connect, fake: FakeGateway, body: Any, words_: list[str]
) -> None:
    """Whatever shape the server gives it, and the call that failed."""
    fake.answer(json_reply(body, status=404))

    with pytest.raises(NotFound) as failed:
        await connect(fake.url).get_route("r")

    assert failed.value.message.startswith("RESOURCE_DOES_NOT_EXIST: GET /api/2.0/gateway/routes/r: ")
    assert all(word in failed.value.message for word in words_)
    assert (failed.value.status, failed.value.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_fields_that_the_server_refuses_are_told(connect: Connect, fake: FakeGateway) -> None:
    """As data too, for who wants to point at them."""
    detail = [{"loc": ["body", "temperature"], "msg": "too hot", "type": "value_error"}]
    fake.answer(refused(422, detail))

    with pytest.raises(InvalidRequest) as failed:
        await connect(fake.url).query("chat", HELLO)

    assert failed.value.detail == detail


@pytest.mark.parametrize(
    "body", [b"<html>Welcome to nginx!</html>", b"", b"[]", b"null", b"\xff\xfe", b'{"a": ', b'{"a": 1}']
)
@pytest.mark.parametrize("status", [200, 418])
async def test_an_answer_of_somebody_else_is_an_error_of_ours(
    connect: Connect, fake: FakeGateway, body: bytes, status: int
) -> None:
    """The address may be that of another server: whatever it says, no other exception comes out."""
    client = connect(fake.url, max_retries=0)
    fake.answer(Reply(body, status, content_type="text/html"))
    for call in ("get_route", "create_route", "chat", "completions", "embeddings", "stream", "stream_chat"):
        with pytest.raises(GatewayError) as failed:
            await make(client, call, "r", *[{}] * (call not in ("get_route", "create_route")))
        assert failed.value.status == (status if status != 200 else 502)


async def test_an_answer_that_is_not_json_says_what_it_is(connect: Connect, fake: FakeGateway) -> None:
    """And asks whether the address is right."""
    fake.answer(Reply(b"<html>", content_type="text/html"))

    with pytest.raises(
        InvalidAnswer, match=rf"POST .* is text/html, not a JSON object; is {fake.url} the address"
    ):
        await connect(fake.url).query("chat", HELLO)


async def test_an_empty_answer_is_an_empty_object(connect: Connect, fake: FakeGateway) -> None:
    """As 204 gives."""
    fake.answer(Reply(status=204))

    assert await connect(fake.url).delete_route("r") is None


async def test_a_redirect_is_not_followed(connect: Connect, fake: FakeGateway) -> None:
    """A POST would arrive elsewhere as a GET, with the key; the error says where the gateway went."""
    fake.answer(Reply(status=307, headers={"location": "https://elsewhere.example/"}))

    with pytest.raises(GatewayError, match=r"moved to https://elsewhere\.example/") as failed:
        await connect(fake.url).query("chat", HELLO)

    assert (failed.value.status, fake.count) == (307, 1)


@pytest.mark.parametrize("uri", ["localhost:5000", "ftp://localhost", "http://", "nothing", "http://a b"])
async def test_an_address_that_can_not_be_called_is_a_configuration_error(connect: Connect, uri: str) -> None:
    """With the address in the message."""
    with pytest.raises(GatewayError) as failed:
        await connect(uri, max_retries=0).health()

    assert failed.value.status in (400, 503)


def test_bodies_are_json_in_utf_8(fake: FakeGateway) -> None:
    """With the content type that says so."""
    fake.answer(chat())
    with MlflowGatewayClient(fake.url) as client:
        client.query("chat", {"messages": [{"role": "user", "content": "Grüße, 世界 🎉"}]})

    request = fake.received[0]
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body.decode("utf-8"))["messages"][0]["content"] == "Grüße, 世界 🎉"


def test_a_blocking_http_client_is_refused() -> None:
    """It would block the loop, and fail at the first await; the message says which one is wanted."""
    with httpx.Client() as blocking, pytest.raises(TypeError, match=r"httpx\.AsyncClient"):
        AsyncGatewayClient("http://localhost:5000", http_client=blocking)  # type: ignore[arg-type] # the mistake


def test_a_port_that_there_can_not_be_is_a_wrong_address() -> None:
    """Not an error of the socket's, later, that nobody catches."""
    with pytest.raises(GatewayError, match="can't be used"):
        AsyncGatewayClient("http://localhost:99999")
