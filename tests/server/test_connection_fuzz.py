"""A connection that is told anything in any pieces: it answers each request once, in turn, and never fails."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from gateway_server.connection import Connection
from gateway_server.slow import TimedConfig
from tests.support.server import Server
from tests.support.wire import Connect, Wire, answers_of, connects, settle

TURNS = 5


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop for all examples, whose complaints are failures."""
    loop = asyncio.new_event_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield loop
    loop.close()
    assert complaints == []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Does what the path says, and notes that it was called in the order of the numbers in the query."""
    path, number = scope["path"], scope["query_string"]
    if path != "/early":
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        if message["type"] == "http.disconnect":
            return
    if path == "/bug":
        raise RuntimeError("a bug")
    chunked = path == "/stream"
    headers = [] if chunked else [(b"content-length", b"%d" % len(number))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if chunked:
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": number})


LINES = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS"])
PATHS = st.sampled_from([b"/", b"/stream", b"/early", b"/bug", b"http://a/b", b"*"])
BODIES = st.sampled_from(
    [
        b"\r\n",
        b"content-length: 0\r\n\r\n",
        b"content-length: 5\r\n\r\nhello",
        b"content-length: 5\r\nexpect: 100-continue\r\n\r\nhello",
        b"transfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\nx: y\r\n\r\n",
    ]
)
ENDS = st.sampled_from([b"", b"", b"", b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n"])
ANY = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            *(b"\x00", b"\r", b"\n", b"\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET /\r\n\r\n"),
            *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhel"),
            *(
                b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                b"0\r\n\r\n",
                b"5\r\nhello\r\n",
            ),
            *(b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"),
        ]
    ),
)


@st.composite
def requests(draw: st.DrawFn, least: int = 0) -> list[tuple[bytes, bytes]]:
    """Good requests: each one's method, and its bytes; a number in the query tells which it is."""
    found = []
    for number in range(draw(st.integers(least, 4))):
        method = draw(LINES)
        head = b"%b %b?%d HTTP/1.1\r\nhost: a\r\n" % (method, draw(PATHS.filter(lambda p: p != b"*")), number)
        found.append((method, head + draw(ENDS) + draw(BODIES)))
    return found


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


async def told(connect: Connect, script: list[bytes], turns: int) -> tuple[Wire, Connection]:
    """A connection that was told these pieces, with so many turns of the loop between two; then the caller leaves."""
    wire = connect()
    connection: Connection = wire.protocol
    for piece in script:
        for _ in range(200):
            if not wire.paused:
                break
            await asyncio.sleep(0)
        assert not wire.paused or wire.is_closing(), "it reads no more, ever"
        if wire.is_closing():
            break
        connection.data_received(piece)
        await settle(turns)
    await settle(80)
    sane(wire, connection)
    return wire, connection


def sane(wire: Wire, connection: Connection) -> None:
    """Whatever came: what it says of itself fits together."""
    assert not (connection.idle and connection.awaited and connection.exchange is not None)
    if not wire.ended:
        assert not wire.paused
        exchange = connection.exchange
        assert exchange is None or exchange.complete or exchange.more_body, "a whole request has no answer"


@pytest.fixture(scope="module")
def connect(loop: asyncio.AbstractEventLoop) -> Connect:
    """Connections."""
    return connects(
        TimedConfig("no:app", request_seconds=60, lifespan="off", ws="none", log_config=None), app
    )


common = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@common
@given(requests(least=1), st.lists(st.integers(0, 1000), max_size=8), st.integers(0, TURNS))
def test_each_request_has_one_answer_in_turn(
    loop: asyncio.AbstractEventLoop,
    connect: Connect,
    asked: list[tuple[bytes, bytes]],
    cuts: list[int],
    turns: int,
) -> None:
    """Wherever they are cut; until one of them ends the connection."""

    async def check() -> None:
        wire, _ = await told(connect, pieces(b"".join(data for _, data in asked), cuts), turns)
        answers = [
            answer
            for answer in answers_of(wire.sent, (method.decode() for method, _ in asked))
            if answer[0] != 100
        ]
        assert len(answers) == len(asked) or (0 < len(answers) < len(asked) and wire.ended)
        for number, ((method, data), (status, head, body)) in enumerate(zip(asked, answers, strict=False)):
            assert status == (500 if b"/bug" in data else 200)
            assert method == b"HEAD" or status == 500 or body == b"%d" % number
            if b"connection: close" in head:
                assert number == len(answers) - 1
                assert wire.ended
        wire.close()
        await settle(TURNS)

    loop.run_until_complete(check())


@common
@given(
    requests(),
    st.lists(ANY, max_size=5),
    st.lists(st.integers(0, 1000), max_size=8),
    st.integers(0, TURNS),
    requests(),
)
def test_nonsense_is_refused_once_and_what_came_before_is_answered(
    loop: asyncio.AbstractEventLoop,
    connect: Connect,
    before: list[tuple[bytes, bytes]],
    nonsense: list[bytes],
    cuts: list[int],
    turns: int,
    after: list[tuple[bytes, bytes]],
) -> None:
    """Whatever it is: what is said is HTTP, there is one refusal at most, the last of all, and the connection ends."""

    async def check() -> None:
        data = b"".join([*(data for _, data in before), *nonsense, *(data for _, data in after)])
        wire, connection = await told(connect, pieces(data, cuts), turns)
        statuses = statuses_of(wire.sent)
        assert statuses.count(b"400") <= 1
        if b"400" in statuses:
            assert statuses[-1] == b"400"
            assert wire.ended
        if not wire.ended:
            assert statuses[: len(before)].count(b"200") == len(before) or len(before) > len(statuses) - 1
        exchange = connection.exchange
        wire.close()
        await settle(80)
        assert exchange is None or exchange.complete or exchange.left
        assert connection.blocked is None

    loop.run_until_complete(check())


def statuses_of(said: bytes) -> list[bytes]:
    """The final statuses in what was said, whose bodies hold none."""
    found = [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]]
    return [status for status in found if status != b"100"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests(), st.lists(ANY, max_size=4), st.lists(st.integers(0, 1000), max_size=5), requests())
def test_a_gateway_closes_whatever_was_said_to_it(
    server: Server,
    before: list[tuple[bytes, bytes]],
    nonsense: list[bytes],
    cuts: list[int],
    after: list[tuple[bytes, bytes]],
) -> None:
    """Over the network: what it says is HTTP, and who says that nothing more comes meets an end, not a hang."""
    data = b"".join([*(data for _, data in before), *nonsense, *(data for _, data in after)])
    said = b""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # it was refused meanwhile
            for piece in pieces(data, cuts):
                connection.sendall(piece)
            with suppress(OSError):  # as above
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                said += more

    assert said == b"" or said.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in server.log.encode()[-20_000:]
