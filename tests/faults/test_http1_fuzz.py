"""The HTTP/1.1 client against bytes that nobody thought of, without sockets between."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_async.http1 import Origin, Pool, ProtocolError, Response
from tests.faults.test_http1 import BROKEN, CUT_OFF, LAST, WHOLE

KNOWN = sorted(
    {
        *(data for data, _, _ in (WHOLE | LAST).values()),
        *(data for data in (BROKEN | CUT_OFF).values() if len(data) < 1000),
    }
)
"""Answers of every kind, right and wrong."""

FRAGMENTS = [
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b"100", b"204", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b":", b" ", b"\0",
    b"Content-Length", b"Transfer-Encoding", b"chunked", b"Connection", b"close", b"keep-alive", b"upgrade",
    b"Content-Encoding", b"gzip", b"0", b"5", b"-1", b"ffffffff", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n", b";",
    b"18446744073709551616", b"\xff" * 8, b"x" * 300,
]  # fmt: skip

Outcome = tuple[Any, ...]

fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self, protocol: Response) -> None:
        super().__init__()
        self.protocol = protocol
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.end(None)

    def end(self, problem: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, problem)


async def outcome(pieces: list[bytes], *, stream: bool, pace: bool = True) -> Outcome:
    """What a caller gets when these pieces come and the connection is closed: an answer, or an error's type."""
    pool = Pool(2**20)
    response = Response(pool, Origin("a", 80, tls=False), 2**20)
    response.connection_made(wire := Wire(response))
    caller = asyncio.create_task(_call(response, stream=stream))
    await asyncio.sleep(0)
    for piece in pieces:
        if wire.closed:
            break
        response.data_received(piece)
        if pace:
            await asyncio.sleep(0)
    if not wire.closed:
        wire.end(None)
    async with asyncio.timeout(60):
        result = await caller
    pool.close()
    return result


async def _call(response: Response, *, stream: bool) -> Outcome:
    body = b""
    try:
        await response.exchange(b"", stream=stream)
        while data := await response.read(60):
            body += data
    except (ProtocolError, OSError) as problem:
        # What a stream gave before it broke depends on the pieces; whether it broke does not.
        return (type(problem).__name__,)
    result = (response.status, response.headers, body)
    response.done()
    return result


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@fuzz
@given(data=st.sampled_from(KNOWN), places=st.lists(st.integers(0, 10_000), max_size=40), pace=st.booleans())
async def test_where_the_packets_end_makes_no_difference(
    stream: bool, data: bytes, places: list[int], pace: bool
) -> None:
    """The same bytes are the same answer, or the same error, however they are cut."""
    assert await outcome(cut(data, places), stream=stream, pace=pace) == await outcome([data], stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@fuzz
@given(data=st.binary(max_size=500), places=st.lists(st.integers(0, 500), max_size=5))
async def test_garbage_is_an_error(stream: bool, data: bytes, places: list[int]) -> None:
    """Never an answer, and never an exception of another kind."""
    assert await outcome(cut(data, places), stream=stream) in (("ProtocolError",), ("ConnectionResetError",))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@fuzz
@given(
    start=st.sampled_from(
        [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
    ),
    parts=st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=30),
    places=st.lists(st.integers(0, 1000), max_size=5),
)
async def test_what_looks_like_an_answer_is_one_or_an_error(
    stream: bool, start: bytes, parts: list[bytes], places: list[int]
) -> None:
    """Whatever is put together from the words of HTTP; and the cuts make no difference here either."""
    data = start + b"".join(parts)

    result = await outcome(cut(data, places), stream=stream)

    assert result[0] in ("ProtocolError", "ConnectionResetError") or 200 <= result[0] <= 999
    assert result == await outcome([data], stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@fuzz
@given(
    data=st.sampled_from(KNOWN),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
)
async def test_a_damaged_answer_is_one_or_an_error(
    stream: bool, data: bytes, changes: list[tuple[int, int]]
) -> None:
    """Single bytes changed: nothing but an answer or an error comes of it."""
    damaged = bytearray(data)
    for place, value in changes:
        if damaged:
            damaged[place % len(damaged)] = value

    result = await outcome([bytes(damaged)], stream=stream)

    assert result[0] in ("ProtocolError", "ConnectionResetError") or 200 <= result[0] <= 999
