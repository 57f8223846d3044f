"""The short way to the endpoints that call a model: whatever is asked, the answer is the router's."""

import json
from collections.abc import AsyncIterator
from itertools import product
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from starlette._utils import get_route_path
from starlette.types import Message

from gateway_server import create_app
from gateway_server.app import GatewayApp
from gateway_server.middleware.model_calls import ModelCalls
from gateway_server.mount import path_within
from tests.support.configs import HELLO, offline

BODY = json.dumps(HELLO).encode()

PATHS = [
    "/gateway/chat/invocations",
    "/endpoints/chat/invocations",
    "/v1/chat/completions",
    "/v1/embeddings",
    *(
        "/gateway/chat/invocations/",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
    ),
    *(
        "//gateway/chat/invocations",
        "/gateway//chat/invocations",
        "/gateway//invocations",
        "/gateway/invocations",
    ),
    *("/gateway/chat//invocations", "/gateway/chat/invocations//", "/gateway/a/b/invocations"),
    *("/gateway/./invocations", "/gateway/../invocations", "/gateway/a/../chat/invocations", "/gateway/."),
    *("/gateway/ch%61t/invocations", "/gateway/a%2Fb/invocations", "/gateway/%2e%2e/invocations"),
    *("/gateway/%7Bname%7D/invocations", "/gateway/%00/invocations", "/gateway/chat/invocations%0a"),
    *("/gateway/chat%0a/invocations", "/gateway/%ff/invocations", "/gateway/caf%C3%A9/invocations"),
    *("/GATEWAY/chat/invocations", "/gateway/chat/INVOCATIONS", "/other/chat/invocations"),
    *(
        "/gateway/invocations/invocations",
        "/gateway/chat",
        "/gateway/",
        "/v1/",
        "/v1",
        "/v1/chat",
        "/",
        "*",
        "",
    ),
    *("/v1/chat/completions/x", "/v1/chat/completions%2f", "/v1%2fchat%2fcompletions", "/ai/v1/embeddings"),
    *("/v1/models", "/health", "/nothing"),
]
METHODS = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "post", "PROPFIND"]
ROOTS = ["", "/ai", "/ai/", "/", "/gateway", "/v1", "/gateway/chat"]


@pytest_asyncio.fixture
async def app() -> AsyncIterator[GatewayApp]:
    """A gateway."""
    found = create_app(
        {"endpoints": [offline("chat", "chat"), offline("café", "chat"), offline("e", "embeddings")]}
    )
    yield found
    await found.aclose()


async def asked(app: GatewayApp, method: str, raw: str, root: str) -> dict[str, Any]:
    """What is answered, and what is behind the path."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY if method == "POST" else b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    path = unquote(raw)
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"x-request-id", b"one")]
    at = {"path": root + path, "raw_path": (root + raw).encode(), "root_path": root, "query_string": b""}
    http = {"type": "http", "http_version": "1.1", "scheme": "http", "method": method, "headers": headers}
    scope = {**http, **at, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}
    await app(scope, receive, send)
    start, body = messages[0], b"".join(message.get("body", b"") for message in messages[1:])
    told = json.loads(body) if body.startswith(b"{") else body
    if isinstance(told, dict):
        for made_up in ("id", "created"):
            told.pop(made_up, None)
    kept = {
        name: value
        for name, value in start["headers"]
        if name not in (b"content-length", b"x-gateway-attempts")
    }
    return {"status": start["status"], "headers": kept, "body": told}


@pytest.mark.parametrize("root", ROOTS)
async def test_the_short_way_answers_as_the_router(
    app: GatewayApp, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any method, any path, under any prefix: status, headers, dialect, request id and body."""
    cases = list(product(METHODS, PATHS))
    short = [await asked(app, method, path, root) for method, path in cases]

    monkeypatch.setattr(ModelCalls, "__call__", lambda self, *request: self.app(*request))
    long = [await asked(app, method, path, root) for method, path in cases]

    for case, ours, theirs in zip(cases, short, long, strict=True):
        assert ours == theirs, case
        assert ours["headers"][b"x-request-id"] == b"one"
    if root == "":
        statuses = {case: found["status"] for case, found in zip(cases, short, strict=True)}
        assert statuses["POST", "/gateway/ch%61t/invocations"] == 200
        assert statuses["POST", "/gateway/caf%C3%A9/invocations"] == 200
        assert statuses["GET", "/gateway/chat/invocations"] == 405
        assert statuses["POST", "/gateway/%2e%2e/invocations"] == 404


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("raw", PATHS)
def test_the_path_that_is_judged_is_the_path_that_is_routed(root: str, raw: str) -> None:
    """By keys, limits and dialects as by the router; with and without the prefix in front."""
    for path in (unquote(raw), root + unquote(raw), root):
        scope = {"type": "http", "path": path, "root_path": root}
        assert path_within(scope) == get_route_path(scope)
