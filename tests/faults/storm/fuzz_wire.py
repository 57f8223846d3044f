"""Requests that are hardly HTTP, to the real server: it answers, or closes, and says nothing that is not HTTP."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import httptools

from tests.faults.storm.mutations import mutated, pieces
from tests.support.configs import HELLO
from tests.support.raw import chunked, request
from tests.support.server import Server

PATIENCE = 30.0
AT_ONCE = 40
QUIET_SECONDS = 0.3
"""After so long without a word a caller says that no more comes, which the gateway takes for leaving."""

FRAGMENTS: Sequence[bytes] = (
    b"", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"\r\n ", b"\xff", b"%00", b"%2e%2e/", b"?", b"#",
    b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"content-length:\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n",
    b"Authorization: Basic x\r\n", b"X-Request-Timeout: nan\r\n", b"X-Request-Id: \xe9\r\n", b"Host: a\r\n", b"Host:\r\n",
    b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"5;ext=x\r\nhello\r\n", b"-5\r\n", b"X: " + b"y" * 70_000 + b"\r\n",
    b"X: y\r\n" * 300, b"/" * 9000, b"OPTIONS ", b"CONNECT ", b"TRACE ", b"http://elsewhere/",
)  # fmt: skip
"""What makes trouble in the head of a request, and in chunks."""


@dataclass
class Heard:
    """What a server said on one connection.

    Attributes:
        statuses: Of its answers.
        open: An answer has begun and not ended.
        broken: What it said is no HTTP.
    """

    statuses: list[int] = field(default_factory=list)
    open: bool = False
    broken: str = ""
    left: bool = False
    """The caller had left before."""

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        """An answer begins."""
        self.open = True

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self.statuses.append(self.parser.get_status_code())

    def on_message_complete(self) -> None:
        """It is whole."""
        self.open = False

    def hear(self, data: bytes) -> None:
        """Understand what the server says."""
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self.broken = repr(problem)


@dataclass
class Found:
    """What became of all examples."""

    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def seeds() -> list[bytes]:
    """Requests that are right, one or several on a connection."""
    body = json.dumps(HELLO).encode()
    named, streamed = (
        json.dumps({**HELLO, "model": "chat", **more}).encode() for more in ({}, {"stream": True})
    )
    encoded = b"transfer-encoding: chunked"
    one = request("POST /gateway/chat/invocations", b"content-type: application/json", body=body)
    return [
        one,
        request("POST /v1/chat/completions", body=named),
        request("POST /v1/chat/completions", body=streamed),
        request("POST /v1/chat/completions", encoded, body=chunked([named[:9], named[9:]]), length=False),
        request("GET /health") + request("GET /v1/models") + one,
        request("POST /gateway/chat/invocations", b"expect: 100-continue", body=body),
        request("GET /api/2.0/gateway/routes/?page_token=x", b"x-request-timeout: 5", b"connection: close"),
        request("POST /api/2.0/gateway/limits/", body=b'{"route": "chat", "limits": []}'),
    ]


async def fuzz_wire(server: Server, *, examples: int, seed: int) -> Found:
    """Right requests with bytes of their heads and bodies changed, in any pieces."""
    chance, found, right = Random(seed), Found(), seeds()

    async def one(data: bytes, parts: Sequence[bytes]) -> None:
        heard = Heard()
        try:
            async with asyncio.timeout(PATIENCE):
                await _converse(server.port, parts, heard)
        except TimeoutError:
            found.problems.append(f"the connection stayed open, {heard}: {data[:2000]!r}")
        found.statuses.update(heard.statuses)
        cut = heard.open and not heard.left
        if cut or heard.broken or any(status >= 500 and status != 501 for status in heard.statuses):
            found.problems.append(f"{heard}: {data[:2000]!r}")

    for _ in range(examples // AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                data = mutated(chance.choice(right), chance, most=3, fragments=FRAGMENTS)
                group.create_task(one(data, pieces(data, chance)[:200] if chance.random() < 0.3 else [data]))
    return found


async def _converse(port: int, parts: Sequence[bytes], heard: Heard) -> None:
    """Send all of it, and hear what the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            if writer.transport.is_closing():
                break
            writer.write(part)
            await asyncio.sleep(0)
        while data := await _heard(reader, writer, heard):
            heard.hear(data)
    except OSError:  # that it breaks the connection off is for it to decide
        pass
    finally:
        writer.transport.abort()


async def _heard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard) -> bytes:
    """What the server says next; when it says nothing and owes nothing, the caller leaves."""
    if heard.open or heard.left:
        return await reader.read(2**16)
    try:
        return await asyncio.wait_for(reader.read(2**16), QUIET_SECONDS)
    except TimeoutError:
        heard.left = True
        if not writer.transport.is_closing():
            writer.write_eof()
        return await reader.read(2**16)
