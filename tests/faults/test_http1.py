"""The HTTP/1.1 client against an upstream that does everything wrong, and some things right."""

import asyncio
import gc
import math
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from gateway_async import http1
from gateway_async.http1 import ConnectFailed, ConnectTimeout, Pool, ProtocolError, Response, Unfinished
from gateway_async.http1.request import head
from tests.faults.chaos import (
    CHUNKED,
    END,
    PATIENCE,
    SOON,
    Chaos,
    Peer,
    Script,
    answer,
    answering,
    chunk,
    full_backlog,
    once,
    stalled,
    until,
)
from tests.support.ports import closed_port

Start = Callable[..., Awaitable[Chaos]]
Certified = Callable[..., ssl.SSLContext]

OK = b"HTTP/1.1 200 OK\r\n"

WHOLE: dict[str, tuple[bytes, int, bytes]] = {
    "a length": (answer(), 200, b"hello"),
    "a length and a space": (OK + b"Content-Length: 5 \r\n\r\nhello", 200, b"hello"),
    "a length of nothing": (answer(b""), 200, b""),
    "chunks": (CHUNKED + chunk(b"hel") + chunk(b"lo") + END, 200, b"hello"),
    "capitals": (OK + b"TRANSFER-ENCODING: Chunked\r\n\r\n" + chunk(b"hello") + END, 200, b"hello"),
    "chunk extensions": (CHUNKED + b"5;a=b;c\r\nhello\r\n0;last\r\n\r\n", 200, b"hello"),
    "trailers": (CHUNKED + chunk(b"hello") + b"0\r\nX-Sum: 1\r\nX-Rest:\r\n\r\n", 200, b"hello"),
    "an empty chunked body": (CHUNKED + END, 200, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
    "continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + answer(), 200, b"hello"),
    "hints first": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(), 200, b"hello"),
    "much first": (b"HTTP/1.1 102 Processing\r\nContent-Length: 0\r\n\r\n" * 50 + answer(), 200, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "an odd reason": (answer(status="200 F\0\xff"), 200, b"hello"),
    "an empty header": (answer(headers=b"X-Empty:\r\n"), 200, b"hello"),
    "latin-1 in a header": (answer(headers=b"X-Name: \xe9\xff\r\n"), 200, b"hello"),
    "blank lines first": (b"\r\n\r\n" + answer(), 200, b"hello"),
    "a coding that is none": (answer(headers=b"Content-Encoding: Identity\r\n"), 200, b"hello"),
    "an unknown status": (answer(status="599 Whatever"), 599, b"hello"),
    "an offer to upgrade": (answer(headers=b"Upgrade: h2c\r\nConnection: upgrade\r\n"), 200, b"hello"),
    "1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        200,
        b"hello",
    ),
}
"""Answers after which the connection serves again: bytes, status, body."""

LAST: dict[str, tuple[bytes, int, bytes]] = {
    "until the end": (OK + b"\r\nhello", 200, b"hello"),
    "until the end, of nothing": (OK + b"\r\n", 200, b""),
    "until the end, said so": (OK + b"Connection: close\r\n\r\nhello", 200, b"hello"),
    "until the end, 1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "a length, and close": (answer(headers=b"Connection: close\r\n"), 200, b"hello"),
    "chunks, and close": (
        OK + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + END,
        200,
        b"hello",
    ),
    "1.0 with a length": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "more than the length": (answer() + b"trash", 200, b"hello"),
    "a second answer": (answer() + answer(b"evil", status="500 Evil"), 200, b"hello"),
    "half a second answer": (answer() + b"HTTP/1.1 200 OK\r\nX-Swallow: ", 200, b"hello"),
    "a second answer behind chunks": (CHUNKED + chunk(b"hello") + END + answer(b"evil"), 200, b"hello"),
    "a body without content": (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204, b""),
    "data behind close": (answer(headers=b"Connection: close\r\n") + answer(b"evil"), 200, b"hello"),
}
"""Answers that are whole, and after which the connection must not serve again."""

BROKEN = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP at all",
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/3": b"HTTP/3.0 200 OK\r\n\r\n",
    "an ICY status": b"ICY 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a negative status": b"HTTP/1.1 -20 OK\r\n\r\n",
    "status zero": answer(status="000 Nothing"),
    "status 99": answer(status="099 Low"),
    "another protocol, switched to": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "another protocol, unnamed": b"HTTP/1.1 101 Switching\r\n\r\n" + answer(),
    "a body before the answer": b"HTTP/1.1 199 Odd\r\nContent-Length: 4\r\n\r\nevil" + answer(),
    "chunks before the answer": b"HTTP/1.1 150 Odd\r\nTransfer-Encoding: chunked\r\n\r\n" + END + answer(),
    "a bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "a bare carriage return": b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello",
    "a folded header": answer(headers=b"X-Long: a\r\n b\r\n"),
    "a space before the colon": answer(headers=b"X-Odd : a\r\n"),
    "a header without a name": answer(headers=b": a\r\n"),
    "a header without a colon": answer(headers=b"nonsense\r\n"),
    "NUL in a name": answer(headers=b"X-\0: a\r\n"),
    "NUL in a value": answer(headers=b"X-Nul: a\0b\r\n"),
    "a negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "a length with a plus": OK + b"Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "a length of nonsense": OK + b"Content-Length: five\r\n\r\nhello",
    "an empty length": OK + b"Content-Length:\r\n\r\nhello",
    "a huge length": OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "another transfer encoding": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "chunked before another": OK + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END,
    "another before chunked": OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "almost chunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n" + END,
    "a negative chunk": CHUNKED + b"-5\r\nhello\r\n",
    "a huge chunk": CHUNKED + b"fffffffffffffffff\r\nhello\r\n",
    "a chunk without a size": CHUNKED + b"\r\nhello\r\n",
    "a chunk size of nonsense": CHUNKED + b"xyz\r\nhello\r\n",
    "a chunk longer than its size": CHUNKED + b"5\r\nhello!\r\n" + END,
    "a chunk with bare line feeds": CHUNKED + b"5\nhello\n0\n\n",
    "a length in the trailers": CHUNKED + chunk(b"hello") + b"0\r\nContent-Length: 3\r\n\r\n",
    "a flood of headers": answer(headers=b"".join(b"X-%d: y\r\n" % number for number in range(5000))),
    "a flood of one header": answer(headers=b"a:b\r\n" * 20_000),
    "a very long header": answer(headers=b"X-Long: " + b"y" * 2**17 + b"\r\n"),
    "a header without an end": OK + b"X-Long: " + b"y" * 2**20,
    "a name without an end": OK + b"y" * 2**20,
    "a reason without an end": b"HTTP/1.1 200 " + b"y" * 2**20,
    "continue without an end": b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" * 20_000,
    "trailers without an end": CHUNKED + b"0\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)),
    "a trailer without an end": CHUNKED + b"0\r\nX-Long: " + b"y" * 2**20,
    "a chunk extension without an end": CHUNKED + b"5;" + b"y" * 2**20,
    "gzip": answer(headers=b"Content-Encoding: gzip\r\n"),
    "gzip among others": answer(headers=b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n"),
}
"""What is refused, whatever the connection does afterwards."""

CUT_OFF = {
    "before the status": b"",
    "in the status": b"HTTP/1.1 2",
    "in the headers": OK + b"Content-Le",
    "after continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before the body": OK + b"Content-Length: 5\r\n\r\n",
    "in the body": OK + b"Content-Length: 5\r\n\r\nhel",
    "before the chunks": CHUNKED,
    "in a chunk size": CHUNKED + b"5",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "between chunks": CHUNKED + chunk(b"hello"),
    "before the last line": CHUNKED + chunk(b"hello") + b"0\r\n",
    "in the trailers": CHUNKED + chunk(b"hello") + b"0\r\nX-Sum: 1\r\n",
}
"""Where an answer may break off."""

ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


async def ask(
    pool: Pool,
    url: str,
    *,
    body: bytes = b"ping",
    stream: bool = False,
    connect: float = PATIENCE,
    wait: float = PATIENCE,
    total: float = math.inf,
    headers: dict[str, str] | None = None,
    unique: bool = False,
) -> Response:
    """A request to the client."""
    return await pool.request(
        "POST",
        f"{url}/x",
        headers or {},
        body,
        connect=connect,
        wait=wait,
        total=total,
        stream=stream,
        unique=unique,
    )


async def read(response: Response, *, wait: float = PATIENCE) -> bytes:
    """All of a body."""
    pieces = []
    while data := await response.read(wait):
        pieces.append(data)
    return b"".join(pieces)


async def fetch(pool: Pool, url: str, **settings: Any) -> tuple[int, bytes]:
    """Status and body of an answer; the connection is given back."""
    response = await ask(pool, url, **settings)
    try:
        body = await read(response)
    except BaseException:
        response.abort()
        raise
    status = response.status
    response.done()
    return status, body


def kept(pool: Pool) -> int:
    """How many connections wait for their next request."""
    return sum(len(idle) for idle in pool._idle.values())


def together(count: int) -> Script:
    """Give no answer before this many requests have come."""
    barrier = asyncio.Barrier(count)

    async def script(peer: Peer) -> None:
        await peer.request()
        await barrier.wait()
        await peer.send(answer())
        await answering(answer())(peer)

    return script


# Answers that are right.


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_is_read_and_its_connection_serves_again(
    name: str, pool: Pool, upstream: Start
) -> None:
    """However the answer is framed, its end is known, and the next answer begins behind it."""
    data, status, body = WHOLE[name]
    server = await upstream(answering(data, answer(b"next"), data, answer(b"next")))

    for stream in (False, True):
        assert await fetch(pool, server.url, stream=stream) == (status, body)
        assert await fetch(pool, server.url, stream=stream) == (200, b"next")
    assert server.connections == 1


@pytest.mark.parametrize("name", LAST)
async def test_a_connection_that_can_not_be_trusted_serves_once(
    name: str, pool: Pool, upstream: Start
) -> None:
    """What comes behind an answer is never taken for the next one."""
    data, status, body = LAST[name]

    async def script(peer: Peer) -> None:
        if len(server.peers) % 2:
            await once(data, then="close")(peer)
        else:
            await peer.request()
            await peer.send(answer(b"next", headers=b"Connection: close\r\n"))

    server = await upstream(script)

    for stream in (False, True):
        assert await fetch(pool, server.url, stream=stream) == (status, body)
        assert await fetch(pool, server.url, stream=stream) == (200, b"next")
    assert server.connections == 4


@ways
async def test_an_answer_may_come_byte_by_byte(stream: bool, pool: Pool, upstream: Start) -> None:
    """No matter where the packets end."""
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        + CHUNKED
        + b"2;x\r\nhe\r\n"
        + chunk(b"llo")
        + b"0\r\nX-Sum: 1\r\n\r\n"
    )

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.drip(data)

    server = await upstream(script)

    for _ in range(2):
        assert await fetch(pool, server.url, stream=stream) == (200, b"hello")
    assert server.connections == 1


async def test_headers_have_small_names_and_repeated_ones_a_comma(pool: Pool, upstream: Start) -> None:
    """No value is lost, and trailers are not among them."""
    server = await upstream(
        answering(
            OK
            + b"X-One: a\r\nx-one: b\r\nRetry-After:  7 \r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"0\r\nRetry-After: 900\r\nX-Late: c\r\n\r\n"
        )
    )

    response = await ask(pool, server.url)
    response.done()

    assert response.headers == {"x-one": "a, b", "retry-after": "7 ", "transfer-encoding": "chunked"}


async def test_headers_of_hints_are_not_those_of_the_answer(pool: Pool, upstream: Start) -> None:
    """An interim answer leaves nothing behind."""
    hints = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 900\r\nConnection: keep-alive\r\n\r\n"
    server = await upstream(answering(hints + answer(), answer()))

    response = await ask(pool, server.url)
    response.done()

    assert response.headers == {"content-length": "5"}


async def test_a_stream_gives_what_came_as_soon_as_it_came(pool: Pool, upstream: Start) -> None:
    """Headers before any body, and each piece before the next."""
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        for data in (CHUNKED, chunk(b"one"), chunk(b"two") + END):
            await peer.send(data)
            await go.wait()
            go.clear()

    server = await upstream(script)

    response = await ask(pool, server.url, stream=True)
    go.set()
    assert await response.read(5) == b"one"
    go.set()
    assert await response.read(5) == b"two"
    assert await response.read(5) == b""
    response.done()
    assert kept(pool) == 1


# Answers that are wrong.


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_not_an_answer_is_refused_at_once(name: str, pool: Pool, upstream: Start) -> None:
    """The caller gets a `ProtocolError` and the connection is closed, though the upstream holds it open."""
    left = []

    async def script(peer: Peer) -> None:
        await peer.request()
        try:
            await peer.send(BROKEN[name])
        finally:
            left.append(await peer.gone())

    server = await upstream(script)

    for stream in (False, True):
        with pytest.raises(ProtocolError):
            await fetch(pool, server.url, stream=stream)
    await until(lambda: len(left) == 2)
    assert max(left) < SOON


@pytest.mark.parametrize("then", ["close", "half_close", "reset"])
@pytest.mark.parametrize("name", CUT_OFF)
async def test_an_answer_that_breaks_off_is_an_error(
    name: str, then: str, pool: Pool, upstream: Start
) -> None:
    """Half an answer is never taken for a whole one."""
    server = await upstream(once(CUT_OFF[name], then=then))

    for stream in (False, True):
        with pytest.raises(OSError) as broken:  # noqa: PT011 - any of them
            await fetch(pool, server.url, stream=stream)
        assert not isinstance(broken.value, TimeoutError | ConnectFailed)


@ways
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_what_came_of_an_answer_that_broke_off_is_freed_at_once(
    then: str, stream: bool, pool: Pool, upstream: Start
) -> None:
    """A collector that comes when it likes would let megabytes come together."""
    server = await upstream(once(CUT_OFF["in the body"], then=then))

    async def fail() -> None:
        try:
            await fetch(pool, server.url, stream=stream)
        except OSError as problem:
            problem.__traceback__ = None  # as its callers do, since it leads to the connection
        else:
            pytest.fail("half an answer was taken for a whole one")

    gc.disable()
    try:
        await asyncio.create_task(fail())
        await asyncio.sleep(0.1)  # asyncio's own transport lets go in its turn
        assert not [
            found for found in gc.get_objects() if isinstance(found, Response) and found._pool is pool
        ]
    finally:
        gc.enable()


@ways
async def test_a_reset_is_not_the_end_of_an_answer_without_length(
    stream: bool, pool: Pool, upstream: Start
) -> None:
    """Only a connection that was closed properly ends such an answer."""
    server = await upstream(once(OK + b"\r\nhel", then="reset"))

    with pytest.raises(ConnectionError):
        await fetch(pool, server.url, stream=stream)


async def test_what_came_before_a_stream_broke_is_given_first(pool: Pool, upstream: Start) -> None:
    """The pieces, then the error, and the error again for who asks again."""
    server = await upstream(once(CHUNKED + chunk(b"hello") + b"zzz\r\n"))

    response = await ask(pool, server.url, stream=True)

    assert await response.read(5) == b"hello"
    for _ in range(2):
        with pytest.raises(ProtocolError):
            await response.read(5)
    response.done()
    assert kept(pool) == 0


async def test_an_answer_larger_than_allowed_is_refused(pool: Pool, upstream: Start) -> None:
    """A whole answer has a limit, so that none fills the memory; a stream has none."""
    server = await upstream(answering(answer(b"x" * (2**20 + 1))))

    with pytest.raises(ProtocolError, match="more than 1048576 bytes"):
        await ask(pool, server.url)
    assert (await fetch(pool, server.url, stream=True))[1] == b"x" * (2**20 + 1)


async def test_an_endless_answer_is_refused_when_it_is_too_large(pool: Pool, upstream: Start) -> None:
    """An upstream that never ends can't fill the memory, and is left."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\n")
        while True:
            await peer.send(b"x" * 2**16)

    server = await upstream(script)

    with pytest.raises(ProtocolError, match="more than"):
        await ask(pool, server.url)
    await server.peers[0].gone()


# Silence.


SILENT = (b"", b"HTTP/1.", OK + b"X-", b"HTTP/1.1 100 Continue\r\n\r\n")
"""Where an upstream may fall silent before its answer: at all, in the status, in the headers, after an interim answer."""


@ways
async def test_silence_before_the_answer_ends_at_the_deadline(
    stream: bool, pool: Pool, upstream: Start
) -> None:
    """Not earlier, hardly later, and the upstream sees that nobody waits any more."""

    async def wait(data: bytes) -> None:
        server = await upstream(once(data))
        began = time.monotonic()
        with pytest.raises(TimeoutError) as late:
            await ask(pool, server.url, stream=stream, wait=0.15)
        assert not isinstance(late.value, ConnectTimeout | Unfinished)
        assert 0.14 < time.monotonic() - began < SOON
        await until(lambda: server.peers[0].left)

    await asyncio.gather(*map(wait, SILENT))


async def test_an_answer_that_stops_halfway_is_unfinished(pool: Pool, upstream: Start) -> None:
    """Once it has begun, `total` counts and `wait` no more."""

    async def wait(data: bytes) -> None:
        server = await upstream(once(data))
        began = time.monotonic()
        with pytest.raises(Unfinished):
            await ask(pool, server.url, wait=1, total=1.5)
        assert 1.49 < time.monotonic() - began < SOON

    await asyncio.gather(
        *map(wait, (OK + b"Content-Length: 5\r\n\r\nhel", CHUNKED + b"0\r\nX-", OK + b"\r\nhi"))
    )


async def test_a_trickle_does_not_put_off_the_deadline(pool: Pool, upstream: Start) -> None:
    """A byte now and then is not an answer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.drip(OK + b"X: " + b"y" * 10_000, pause=0.01)

    server = await upstream(script)

    with pytest.raises(TimeoutError):
        await ask(pool, server.url, wait=0.1)
    with pytest.raises(TimeoutError):
        await ask(pool, server.url, total=0.1)


async def test_a_body_that_trickles_keeps_within_its_total(pool: Pool, upstream: Start) -> None:
    """An upstream that sends a little each moment does not hold its caller for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 10000\r\n\r\n")
        await peer.drip(b"y" * 10_000, pause=0.01)

    server = await upstream(script)

    with pytest.raises(Unfinished):
        await ask(pool, server.url, total=1)


async def test_a_stream_that_pauses_too_long_is_left(pool: Pool, upstream: Start) -> None:
    """The time is counted from when the reader asked."""
    server = await upstream(once(CHUNKED + chunk(b"hello")))
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5) == b"hello"
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        await response.read(0.2)

    assert 0.19 < time.monotonic() - began < SOON
    response.abort()


async def test_a_slow_reader_does_not_lose_its_stream(pool: Pool, upstream: Start) -> None:
    """While the reader is busy with what came nobody waits, and no deadline passes."""
    data = chunk(b"one")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + data)
        await asyncio.sleep(1.2)
        await peer.send(chunk(b"two") + END)
        await peer.gone()

    server = await upstream(script)
    response = await ask(pool, server.url, stream=True, wait=1)

    assert await response.read(1) == b"one"
    await asyncio.sleep(1.4)
    assert await response.read(1) == b"two"
    assert await response.read(1) == b""
    response.done()
    assert kept(pool) == 1


async def test_deadlines_of_many_requests_pass_each_for_itself(pool: Pool, upstream: Start) -> None:
    """One timer serves all of them, and an early deadline does not wait for a late one."""
    server = await upstream(once(b""))
    began = time.monotonic()

    async def wait(seconds: float) -> float:
        with pytest.raises(TimeoutError):
            await ask(pool, server.url, wait=seconds)
        return time.monotonic() - began - seconds

    last = asyncio.create_task(ask(pool, server.url))
    late = await asyncio.gather(*(wait(0.1 + 0.01 * (number % 30)) for number in range(60)))

    assert min(late) > -0.01
    assert max(late) < SOON
    assert not last.done()
    last.cancel()
    await asyncio.wait([last])


async def test_the_timer_stops_when_nothing_is_left_to_watch(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that serves nobody is not woken, and one that serves again is watched again."""
    monkeypatch.setattr("gateway_async.http1.pool.KEEP_ALIVE_SECONDS", 0.05)
    server = await upstream(answering(answer()))
    await fetch(pool, server.url)
    assert pool._ticking

    await until(lambda: not pool._ticking)

    assert not pool._idle
    silent = await upstream(once(b""))
    with pytest.raises(TimeoutError):
        await ask(pool, silent.url, wait=0.1)


# Connections: taking, keeping, losing.


async def test_a_kept_connection_is_used_no_more_after_a_while(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers close idle connections, and a request in that moment would be lost."""
    monkeypatch.setattr("gateway_async.http1.pool.TICK_SECONDS", 60)
    monkeypatch.setattr("gateway_async.http1.pool.KEEP_ALIVE_SECONDS", 0.05)
    server = await upstream(answering(answer()))
    await fetch(pool, server.url)
    await asyncio.sleep(0.1)

    await fetch(pool, server.url)

    assert server.connections == 2
    await server.peers[0].gone()


async def test_a_kept_connection_is_closed_after_a_while(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst does not leave its connections open for ever."""
    monkeypatch.setattr("gateway_async.http1.pool.KEEP_ALIVE_SECONDS", 1.5)
    server = await upstream(together(30))
    await asyncio.gather(*(fetch(pool, server.url) for _ in range(30)))
    assert kept(pool) == server.connections == 30

    await until(lambda: kept(pool) == 0)
    for peer in server.peers:
        await peer.gone()


async def test_the_connection_that_was_used_last_is_used_first(pool: Pool, upstream: Start) -> None:
    """So the others can grow old and close."""
    server = await upstream(together(10))
    await asyncio.gather(*(fetch(pool, server.url) for _ in range(10)))

    for _ in range(20):
        await fetch(pool, server.url)

    assert server.connections == 10
    assert sorted(len(peer.asked) for peer in server.peers) == [1] * 9 + [21]


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
async def test_a_kept_connection_that_the_upstream_ends_is_not_used(
    how: str, pool: Pool, upstream: Start
) -> None:
    """The next request opens another one, and succeeds."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await asyncio.sleep(0.02)
        await getattr(peer, how)()
        await peer.gone()

    server = await upstream(script)

    for _ in range(3):
        assert await fetch(pool, server.url) == (200, b"hello")
        await until(lambda: kept(pool) == 0)
    assert server.connections == 3


@pytest.mark.parametrize("how", ["close", "half_close", "reset"])
async def test_a_connection_that_closes_with_its_answer_does_not_lose_the_next_request(
    how: str, pool: Pool, upstream: Start
) -> None:
    """The end may come in the same moment as the last byte: such a connection is closing, and not taken."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(answer())
        await getattr(peer, "close" if how == "reset" else how)()

    server = await upstream(script)

    for _ in range(20):
        response = await ask(pool, server.url)
        response.done()
        await asyncio.sleep(0.002)  # the end of the connection is there, or will be within this round
        assert await fetch(pool, server.url) == (200, b"hello")
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"x",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        answer(b"evil"),
    ],
)
async def test_a_kept_connection_on_which_something_comes_is_closed(
    data: bytes, pool: Pool, upstream: Start
) -> None:
    """What nobody asked for would be taken for the next request's answer."""

    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        if server.connections == 1:
            await go.wait()
            await peer.send(data)
        await peer.gone()

    server = await upstream(script)
    await fetch(pool, server.url)
    assert kept(pool) == 1

    go.set()
    await until(lambda: kept(pool) == 0)
    assert await fetch(pool, server.url) == (200, b"hello")
    assert server.connections == 2


@pytest.mark.parametrize("data", [answer(b"evil"), b"HTTP/1.1 200 OK\r\nX-Swallow: ", b"garbage"])
async def test_a_connection_on_which_an_answer_comes_before_its_request_is_not_used(
    data: bytes, pool: Pool, upstream: Start
) -> None:
    """Nothing that was sent before the request is read as the answer to it."""

    async def script(peer: Peer) -> None:
        await peer.send(data)
        await peer.gone()

    server = await upstream(script)
    try:
        connection = await pool._connect(http1.Origin("127.0.0.1", server.port, tls=False), 5)
    except ConnectFailed:
        return  # it came in the very moment

    await until(lambda: not connection.usable())
    await server.peers[0].gone()


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_that_ends_as_it_is_made_is_an_error_at_once(
    how: str, pool: Pool, upstream: Start
) -> None:
    """Whatever the moment, the request does not wait for its deadline."""

    async def script(peer: Peer) -> None:
        await getattr(peer, how)()

    server = await upstream(script)

    for _ in range(20):
        with pytest.raises(OSError) as failed:  # noqa: PT011 - which of them depends on the moment
            await ask(pool, server.url)
        assert not isinstance(failed.value, TimeoutError)


async def test_requests_at_once_take_a_connection_each(pool: Pool, upstream: Start) -> None:
    """No connection carries two requests, however they are mixed."""

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            await asyncio.sleep(int(asked.body) % 7 / 1000)
            await peer.send(answer(asked.body))

    server = await upstream(script)

    async def worker(start: int) -> None:
        for number in range(start, start + 20):
            body = b"%d" % number
            assert (await fetch(pool, server.url, body=body, stream=number % 2 == 0))[1] == body

    await asyncio.gather(*(worker(100 * number) for number in range(30)))

    assert server.connections == kept(pool) <= 30


async def test_connections_of_one_host_do_not_serve_another(pool: Pool, upstream: Start) -> None:
    """Host, port and whether it is encrypted are all compared."""
    one, other = await upstream(answering(answer(b"one"))), await upstream(answering(answer(b"other")))
    named = one.url.replace("127.0.0.1", "localhost")

    for _ in range(2):
        assert (await fetch(pool, one.url))[1] == b"one"
        assert (await fetch(pool, other.url))[1] == b"other"
        assert (await fetch(pool, named))[1] == b"one"

    assert (one.connections, other.connections) == (2, 1)


async def test_closing_the_pool_fails_what_is_under_way(upstream: Start) -> None:
    """Requests and streams get an error at once, and no connection is left."""
    pool = Pool(2**20)
    silent, streaming = await upstream(once(b"")), await upstream(once(CHUNKED + chunk(b"one")))
    kept_open = await upstream(answering(answer()))
    await fetch(pool, kept_open.url)
    waiting = asyncio.create_task(ask(pool, silent.url))
    stream = await ask(pool, streaming.url, stream=True)
    assert await stream.read(5) == b"one"
    reading = asyncio.create_task(stream.read(5))
    await until(lambda: silent.asked)

    pool.close()

    for task in (waiting, reading):
        with pytest.raises(OSError, match="closed"):
            await task
    for server in (silent, streaming, kept_open):
        assert await server.peers[0].gone() < SOON
    pool.close()


async def test_a_pool_that_was_closed_keeps_no_connection(upstream: Start) -> None:
    """Nor does one whose connection was being made."""
    pool = Pool(2**20)
    server = await upstream(answering(answer()))
    asking = asyncio.create_task(ask(pool, server.url))
    await asyncio.sleep(0)

    pool.close()

    with pytest.raises(ConnectFailed):
        await asking
    await until(lambda: not pool._busy)
    assert kept(pool) == 0


# Requests that are large, or answered early.


async def test_a_large_request_reaches_a_slow_upstream_whole(pool: Pool, upstream: Start) -> None:
    """What the socket does not take at once waits, and no byte is lost."""
    body = bytes(range(256)) * 2**15

    async def script(peer: Peer) -> None:
        await asyncio.sleep(0.1)
        asked = await peer.request()
        await peer.send(answer(b"%d" % (asked.body == body)))

    server = await upstream(script)

    assert await fetch(pool, server.url, body=body) == (200, b"1")


@ways
@pytest.mark.parametrize("then", ["hold", "close"])
async def test_a_refusal_that_comes_before_the_request_is_sent_is_read(
    then: str, stream: bool, pool: Pool, upstream: Start
) -> None:
    """The upstream says why it reads no further, and the half-written request's connection is not kept."""
    over = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too large", status="413 Content Too Large"))
        if then == "close":
            await peer.half_close()
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()

    server = await upstream(script)

    assert await fetch(pool, server.url, body=b"x" * 2**25, stream=stream) == (413, b"too large")
    assert kept(pool) == 0
    over.set()


@pytest.mark.parametrize("let_go", [Response.done, Response.abort])
async def test_a_connection_that_ended_behind_a_refusal_can_be_let_go(
    let_go: Callable[[Response], None], pool: Pool, upstream: Start
) -> None:
    """The refusal came early and was the last word, but the upstream took the rest of the request all the same."""
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too large", status="413 Content Too Large"))
        await peer.half_close()
        await go.wait()
        await peer.gone()

    server = await upstream(script)
    response = await ask(pool, server.url, body=b"x" * 2**25, stream=True)
    await until(lambda: not response.usable())
    go.set()
    await server.peers[0].gone()

    assert await read(response) == b"too large"
    let_go(response)


async def test_an_upstream_that_takes_no_more_of_a_request_is_left_at_the_deadline(
    pool: Pool, upstream: Start
) -> None:
    """A request that can't be written ends as one that is not answered."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    server = await upstream(script)

    with pytest.raises(TimeoutError):
        await ask(pool, server.url, body=b"x" * 2**25, wait=0.5)


async def test_an_upstream_that_resets_while_the_request_is_written_is_an_error(
    pool: Pool, upstream: Start
) -> None:
    """And nothing hangs or is logged."""

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.reset()

    server = await upstream(script)

    with pytest.raises(ConnectionError):
        await ask(pool, server.url, body=b"x" * 2**25)


# Streams that nobody reads to the end, or not quickly.


async def test_a_finished_stream_waits_for_its_end_and_serves_again(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last bytes of a stream say only that it is over: they are not worth a connection."""
    monkeypatch.setattr("gateway_async.http1.connection.LINGER_SECONDS", PATIENCE)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(CHUNKED + chunk(b"[DONE]"))
            await asyncio.sleep(0.05)
            await peer.send(chunk(b": bye") + END)

    server = await upstream(script)

    for _ in range(3):
        response = await ask(pool, server.url, stream=True)
        assert await response.read(5) == b"[DONE]"
        response.done()
        await until(lambda: kept(pool) == 1)
    assert server.connections == 1


async def test_a_stream_whose_end_does_not_come_is_closed(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it, and meanwhile its connection serves nobody."""
    monkeypatch.setattr("gateway_async.http1.connection.LINGER_SECONDS", 0.2)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while True:
            await peer.send(chunk(b"x" * 2**16))
            await asyncio.sleep(0)

    server = await upstream(script)
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5)
    response.done()
    assert not response._pieces

    other = asyncio.create_task(ask(pool, server.url, stream=True))
    await server.peers[0].gone()
    assert not response._pieces
    (await other).abort()
    assert server.connections == 2


@pytest.mark.parametrize("data", [b"zz\r\n", b"0\r\n\r\ntrash", b"0\r\n\r\n" + answer(b"evil")])
async def test_a_finished_stream_with_a_bad_end_does_not_serve_again(
    data: bytes, pool: Pool, upstream: Start
) -> None:
    """What stands behind the end is known before the connection is taken."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"[DONE]"))
        await asyncio.sleep(0.02)
        await peer.send(data)
        await peer.gone()

    server = await upstream(script)
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5) == b"[DONE]"
    response.done()

    await server.peers[0].gone()
    assert kept(pool) == 0


async def test_a_stream_that_is_let_go_unread_is_closed_at_once(pool: Pool, upstream: Start) -> None:
    """The upstream need not work for nobody."""
    server = await upstream(once(CHUNKED + chunk(b"one")))
    response = await ask(pool, server.url, stream=True)

    response.abort()

    assert await server.peers[0].gone() < SOON
    with pytest.raises(OSError, match="this side"):
        await read(response)


async def test_a_stream_that_was_let_go_is_not_taken_for_a_whole_one(pool: Pool, upstream: Start) -> None:
    """An answer without a length ends with its connection, but not when this side closes it."""
    server = await upstream(once(OK + b"\r\nhello"))
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5) == b"hello"

    response.abort()
    await asyncio.sleep(0.05)

    with pytest.raises(OSError, match="this side"):
        await response.read(5)


async def test_a_stream_that_is_given_back_while_somebody_reads_is_closed(
    pool: Pool, upstream: Start
) -> None:
    """Its reader must not get the next request's answer."""
    server = await upstream(once(CHUNKED + chunk(b"one")))
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5) == b"one"
    reading = asyncio.create_task(response.read(5))
    await asyncio.sleep(0)

    response.done()

    with pytest.raises(OSError, match="this side"):
        await reading
    assert await server.peers[0].gone() < SOON


async def test_a_slow_reader_slows_its_upstream(pool: Pool, upstream: Start) -> None:
    """What is held is bounded, whatever the upstream would send; then all of it arrives."""
    size = 2**26

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // 2**16):
            await peer.send(b"x" * 2**16)

    server = await upstream(script)
    response = await ask(pool, server.url, stream=True)

    await stalled(server.peers[0], below=2**24)  # what the kernel's buffers hold

    assert response._size <= http1.HIGH_WATER + 2**18
    other = await upstream(answering(answer()))
    assert await fetch(pool, other.url) == (200, b"hello")

    total = 0
    while data := await response.read(5):
        total += len(data)
        assert len(data) <= http1.HIGH_WATER + 2**18
    assert total == size
    response.done()
    assert kept(pool) == 2


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("by", ["upstream", "pool", "reader"])
async def test_a_paused_stream_that_ends_gives_what_it_holds_and_then_the_error(
    by: str, tls: bool, pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """Whoever ends it, while its reader is busy elsewhere."""
    paused = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\n")
        for _ in range(16):
            await peer.send(b"x" * 2**16)
        await paused.wait()
        if by == "upstream":
            await peer.reset()
        else:
            await peer.gone()

    server = await upstream(script, tls=certified("127.0.0.1") if tls else None)
    response = await ask(pool, server.url, stream=True)
    await until(lambda: response._paused)
    paused.set()
    await asyncio.sleep(0.05)
    if by == "pool":
        pool.close()
    elif by == "reader":
        response.abort()
    await asyncio.sleep(0.05)

    assert await response.read(5)
    with pytest.raises(OSError) as broken:  # noqa: PT011 - any of them
        await read(response)
    assert not isinstance(broken.value, TimeoutError)
    response.done()
    assert kept(pool) == 0


async def test_a_connection_that_had_paused_reads_the_next_answer(pool: Pool, upstream: Start) -> None:
    """Whoever gives back a stream with much of it unread leaves no connection behind that is deaf."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"x" * (2**18 + 2**16)))
        await answering(answer(b"next"))(peer)

    server = await upstream(script)
    response = await ask(pool, server.url, stream=True)
    await until(lambda: response._complete or response._paused)
    response.done()
    await until(lambda: kept(pool) == 1)

    assert await fetch(pool, server.url) == (200, b"next")
    assert server.connections == 1


# Cancellation.


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@ways
async def test_a_request_may_be_cancelled_at_any_moment(
    tls: bool, stream: bool, pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """No connection, no timer and no error is left behind, and the next request succeeds."""
    server = await upstream(answering(answer()), tls=certified("127.0.0.1") if tls else None)
    finished = 0
    for rounds in range(60):
        request = asyncio.create_task(fetch(pool, server.url, stream=stream))
        for _ in range(rounds):
            await asyncio.sleep(0)
        request.cancel()
        try:
            assert await request == (200, b"hello")
            finished += 1
        except asyncio.CancelledError:
            pass
        assert not pool._busy
        if rounds % 10 == 0:
            assert await fetch(pool, server.url) == (200, b"hello")
    assert await fetch(pool, server.url) == (200, b"hello")
    await until(lambda: sum(not peer.left for peer in server.peers) == kept(pool))


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.", OK, OK + b"Content-Length: 5\r\n\r\nhe", CHUNKED + b"5\r\nhe"]
)
async def test_a_cancelled_request_closes_its_connection_at_once(
    data: bytes, pool: Pool, upstream: Start
) -> None:
    """The upstream need not go on with what nobody waits for."""
    server = await upstream(once(data))
    request = asyncio.create_task(ask(pool, server.url))
    await until(lambda: server.asked)
    await asyncio.sleep(0.02)

    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert await server.peers[0].gone() < SOON


async def test_a_cancelled_reader_closes_its_stream_at_once(pool: Pool, upstream: Start) -> None:
    """And the stream is not taken for one that ended."""
    server = await upstream(once(OK + b"\r\nhello"))
    response = await ask(pool, server.url, stream=True)
    assert await response.read(5) == b"hello"
    reading = asyncio.create_task(response.read(5))
    await asyncio.sleep(0.02)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await server.peers[0].gone() < SOON
    with pytest.raises(OSError, match="this side"):
        await response.read(5)


async def test_a_request_that_is_cancelled_as_its_answer_comes_keeps_nothing(
    pool: Pool, upstream: Start
) -> None:
    """The answer and the cancellation in one round of the loop: the cancellation counts."""
    server = await upstream(once(b""))
    request = asyncio.create_task(ask(pool, server.url))
    await until(lambda: server.asked)
    (connection,) = pool._busy
    connection.data_received(answer())

    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert kept(pool) == 0
    assert await server.peers[0].gone() < SOON


async def test_an_answer_that_is_whole_at_its_deadline_counts(pool: Pool, upstream: Start) -> None:
    """The answer and the deadline in one round of the loop: the answer counts, the connection does not."""
    server = await upstream(once(b""))
    request = asyncio.create_task(fetch(pool, server.url))
    await until(lambda: server.asked)
    (connection,) = pool._busy
    connection.data_received(answer())
    connection.expire()

    assert await request == (200, b"hello")
    assert kept(pool) == 0


# Connecting.


async def test_a_port_that_nobody_listens_on_is_an_error_at_once(pool: Pool) -> None:
    """And says why."""
    with pytest.raises(ConnectFailed, match="refused"):
        await ask(pool, f"http://127.0.0.1:{closed_port()}")


async def test_a_host_that_does_not_answer_is_left_in_time(pool: Pool) -> None:
    """Connecting has a limit of its own, and the total is one too."""
    with full_backlog() as port:
        for connect, total in ((0.1, math.inf), (PATIENCE, 0.1)):
            began = time.monotonic()
            with pytest.raises(ConnectTimeout):
                await ask(pool, f"http://127.0.0.1:{port}", connect=connect, total=total)
            assert 0.09 < time.monotonic() - began < SOON


async def test_a_request_that_is_cancelled_while_it_connects_leaves_nothing(pool: Pool) -> None:
    """No socket stays open; whether that is so shows at the end of the module."""
    with full_backlog() as port:
        request = asyncio.create_task(ask(pool, f"http://127.0.0.1:{port}"))
        await asyncio.sleep(0.02)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name under `.example` stand for these addresses."""
    resolve = asyncio.get_running_loop().getaddrinfo

    async def getaddrinfo(host: str, port: int, **settings: Any) -> list[Any]:
        if not host.endswith(".example"):
            return await resolve(host, port, **settings)
        found: list[Any] = []
        for address in addresses:
            kind = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            found.append((kind, socket.SOCK_STREAM, 6, "", address))
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_host_with_a_dead_address_is_reached_by_the_next(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs costs a moment, one that refuses costs nothing."""
    server = await upstream(answering(answer()))
    with full_backlog() as dead:
        for first in (("127.0.0.1", dead), ("127.0.0.1", closed_port()), ("::1", closed_port())):
            resolving(monkeypatch, first, ("127.0.0.1", server.port))
            began = time.monotonic()
            assert await fetch(pool, f"http://api-{first[1]}.example") == (200, b"hello")
            assert time.monotonic() - began < SOON


async def test_a_request_that_is_cancelled_between_two_addresses_leaves_nothing(
    pool: Pool, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the connections comes first is closed."""
    server = await upstream(answering(answer()))
    monkeypatch.setattr("gateway_async.http1.pool.NEXT_ADDRESS_SECONDS", 0.0)
    with full_backlog() as dead:
        resolving(monkeypatch, ("127.0.0.1", dead), ("127.0.0.1", server.port))
        for rounds in range(0, 40, 2):
            request = asyncio.create_task(fetch(pool, "http://api.example"))
            for _ in range(rounds):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            assert not pool._busy


async def test_a_name_without_an_address_is_an_error_that_says_so(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the name that is wrong, or the resolver."""

    async def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    with pytest.raises(ConnectFailed, match="Name or service not known"):
        await ask(pool, "http://nowhere.example")


async def test_a_resolver_that_hangs_is_left_in_time(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking the name up is a part of connecting."""

    async def getaddrinfo(*_: Any, **__: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

    with pytest.raises(ConnectTimeout):
        await ask(pool, "http://slow.example", connect=0.1)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "."])
async def test_a_name_that_is_none_is_an_error_like_any_other(host: str, pool: Pool) -> None:
    """The resolver's own exceptions do not get out."""
    with pytest.raises(ConnectFailed):
        await ask(pool, f"http://{host}:9")


async def test_an_ipv6_address_stands_in_brackets(pool: Pool, upstream: Start) -> None:
    """In the address and in the `Host` header."""
    try:
        server = await upstream(answering(answer()), host="::1")
    except OSError:
        pytest.skip("there is no IPv6 here")

    assert await fetch(pool, server.url) == (200, b"hello")
    assert server.asked[0].header("host") == [f"[::1]:{server.port}"]


# TLS.


async def test_a_certificate_that_is_in_order_is_accepted(
    pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """For names and for addresses, and the connection serves again."""
    server = await upstream(answering(answer()), tls=certified("localhost", "127.0.0.1"))
    named = server.url.replace("127.0.0.1", "localhost")

    for url in (server.url, named, named, server.url):
        assert await fetch(pool, url) == (200, b"hello")
    assert server.connections == 2


async def test_a_large_exchange_over_tls_is_whole(
    pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """Both ways, and a slow reader slows its upstream here too."""
    body = bytes(range(256)) * 2**12

    async def script(peer: Peer) -> None:
        asked = await peer.request()
        await peer.send(CHUNKED)
        for _ in range(32):
            await peer.send(chunk(asked.body))
        await peer.send(END)
        await peer.gone()

    server = await upstream(script, tls=certified("127.0.0.1"))
    response = await ask(pool, server.url, body=body, stream=True)
    await stalled(server.peers[0], below=32 * len(body))
    assert response._size <= http1.HIGH_WATER + 2**18

    assert await read(response) == 32 * body
    response.done()
    assert kept(pool) == 1


async def test_certificates_that_are_wrong_are_refused_and_said_to_be(
    pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """Somebody else's authority, a date in the past, another host's name."""
    past = datetime.now(UTC) - timedelta(days=1)
    cases = {
        "unable to get local issuer|self.signed": certified("127.0.0.1", by=trustme.CA()),
        "expired": certified("127.0.0.1", not_before=past - timedelta(days=1), not_after=past),
        "not yet valid": certified(
            "127.0.0.1", not_before=past + timedelta(days=2), not_after=past + timedelta(days=3)
        ),
        "mismatch|not valid for": certified("other.example"),
    }
    for words, context in cases.items():
        server = await upstream(answering(answer()), tls=context)
        with pytest.raises(ConnectFailed, match=f"its certificate is not valid: .*({words})"):
            await ask(pool, server.url)
        assert not server.asked


async def test_an_authority_that_the_system_does_not_know_is_refused(
    pool: Pool, upstream: Start, certified: Certified
) -> None:
    """By default the system's authorities count, and nothing else."""
    server = await upstream(answering(answer()), tls=certified("127.0.0.1"))

    with pytest.raises(ConnectFailed, match="its certificate is not valid"):
        await ask(pool, server.url)


async def test_a_server_that_does_not_speak_tls_is_an_error(
    pool: Pool, upstream: Start, trusted: None
) -> None:
    """What it says instead is no answer."""

    async def greet(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await upstream(greet)

    with pytest.raises(ConnectFailed) as failed:
        await ask(pool, server.url.replace("http://", "https://"))
    assert failed.value.strerror


async def test_plain_http_to_a_tls_server_is_an_error(
    pool: Pool, upstream: Start, certified: Certified
) -> None:
    """Never an answer."""
    server = await upstream(answering(answer()), tls=certified("127.0.0.1"))

    with pytest.raises((ProtocolError, OSError)):
        await ask(pool, server.url.replace("https://", "http://"), wait=1)


@pytest.mark.parametrize("how", ["close", "reset", "gone"])
async def test_a_handshake_that_does_not_end_well_is_an_error_in_time(
    how: str, pool: Pool, upstream: Start, trusted: None
) -> None:
    """Broken off, or never answered."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await getattr(peer, how)()

    server = await upstream(script)
    began = time.monotonic()

    with pytest.raises((ConnectFailed, ConnectTimeout)):
        await ask(pool, server.url.replace("http://", "https://"), connect=0.15)
    assert time.monotonic() - began < SOON
    await asyncio.sleep(0.05)


@ways
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_an_answer_that_breaks_off_over_tls_is_an_error(
    then: str, stream: bool, pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """As without TLS."""
    server = await upstream(
        once(OK + b"Content-Length: 9\r\n\r\nhello", then=then), tls=certified("127.0.0.1")
    )

    with pytest.raises(OSError):  # noqa: PT011 - any of them
        await fetch(pool, server.url, stream=stream)


async def test_a_kept_tls_connection_that_the_upstream_closes_is_not_used(
    pool: Pool, upstream: Start, certified: Certified, trusted: None
) -> None:
    """The goodbye of TLS counts as much as that of TCP."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer())
        await peer.close()

    server = await upstream(script, tls=certified("127.0.0.1"))

    for _ in range(3):
        assert await fetch(pool, server.url) == (200, b"hello")
        await until(lambda: kept(pool) == 0)


async def test_the_authorities_are_read_once_for_a_burst(
    pool: Pool, upstream: Start, certified: Certified, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes tens of milliseconds, and a cancelled first request does not spoil it for the others."""
    made: list[None] = []
    original = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(None)
        return original()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    server = await upstream(answering(answer()), tls=certified("127.0.0.1"))

    assert await asyncio.gather(*(fetch(pool, server.url) for _ in range(8))) == [(200, b"hello")] * 8
    assert len(made) == 1


async def test_what_never_comes_again_is_not_kept(pool: Pool, upstream: Start) -> None:
    """Of a signed request nothing stays in memory: its headers are new each time, and may hold a token."""
    server = await upstream(answering(answer(), answer(), answer(), answer()))
    await fetch(pool, server.url)
    before = head.cache_info().currsize

    for number in range(3):
        await fetch(pool, server.url, headers={"x-signature": f"of {number}"}, unique=True)

    assert head.cache_info().currsize == before
