"""Requests that don't come in, and callers who say that they are somebody else: a gateway of its own."""

import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.support.configs import HELLO, Json, offline, upstream_route
from tests.support.raw import RawAnswer
from tests.support.server import Server, running
from tests.support.upstream import DONE, MockUpstream, Script, chat, delta, stream

BODY = b'{"messages":[{"role":"user","content":"Hello there"}]}'
HEAD = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
SECONDS = 1


def head(path: str = "/gateway/chat/invocations") -> bytes:
    """The head of a request."""
    return HEAD % (path.encode(), len(BODY))


@pytest.fixture(scope="module")
def gateway(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway that waits a second for a request; it looks once a second."""
    config: Json = {
        "endpoints": [
            offline("chat", "chat"),
            upstream_route("up", "chat", shared_upstream.url),
        ],
        "server": {"request_seconds": SECONDS},
    }
    with running(tmp_path_factory.mktemp("slow"), config) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]
    assert "ERROR" not in server.log, server.log[-5000:]


def answer(connection: socket.socket) -> RawAnswer:
    """One answer."""
    with HTTPResponse(connection, method="POST") as response:
        response.begin()
        return RawAnswer(response.status, response.headers, response.read())


HALVES = {
    "a byte": b"P",
    "half a head": b"POST /gateway/chat/invocations HTTP/1.1\r\nhost: loc",
    "no body": head(),
    "all but a byte": head() + BODY[:-1],
    "half a chunk": b"POST /gateway/chat/invocations HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    "to nowhere": b"POST /gateway/none HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9",
    "for OpenAI's clients": head("/v1/chat/completions"),
    "nothing": b"",
}
DRIPS = {
    "a dripping head": b"POST /gateway/chat/invocations HTTP/1.1\r\nhost: localhost\r\nx-long: ",
    "a dripping body": HEAD % (b"/gateway/chat/invocations", 10**6),
}


@pytest.fixture(scope="module")
def said(gateway: Server) -> dict[str, bytes]:
    """What is said to each of those until their connections are closed, all at once: it takes a while."""
    with ExitStack() as opened:
        connections = {what: opened.enter_context(gateway.connect()) for what in (*HALVES, *DRIPS)}
        for what, connection in connections.items():
            connection.sendall(HALVES.get(what) or DRIPS.get(what) or b"")
        left, found = set(connections), dict.fromkeys(connections, b"")
        until = time.monotonic() + 30
        while left:
            assert time.monotonic() < until, f"still open: {left}"
            ready, _, _ = select.select([connections[what] for what in left], [], [], 0.05)
            for what in list(left):
                try:
                    if what in DRIPS:
                        connections[what].send(b"a")
                    data = connections[what].recv(65536) if connections[what] in ready else None
                except OSError:  # what drips on after the end resets the connection
                    data = b""
                found[what] += data or b""
                if data == b"":
                    left.remove(what)
    return found


@pytest.mark.parametrize("what", [what for what in HALVES if what not in ("nothing", "for OpenAI's clients")])
def test_half_a_request_is_answered_with_408(said: dict[str, bytes], what: str) -> None:
    """Whatever is missing, the caller is told what it took too long for, and the connection is closed."""
    start, _, body = said[what].partition(b"\r\n\r\n")

    assert start.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"connection: close" in start
    told = json.loads(body)
    assert told["error_code"] == "DEADLINE_EXCEEDED"
    assert "server.request_seconds" in told["message"]


def test_408_speaks_the_dialect_of_the_path(said: dict[str, bytes]) -> None:
    """OpenAI's clients can read it."""
    body = said["for OpenAI's clients"].partition(b"\r\n\r\n")[2]

    assert json.loads(body)["error"]["code"] == "deadline_exceeded"


def test_a_connection_without_a_byte_is_closed(said: dict[str, bytes]) -> None:
    """And without an answer, which nobody asked for."""
    assert said["nothing"] == b""


@pytest.mark.parametrize("what", DRIPS)
def test_dripping_gains_no_time(said: dict[str, bytes], what: str) -> None:
    """The clock runs from the request's first byte, not from its last; or this would not have ended."""
    assert said[what].startswith(b"HTTP/1.1 408 ") or not said[what]  # a reset may overtake it


def test_the_second_request_of_a_connection_has_its_own_time(gateway: Server) -> None:
    """An idle connection stays; half a request on it is refused like any other."""
    with gateway.connect() as connection:
        connection.sendall(head() + BODY)
        assert answer(connection).status == 200
        with gateway.connect() as clock:
            assert clock.recv(1) == b""  # so long that a request would be over
        connection.sendall(head() + BODY)
        assert answer(connection).status == 200
        connection.sendall(head())
        assert answer(connection).status == 408


def test_who_asks_again_and_again_is_not_closed(gateway: Server) -> None:
    """However often it is seen between a head and its body, each request has its own time."""
    with gateway.connect() as connection, gateway.connect() as clock:
        clock.settimeout(0.01)
        closed = False
        while not closed:
            connection.sendall(head())
            connection.sendall(BODY)
            assert answer(connection).status == 200
            with suppress(TimeoutError):
                closed = not clock.recv(1)


def test_a_long_answer_and_its_slow_reader_are_let_alone(gateway: Server, upstream: MockUpstream) -> None:
    """The request was whole; how long the answer takes is another's business."""
    pauses: Script = [0.3, delta("b")] * 10
    upstream.answer_with(stream(delta("a"), *pauses, delta("c", finish="stop"), DONE))
    with gateway.connect() as connection:
        body = BODY[:-1] + b',"stream":true}'
        connection.sendall(HEAD % (b"/gateway/up/invocations", len(body)) + body)

        told = answer(connection)

    assert told.status == 200
    assert told.body.count(b'"b"') == 10


def test_who_reads_slowly_is_let_alone(gateway: Server, upstream: MockUpstream) -> None:
    """An answer waits for its reader, also when it is larger than what the kernel holds."""
    words = "word " * 2**22
    upstream.reply(chat(words))
    with gateway.connect() as connection, gateway.connect() as first, gateway.connect() as second:
        connection.sendall(head("/gateway/up/invocations") + BODY)
        assert first.recv(1) == second.recv(1) == b""

        told = answer(connection)

    assert told.status == 200
    assert len(told.body) > len(words)


def test_every_worker_keeps_the_time(tmp_path: Path) -> None:
    """Also when several processes answer."""
    config: Json = {"endpoints": [offline("chat", "chat")], "server": {"request_seconds": SECONDS}}
    with running(tmp_path, config, workers=2) as server:
        connections = [server.connect() for _ in range(8)]
        try:
            for connection in connections:
                connection.sendall(head())
            assert {answer(connection).status for connection in connections} == {408}
        finally:
            for connection in connections:
                connection.close()


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        pytest.param([], "127.0.0.1", id="nobody is believed"),
        pytest.param(["10.0.0.0/8"], "127.0.0.1", id="only who is listed is"),
        pytest.param(["127.0.0.1", "10.1.0.0/16"], "203.0.113.9", id="a proxy is"),
    ],
)
def test_who_calls_is_said_by_trusted_proxies_only(tmp_path: Path, trusted: list[str], client: str) -> None:
    """A caller can't choose the address by which limits count it."""
    config: Json = {"endpoints": [offline("chat", "chat")], "server": {"trusted_proxies": trusted}}
    with running(tmp_path, config, "--access-log") as server, server.client() as http:
        forwarded = {"x-forwarded-for": "198.51.100.1, 203.0.113.9, 10.1.2.3"}

        http.post("/gateway/chat/invocations", json=HELLO, headers=forwarded)

        server.wait_for_log(f"{client} POST /gateway/chat/invocations")
        assert "198.51.100.1" not in server.log
