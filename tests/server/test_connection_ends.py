"""How a connection begins and ends, what it holds, and when it counts as late: without a network, and with one."""

import asyncio
import json
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from gateway_server import connection as module
from gateway_server.connection import MAX_HEAD_BYTES, MAX_HEADERS, MOST_AHEAD, Connection
from gateway_server.exchange import HIGH_WATER
from gateway_server.slow import TimedConfig
from tests.support.configs import HELLO, Json, offline
from tests.support.raw import exchange, request
from tests.support.server import Server, running
from tests.support.wire import Connect, Wire, answers_of, connects, say, settle

HEAD = b"POST %b HTTP/1.1\r\nhost: a\r\n"
BODY = json.dumps(HELLO).encode()
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class App:
    """Answers when it is told to, reads a body when it is told to.

    Attributes:
        calls: How many requests it got.
        told: What it was told, of each request.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.told: list[str] = []
        self.may_read, self.may_answer = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        self.calls += 1
        await self.may_read.wait()
        more = True
        while more:
            message = await receive()
            self.told.append(message["type"])
            more = message.get("more_body", False)
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app() -> App:
    """An app that does nothing yet."""
    return App()


@pytest.fixture
def connect(app: App) -> Connect:
    """Connections to it."""
    return connects(
        TimedConfig("no:app", request_seconds=60, lifespan="off", ws="none", log_config=None), app
    )


def of(wire: Wire) -> Connection:
    """Its connection."""
    found: Connection = wire.protocol
    return found


async def closed(wire: Wire) -> None:
    """Let it be over."""
    wire.close()
    await settle()


async def test_a_caller_who_leaves_is_noticed_though_its_body_was_not_read(
    app: App, connect: Connect
) -> None:
    """The app is told first of all."""
    wire = connect()
    await say(wire, [HEAD % b"/" + b"content-length: 5\r\n\r\nhello"])
    await closed(wire)

    app.may_read.set()
    await settle()

    assert app.told == ["http.disconnect"]


WHOLE = HEAD % b"/" + b"content-length: 5\r\n\r\nhello"


@pytest.mark.parametrize("cut", range(0, len(WHOLE), 3))
async def test_a_caller_may_leave_at_any_point(app: App, connect: Connect, cut: int) -> None:
    """Each call that began is told once, and ends."""
    app.may_read.set()
    wire = connect()
    await say(wire, [WHOLE[:cut]])

    await closed(wire)

    assert app.told.count("http.disconnect") == app.calls == int(b"\r\n\r\n" in WHOLE[:cut])


async def test_who_is_not_read_is_not_late(app: App, connect: Connect) -> None:
    """A long body that waits for its turn waits on the server, not on its sender; read, it is awaited again."""
    wire = connect()
    await say(wire, [HEAD % b"/" + b"content-length: 200000\r\n\r\n" + b"a" * (HIGH_WATER + 1)])
    assert wire.paused
    assert not of(wire).awaited

    app.may_read.set()
    await settle()

    assert not wire.paused
    assert of(wire).awaited
    await closed(wire)


async def test_who_waits_for_100_is_not_late(app: App, connect: Connect) -> None:
    """Until it is told."""
    wire = connect()
    await say(wire, [HEAD % b"/" + b"content-length: 5\r\nexpect: 100-continue\r\n\r\n"])
    assert not of(wire).awaited

    app.may_read.set()
    await settle()

    assert wire.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert of(wire).awaited
    await closed(wire)


async def test_who_asks_ahead_is_held_after_one_more(app: App, connect: Connect) -> None:
    """What was read with it waits its turn; no more is read."""
    wire = connect()
    await say(wire, [GET * 3])

    assert wire.paused
    assert app.calls == 1

    app.may_read.set()
    app.may_answer.set()
    await settle()
    assert not wire.paused
    assert len(answers_of(wire.sent)) == app.calls == 3
    await closed(wire)


async def test_who_asks_too_far_ahead_is_refused_in_the_end(app: App, connect: Connect) -> None:
    """What was taken is answered before, and takes no more memory than so many requests."""
    wire = connect()
    app.may_read.set()
    app.may_answer.set()
    await say(wire, [GET * (MOST_AHEAD + 500)])
    await settle(10 * MOST_AHEAD)

    statuses = [answer[0] for answer in answers_of(wire.sent)]
    assert statuses == [200] * (MOST_AHEAD + 1) + [400]
    assert app.calls == MOST_AHEAD + 1
    await closed(wire)


async def test_a_reader_who_stops_keeps_the_answer_waiting(connect: Connect, app: App) -> None:
    """`send` waits until the transport takes more, and no longer than the connection is there."""
    app.may_read.set()
    wire = connect()
    of(wire).pause_writing()
    app.may_answer.set()
    await say(wire, [GET])
    assert wire.sent == b""

    of(wire).resume_writing()
    await settle()
    assert wire.sent.endswith(b"ok")

    of(wire).pause_writing()
    await say(wire, [GET])
    await closed(wire)
    assert wire.sent.count(b"ok") == 1


async def test_too_many_headers_are_refused(connect: Connect, app: App) -> None:
    """While they come in."""
    wire = connect()
    await say(wire, [GET[:-2], *[b"a: b\r\n" * (MAX_HEADERS // 5)] * 6])

    assert [answer[0] for answer in answers_of(wire.sent)] == [400]
    assert app.calls == 0
    await closed(wire)


@pytest.mark.parametrize("what", ["header", "trailer", "extension"])
async def test_what_never_ends_is_refused(connect: Connect, app: App, what: str) -> None:
    """A header, and what stands between chunks or behind them."""
    head = HEAD % b"/" + b"transfer-encoding: chunked\r\n"
    begin = {"header": head + b"x: ", "trailer": head + b"\r\n0\r\nx: ", "extension": head + b"\r\n5;"}[what]
    wire = connect()
    app.may_read.set()
    piece = b"a" * 2**18
    await say(wire, [begin, *[piece] * (MAX_HEAD_BYTES // len(piece) + 1)])

    assert [answer[0] for answer in answers_of(wire.sent)] == [400]
    await closed(wire)


async def test_a_draining_connection_answers_and_ends(
    connect: Connect, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With word of it; an idle one ends soon."""
    monkeypatch.setattr(module, "LAST_CALL_SECONDS", 0)
    idle, busy = connect(), connect()
    app.may_read.set()
    await say(busy, [GET])

    of(idle).shutdown()
    of(busy).shutdown()
    await settle()
    assert idle.is_closing()
    assert not busy.is_closing()

    app.may_answer.set()
    await settle()
    assert b"connection: close" in busy.sent
    assert busy.is_closing()


async def test_a_draining_connection_ends_with_the_rest_of_a_body_that_was_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not after the time that idle ones have."""
    monkeypatch.setattr(module, "LAST_CALL_SECONDS", 0)

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = TimedConfig("no:app", request_seconds=60, lifespan="off", ws="none", log_config=None)
    wire = connects(config, early)()
    await say(wire, [HEAD % b"/" + b"content-length: 5\r\n\r\nhel"])
    of(wire).shutdown()
    await settle()
    assert not wire.is_closing()

    await say(wire, [b"lo"])

    assert wire.is_closing()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway that takes bodies up to a megabyte."""
    config: Json = {"endpoints": [offline("chat", "chat")], "server": {"max_body_mb": 1}}
    with running(tmp_path_factory.mktemp("ends"), config, "--access-log") as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]
    assert "ERROR" not in server.log, server.log[-5000:]


ENDING = {
    "one that says so": (b"1.1", b"connection: close\r\n"),
    "an old one": (b"1.0", b""),
    "one that stays": (b"1.1", b""),
    "one that asks": (b"1.1", b"expect: 100-continue\r\n"),
}


@pytest.mark.parametrize("who", ENDING)
def test_a_refusal_arrives_though_the_body_still_comes(gateway: Server, who: str) -> None:
    """Whoever sends twenty megabytes and only then reads is told 413, by no reset connection."""
    version, header = ENDING[who]
    size = 20 * 2**20
    with gateway.connect() as connection:
        line = b"POST /gateway/chat/invocations HTTP/%b\r\nhost: localhost\r\n" % version
        connection.sendall(
            line + header + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
        )
        connection.sendall(b" " * size)
        said = b""
        while b"\r\n\r\n" not in said:
            said += connection.recv(65536)

    assert said.startswith(b"HTTP/1.1 413 ")
    assert (b"connection: close" in said) == (who != "one that stays")


def test_what_is_no_http_is_told_though_more_of_it_comes(gateway: Server) -> None:
    """400 arrives before the end."""
    with gateway.connect() as connection:
        connection.sendall(b"NONSENSE\r\n\r\n" + b"x" * 2**20)
        said = b""
        while data := connection.recv(65536):
            said += data

    assert said.startswith(b"HTTP/1.1 400 ")


def test_a_caller_who_closes_its_half_has_left(gateway: Server) -> None:
    """As with uvicorn: who says that nothing more comes is taken to be gone, so that no model works for nobody."""
    with gateway.connect() as connection:
        connection.sendall(request("POST /gateway/chat/invocations", body=b"{")[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536) == b""


def test_a_thousand_requests_in_one_piece_are_answered_in_turn(gateway: Server) -> None:
    """However many a caller asks ahead."""
    with gateway.connect() as connection:
        connection.sendall(request("GET /health") * 1000)
        said = b""
        while said.count(b"HTTP/1.1 200 OK") < 1000:
            data = connection.recv(2**18)
            assert data
            said += data

    assert said.count(b"HTTP/1.1 ") == 1000


def test_a_body_in_the_smallest_chunks_is_read(gateway: Server) -> None:
    """A hundred thousand of them."""
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in b" " * 100_000 + BODY) + b"0\r\n\r\n"
    head = (b"content-type: application/json", b"transfer-encoding: chunked")

    answer = exchange(gateway, request("POST /gateway/chat/invocations", *head, body=pieces, length=False))

    assert answer.status == 200


@pytest.mark.parametrize("name", ["host", "origin"])
def test_a_host_longer_than_any_is_refused_and_not_remembered(gateway: Server, name: str) -> None:
    """A megabyte of it is no reason to keep a megabyte."""
    header = name.encode() + b": localhost" + b"a" * 2**20
    data = request("POST /gateway/chat/invocations", b"content-type: application/json", header, body=BODY)

    answer = exchange(gateway, data if name == "origin" else data.replace(b"host: localhost\r\n", b"", 1))

    assert answer.status == 403
    assert name.capitalize() in answer.json["message"]


def test_a_client_that_offers_http_2_with_each_request_is_answered(gateway: Server) -> None:
    """As Java's does, which sends the body with the offer."""
    offer = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAB")
    data = request("POST /gateway/chat/invocations", b"content-type: application/json", *offer, body=BODY)

    assert exchange(gateway, data).status == 200
