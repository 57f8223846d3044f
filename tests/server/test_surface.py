"""The HTTP surface, path by path, under the documented and the newer names."""

import asyncio
import base64
import json
import re

import httpx
import pytest

from gateway_server import create_app
from tests.support.configs import AS_ADMIN, HELLO, ODD, offline

ROUTES = "/api/2.0/gateway/routes/"
ENDPOINTS = "/api/2.0/endpoints/"
NAMES = ["chat", "completions", "embeddings", "up-chat", "up-completions", "up-embeddings"]
INVOCATIONS = ["/gateway/{}/invocations", "/endpoints/{}/invocations"]


def token(value: object) -> str:
    """A page token that holds any value."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_health_says_ok(http: httpx.Client) -> None:
    """What a load balancer asks."""
    answer = http.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "OK"})


def test_the_root_leads_to_the_docs(http: httpx.Client) -> None:
    """A person who opens the address in a browser sees what is there."""
    answer = http.get("/")

    assert answer.is_redirect
    assert answer.headers["location"] == "/docs"
    assert http.get("/", follow_redirects=True).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path", ["/health", "/docs", "/openapi.json", ROUTES, ENDPOINTS, "/v1/models", "/v1/models/chat"]
)
def test_head_answers_as_get_without_a_body(http: httpx.Client, path: str) -> None:
    """HEAD tells the length and the type, and nothing else."""
    got, head = http.get(path), http.head(path)

    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]


def test_routes_are_listed_under_the_documented_names(http: httpx.Client) -> None:
    """Each route tells its name, type, model and where it is called; no token where there is no next page."""
    body = http.get(ROUTES).json()

    assert [route["name"] for route in body["routes"]][:6] == NAMES
    assert body["routes"][0] == {
        "name": "chat",
        "route_type": "llm/v1/chat",
        "model": {"name": "echo", "provider": "offline"},
        "route_url": "/gateway/chat/invocations",
        "limit": None,
    }
    assert "next_page_token" not in body


def test_routes_are_listed_under_the_newer_names(http: httpx.Client) -> None:
    """The same routes, as endpoints."""
    body = http.get(ENDPOINTS).json()

    assert [endpoint["name"] for endpoint in body["endpoints"]][:6] == NAMES
    assert set(body["endpoints"][0]) == {"name", "endpoint_type", "model", "endpoint_url", "limit"}
    assert body["endpoints"][0]["endpoint_type"] == "llm/v1/chat"


@pytest.mark.parametrize(("base", "url"), [(ROUTES, "route_url"), (ENDPOINTS, "endpoint_url")])
def test_a_route_can_be_called_where_it_says(http: httpx.Client, base: str, url: str) -> None:
    """The address in a route is one to call."""
    route = http.get(f"{base}chat").json()

    answer = http.post(route[url], json=HELLO)

    assert answer.json()["choices"][0]["message"]["content"] == "You said: Hello there"


@pytest.mark.parametrize("path", [ROUTES + "nobody", ENDPOINTS + "nobody"])
def test_a_route_that_there_is_not_is_404(http: httpx.Client, path: str) -> None:
    """The error names the route and says where to look; mlflow's and Databricks' clients find their fields."""
    answer = http.get(path)

    assert answer.status_code == 404
    assert set(answer.json()) == {"detail", "error_code", "message"}
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "'nobody'" in answer.json()["detail"]


@pytest.mark.parametrize("base", [ROUTES, ENDPOINTS])
def test_a_page_begins_where_its_token_says(http: httpx.Client, base: str) -> None:
    """A token is base64 of `{"index": N}`."""
    key = "routes" if base == ROUTES else "endpoints"
    every = http.get(base).json()[key]

    for index in (0, 2, len(every), len(every) + 5, 10**30):
        assert http.get(base, params={"page_token": token({"index": index})}).json() == {key: every[index:]}


@pytest.mark.parametrize(
    "page_token",
    [
        "",
        "nonsense",
        "%%%",
        "é",
        token({"index": -1}),
        token({"index": "1"}),
        token({"index": 1.5}),
        token({"index": True}),
        token({"index": None}),
        token({}),
        token([1]),
        token(1),
        token(None),
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"[" * 5000).decode(),
        base64.b64encode(b'{"index":' + b"9" * 5000 + b"}").decode(),
    ],
)
@pytest.mark.parametrize("base", [ROUTES, ENDPOINTS])
def test_a_token_that_is_none_is_400(http: httpx.Client, base: str, page_token: str) -> None:
    """Whatever stands there, it is the caller's mistake."""
    answer = http.get(base, params={"page_token": page_token})

    assert answer.status_code == 400
    assert "page_token" in answer.json()["detail"]


@pytest.mark.parametrize("path", INVOCATIONS)
def test_a_chat_is_answered(http: httpx.Client, path: str) -> None:
    """A whole chat answer of the standard shape, with headers that tell how it came about."""
    answer = http.post(path.format("chat"), json=HELLO)
    body = answer.json()

    assert body["object"] == "chat.completion"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
    assert (body["choices"][0]["finish_reason"], body["model"]) == ("stop", "echo")
    assert answer.headers["x-gateway-route"] == "chat"
    assert answer.headers["x-gateway-destination"] == "offline/echo"


def test_names_may_hold_what_no_header_can(http: httpx.Client) -> None:
    """The headers that tell of the route and the model carry what they can."""
    answer = http.post("/gateway/odd-Ä.1_2/invocations", json=HELLO)

    assert answer.json()["model"] == ODD
    assert answer.headers.raw.count((b"x-gateway-destination", b"offline/a?b? \xe9 ?")) == 1
    assert (b"x-gateway-route", "odd-Ä.1_2".encode("latin-1")) in answer.headers.raw


@pytest.mark.parametrize("path", INVOCATIONS)
def test_a_completion_is_answered(http: httpx.Client, path: str) -> None:
    """A whole completion of the standard shape."""
    body = http.post(path.format("completions"), json={"prompt": "It's one small step for"}).json()

    assert body["object"] == "text_completion"
    assert "small step" in body["choices"][0]["text"]


@pytest.mark.parametrize("path", INVOCATIONS)
@pytest.mark.parametrize("key", ["input", "text"])
def test_texts_are_embedded(http: httpx.Client, path: str, key: str) -> None:
    """Under `input`, and under `text` as the documented example writes it."""
    body = http.post(path.format("embeddings"), json={key: ["one", "two", "one"]}).json()

    first, second, third = (row["embedding"] for row in body["data"])
    assert [row["index"] for row in body["data"]] == [0, 1, 2]
    assert first == third != second
    assert sum(value * value for value in first) == pytest.approx(1.0)


@pytest.mark.parametrize("path", INVOCATIONS)
def test_a_stream_is_one_event_per_chunk(http: httpx.Client, path: str) -> None:
    """`data: {json}` and a blank line; the documented dialect has no mark at the end."""
    answer = http.post(path.format("chat"), json={**HELLO, "stream": True})

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-gateway-route"] == "chat"
    assert answer.text.endswith("\n\n")
    events = answer.text.removesuffix("\n\n").split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "You said: Hello there"


def test_a_streamed_completion_names_its_chunks_as_documented(http: httpx.Client) -> None:
    """`text_completion_chunk`, with the text in each choice."""
    answer = http.post("/gateway/completions/invocations", json={"prompt": "a", "stream": True})
    chunks = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]

    assert {chunk["object"] for chunk in chunks} == {"text_completion_chunk"}
    assert "from “a”" in "".join(chunk["choices"][0]["text"] for chunk in chunks)


def test_a_stream_under_v1_ends_with_done(http: httpx.Client) -> None:
    """As OpenAI's clients expect."""
    answer = http.post("/v1/chat/completions", json={**HELLO, "model": "chat", "stream": True})

    assert answer.text.endswith("data: [DONE]\n\n")


def test_models_are_the_routes(http: httpx.Client) -> None:
    """Every route is listed as a model of OpenAI's shape, and found by its name."""
    listed = http.get("/v1/models").json()

    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]][:6] == NAMES
    assert http.get("/v1/models/chat").json() == listed["data"][0]
    assert set(listed["data"][0]) == {"id", "object", "created", "owned_by"}


def test_every_answer_has_a_request_id(http: httpx.Client) -> None:
    """One that came with the request is kept; one that no log line can hold is not."""
    assert http.get("/health", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    given = {http.get("/health").headers["x-request-id"] for _ in range(3)}
    assert len(given) == 3
    for odd in ("a b", "x" * 200, "", "é"):
        headers = [(b"x-request-id", odd.encode())]
        assert re.fullmatch(r"[0-9a-f]{16}", http.get("/health", headers=headers).headers["x-request-id"])
    assert "x-request-id" in http.get("/nothing").headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/gateway/chat/invocations", "POST"),
        ("PUT", "/endpoints/chat/invocations", "POST"),
        ("PUT", ROUTES, "GET, HEAD, POST"),
        ("POST", ROUTES + "chat", "DELETE, GET, HEAD, PATCH"),
        ("PATCH", ENDPOINTS, "GET, HEAD, POST"),
        ("PUT", ENDPOINTS + "chat", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/v1/chat/completions", "POST"),
        ("OPTIONS", "/v1/embeddings", "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    """All that the address takes, also where several routes share it."""
    answer = http.request(method, path, headers=AS_ADMIN)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    error = answer.json()["error"] if path.startswith("/v1/") else answer.json()
    assert allowed in error["message"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/gateway/chat", "/api/2.0/gateway/", "/gateway//invocations", "//health"]
)
def test_an_address_with_nothing_is_404(http: httpx.Client, path: str) -> None:
    """The error says where to see what there is."""
    answer = http.request("GET", httpx.URL(f"{http.base_url}".rstrip("/") + path))

    assert answer.status_code == 404
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert "GET /docs" in answer.json()["detail"]


def test_an_address_with_nothing_under_v1_is_404_as_openai_words_it(http: httpx.Client) -> None:
    """In the envelope that OpenAI's clients read."""
    answer = http.get("/v1/nothing")

    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_long_listing_lets_others_have_their_turn() -> None:
    """Whoever asks for thousands of routes holds up no call."""
    app = create_app({"endpoints": [offline(f"route-{number}", "chat") for number in range(3001)]})

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:

        async def turns(path: str) -> int:
            asked, others = asyncio.create_task(http.get(path)), 0
            while not asked.done():
                await asyncio.sleep(0)
                others += 1
            assert (await asked).status_code == 200
            return others

        await http.get("/health")
        assert await turns(ROUTES) >= await turns(ROUTES + "route-1") + 30
        assert await turns(ENDPOINTS) >= await turns(ENDPOINTS + "route-1") + 30
        assert await turns("/v1/models") >= await turns("/v1/models/route-1") + 2
    await app.aclose()
