"""What a connection sees: bugs, ends that are announced, requests that are too much."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.configs import HELLO, offline, upstream_route
from tests.support.raw import exchange, request
from tests.support.server import Server, running

CRASHING = (str(Path(__file__).with_name("launch_crashing.py")),)
CALL = "POST /gateway/chat/invocations"
BODY = json.dumps(HELLO).encode()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway in which calls of one route meet a bug."""
    endpoints = [offline("chat", "chat"), upstream_route("bug", "chat", "http://127.0.0.1:9/crash")]
    folder = tmp_path_factory.mktemp("connections")
    with running(folder, {"endpoints": endpoints}, program=CRASHING) as server:
        yield server


def read_all(connection: socket.socket) -> bytes:
    """What is said until the connection ends."""
    said = b""
    while data := connection.recv(65536):
        said += data
    return said


@pytest.mark.parametrize("path", ["/gateway/bug/invocations", "/v1/chat/completions"])
def test_a_bug_is_answered_and_logged_and_its_connection_stays(gateway: Server, path: str) -> None:
    """With 500 in the caller's dialect, which says nothing of the bug; the next request is answered as ever."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    headers = {"content-type": "application/json", "x-request-id": f"bug-in-{path[1:3]}"}
    connection.request(
        "POST", path, json.dumps({**HELLO, **({"model": "bug"} if "v1" in path else {})}), headers
    )
    answer = connection.getresponse()
    told = json.loads(answer.read())

    assert answer.status == 500
    assert answer.headers["x-request-id"] == headers["x-request-id"]
    assert answer.headers["connection"] is None
    message = told["error"]["message"] if "v1" in path else told["message"]
    assert message == "the gateway failed; its log says why"
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    gateway.wait_for_log(f"POST {path} 500 ")
    assert "RuntimeError" in gateway.log


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request("GET /health", b"connection: close"), id="by the caller"),
        pytest.param(b"GET /health HTTP/1.0\r\n\r\n", id="by an old version"),
        pytest.param(
            request("GET /health", b"connection: upgrade", b"upgrade: websocket"), id="by an upgrade"
        ),
    ],
)
def test_an_end_that_was_wanted_is_announced(gateway: Server, asked: bytes) -> None:
    """And comes."""
    with gateway.connect() as connection:
        connection.sendall(asked)
        said = read_all(connection)

    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in said


def test_headers_without_an_end_are_refused(gateway: Server) -> None:
    """Before they fill the memory."""
    with gateway.connect() as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\n")
            for _ in range(200):
                connection.sendall(b"x: " + b"y" * 2**16 + b"\r\n")
            said = connection.recv(65536)
        except ConnectionError:
            said = b"HTTP/1.1 400 "  # the answer was overtaken by the connection's end

    assert said.startswith(b"HTTP/1.1 400 ")


def test_requests_at_once_are_answered_in_turn_up_to_one_that_ends_the_connection(gateway: Server) -> None:
    """What comes behind that one is not."""
    last = request(CALL, b"connection: close", body=BODY)
    with gateway.connect() as connection:
        connection.sendall(request(CALL, body=BODY) * 20 + last + request("GET /health") * 3)
        said = read_all(connection)

    assert said.count(b"HTTP/1.1 200 OK\r\n") == 21
    assert said.count(b"connection: close") == 1


def test_a_body_that_nobody_reads_does_not_end_the_connection(gateway: Server) -> None:
    """It is passed over, and the next request is answered."""
    with gateway.connect() as connection:
        connection.sendall(request("POST /nothing", body=b"x" * 2**20))
        connection.sendall(request("GET /health", b"connection: close"))
        said = read_all(connection)

    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/gateway/chat/invocations", 200),
        ("/gateway/chat/invocations?x=1", 200),
        ("/gateway/%63hat/invocations", 200),
        ("/gateway/chat/invocations/", 307),
        ("/gateway/chat//invocations", 404),
        ("/gateway//invocations", 404),
        ("/gateway/a/b/invocations", 404),
        ("/gateway/invocations", 404),
        ("/v1/chat/completions/", 307),
        ("/v1/chat/completion", 404),
        ("//v1/chat/completions", 404),
    ],
)
def test_only_an_exact_address_is_an_endpoint_s(gateway: Server, path: str, status: int) -> None:
    """Whatever is nearly one is answered by the rules for all addresses."""
    assert exchange(gateway, request(f"POST {path}", body=BODY)).status == status
