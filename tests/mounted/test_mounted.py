"""The gateway within somebody else's service: all is as it is alone, under the prefix."""

import json
import socket
import time

import httpx
import openai
import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.errors import RouteNotFound
from tests.mounted.conftest import Host
from tests.mounted.hosts import DEEP, PREFIX
from tests.support.configs import HELLO, KEY, offline
from tests.support.server import wait_until, write_config
from tests.support.upstream import HOLD, MockUpstream, Reply, chat, delta, error, stream, words

ROUTES = f"{PREFIX}/api/2.0/gateway/routes/"


def test_routes_answer_under_the_prefix(http: httpx.Client) -> None:
    """Each dialect, and each kind of route."""
    assert http.get(f"{PREFIX}/health").json() == {"status": "OK"}
    for path in (f"{PREFIX}/gateway/chat/invocations", f"{PREFIX}/endpoints/chat/invocations"):
        assert http.post(path, json=HELLO).json()["object"] == "chat.completion"
    body = {**HELLO, "model": "chat"}
    assert http.post(f"{PREFIX}/v1/chat/completions", json=body).json()["object"] == "chat.completion"
    assert http.get(f"{PREFIX}/v1/models/chat").json()["id"] == "chat"
    assert http.head(f"{PREFIX}/health").status_code == 200


def test_addresses_hold_the_prefix_and_can_be_called(http: httpx.Client) -> None:
    """Of routes and of endpoints, listed and alone."""
    listed = http.get(ROUTES).json()["routes"][0]["route_url"]
    alone = http.get(ROUTES + "chat").json()["route_url"]
    newer = http.get(f"{PREFIX}/api/2.0/endpoints/chat").json()["endpoint_url"]

    assert listed == alone == newer == f"{PREFIX}/gateway/chat/invocations"
    assert http.post(listed, json=HELLO).is_success


def test_redirects_stay_within_the_prefix(http: httpx.Client) -> None:
    """To the docs, and to a path with its slash."""
    assert http.get(f"{PREFIX}/").headers["location"] == f"{PREFIX}/docs"
    assert http.get(ROUTES.rstrip("/"), follow_redirects=True).json()["routes"][0]["name"] == "chat"
    assert "/docs" in str(http.get(PREFIX, follow_redirects=True).url)


def test_the_docs_are_those_of_the_prefix(http: httpx.Client) -> None:
    """The page finds its document, which says where the paths begin."""
    page = http.get(f"{PREFIX}/docs")
    document = http.get(f"{PREFIX}/openapi.json").json()

    assert page.headers["content-type"].startswith("text/html")
    assert document["servers"] == [{"url": PREFIX}]
    path = document["servers"][0]["url"] + "/v1/models"
    assert "/v1/models" in document["paths"]
    assert http.get(path).is_success


async def test_our_client_works_with_the_prefix_in_its_address(host: Host, upstream: MockUpstream) -> None:
    """Routes, their absolute addresses, answers, streams and errors."""
    upstream.reply(words("One ", "two"))
    async with AsyncGatewayClient(host.gateway) as client, httpx.AsyncClient(trust_env=False) as http:
        route = await client.get_route("chat")
        assert route.route_url == f"{host.gateway}/gateway/chat/invocations"
        assert (await http.post(route.route_url, json=HELLO)).is_success
        assert {route.name for route in await client.search_routes()} > {"chat", "up-chat"}
        assert (await client.query("chat", HELLO))["object"] == "chat.completion"
        said = [
            chunk["choices"][0]["delta"].get("content", "") async for chunk in client.stream("up-chat", HELLO)
        ]
        assert "".join(said) == "One two"
        with pytest.raises(RouteNotFound):
            await client.query("nobody", HELLO)


async def test_openai_s_client_works_with_the_prefix_in_its_address(
    host: Host, upstream: MockUpstream
) -> None:
    """Models, answers, streams and typed errors."""
    async with openai.AsyncOpenAI(base_url=f"{host.gateway}/v1", api_key="any", max_retries=0) as client:
        assert "chat" in [model.id async for model in client.models.list()]
        answer = await client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Hi"}]
        )
        assert answer.choices[0].message.content == "You said: Hi"
        with pytest.raises(openai.NotFoundError, match="'nobody'"):
            await client.embeddings.create(model="nobody", input="a")
        upstream.reply(error(429, "slow down", retry_after="7"))
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(
                model="up-chat", messages=[{"role": "user", "content": "Hi"}]
            )
        assert raised.value.response.headers["retry-after"] == "7"


def test_a_stream_arrives_piece_by_piece(http: httpx.Client, upstream: MockUpstream) -> None:
    """The first word is there while the upstream still holds the second back, whatever the host wraps around it."""
    upstream.reply(stream(delta("One"), HOLD))
    with http.stream(
        "POST", f"{PREFIX}/gateway/up-chat/invocations", json={**HELLO, "stream": True}
    ) as answer:
        assert "One" in next(answer.iter_text())
    upstream.left(upstream.request())


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_leaving_ends_the_upstream_s_call(host: Host, upstream: MockUpstream, streamed: bool) -> None:
    """The host passes it on that a caller has left."""
    upstream.reply(Reply(before=HOLD))
    body = json.dumps({**HELLO, "stream": streamed}).encode()
    head = f"POST {PREFIX}/gateway/up-chat/invocations HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(head.encode() + body)
        upstream.request()
        time.sleep(0.1)
    left_at = time.monotonic()

    took = upstream.left(upstream.request()) - left_at

    print(f"in {host.framework} the upstream's call ended {took * 1000:.0f} ms after its caller left")
    assert took < 8


def test_errors_are_in_our_dialects_within_the_prefix(http: httpx.Client) -> None:
    """404, 405, 413 and 422, of each dialect."""
    large = json.dumps({**HELLO, "vendor": "x" * 2**20})
    for method, path, content, status in (
        ("GET", "/nothing", None, 404),
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/gateway/chat/invocations", None, 405),
        ("GET", "/v1/embeddings", None, 405),
        ("POST", "/gateway/chat/invocations", large, 413),
        ("POST", "/v1/chat/completions", large, 413),
        ("POST", "/gateway/chat/invocations", "{", 422),
        ("POST", "/v1/chat/completions", "{", 400),
        ("POST", "/gateway/nobody/invocations", "{}", 404),
    ):
        answer = http.request(method, PREFIX + path, content=content)
        assert answer.status_code == status, (method, path, answer.text)
        assert set(answer.json()) == (
            {"error"} if path.startswith("/v1") else {"detail", "error_code", "message"}
        )
    assert f"{PREFIX}/docs" in http.get(f"{PREFIX}/nothing").json()["detail"]


def test_the_host_s_own_answers_are_its_own(host: Host, http: httpx.Client) -> None:
    """Its routes, and its 404 beside the prefix."""
    own = http.get("/own")
    absent = http.get("/nothing")

    assert own.is_success
    assert "x-request-id" not in own.headers
    assert absent.status_code == 404
    assert "error_code" not in absent.text
    if host.framework == "fastapi":
        assert own.headers["x-host"] == http.get(f"{PREFIX}/health").headers["x-host"] == "fastapi"


def test_nothing_of_the_host_s_process_is_touched(http: httpx.Client) -> None:
    """Signal handlers, loggers, the loop's policy: the same before the gateway's first answer and after."""
    before = http.get("/own").json()["own"]

    http.post(f"{PREFIX}/gateway/chat/invocations", json=HELLO)
    http.post(f"{PREFIX}/gateway/dead/invocations", json=HELLO)

    assert http.get("/own").json()["own"] == before
    for name in ("gateway_server", "gateway_async"):
        assert f"('{name}', 0, [], True)" in before
    assert "gateway" not in before.split("[(")[0]


def test_a_changed_file_takes_effect(host: Host, http: httpx.Client) -> None:
    """Also where nobody wired the gateway's lifespan: its first request begins the watching."""
    http.get(f"{PREFIX}/health")
    kept = host.config.read_bytes()
    try:
        write_config(host.config, {"endpoints": [offline("new", "chat")]})
        wait_until(lambda: http.get(ROUTES + "new").is_success, 30, "the file was not taken up")
        assert http.get(ROUTES + "chat").status_code == 404
    finally:
        host.config.write_bytes(kept)
    wait_until(lambda: http.get(ROUTES + "chat").is_success, 30, "the file was not taken up")


def test_an_app_may_be_mounted_twice(http: httpx.Client) -> None:
    """Each time the whole prefix, of all mounts around it, is in every address."""
    route = http.get(f"{DEEP}/api/2.0/gateway/routes/chat").json()

    assert route["route_url"] == f"{DEEP}/gateway/chat/invocations"
    assert http.get(f"{DEEP}/openapi.json").json()["servers"] == [{"url": DEEP}]
    assert http.get(f"{DEEP}/v1/nothing").json()["error"]["code"] == "endpoint_not_found"
    assert http.get(ROUTES + "chat").json()["route_url"] == f"{PREFIX}/gateway/chat/invocations"


def test_no_key_shows(host: Host, http: httpx.Client, upstream: MockUpstream) -> None:
    """In an answer or in the host's log."""
    upstream.reply(error(500, f"no to {KEY}"))
    answer = http.post(f"{PREFIX}/gateway/up-chat/invocations", json=HELLO)

    assert KEY not in answer.text + str(answer.headers) + host.errors.read_text()


def test_connections_to_the_upstream_are_kept(http: httpx.Client, upstream: MockUpstream) -> None:
    """Without a lifespan too: they open when they are used."""
    upstream.reply(chat())
    path = f"{PREFIX}/gateway/up-chat/invocations"
    http.post(path, json=HELLO)
    before = upstream.connections

    for _ in range(5):
        assert http.post(path, json=HELLO).is_success

    assert upstream.connections - before <= 1
