"""A connection without a network: what goes in, piece by piece, and what comes out of it."""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

TURNS = 30
"""So many turns of the loop are enough for whatever a connection does by itself."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written.

    Attributes:
        sent: All that was written.
        paused: No more is read.
        ended: Nothing more will be written.
    """

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 80)})
        self.sent = b""
        self.paused = self.ended = self._closing = False
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        """Keep it."""
        assert not self.ended or self._closing, "written after the end"
        if not self._closing:
            self.sent += data

    def write_eof(self) -> None:
        """Nothing more will be written."""
        self.ended = True

    def is_closing(self) -> bool:
        """It is closed, or is about to be."""
        return self._closing

    def close(self) -> None:
        """Tell the protocol soon."""
        if not self._closing:
            self._closing = self.ended = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def pause_reading(self) -> None:
        """Take no more."""
        self.paused = True

    def resume_reading(self) -> None:
        """Take more again."""
        self.paused = False


Connect = Callable[[], Wire]


def connects(config: uvicorn.Config, app: ASGIApp) -> Connect:
    """What makes connections to an app, as uvicorn's server does."""
    config.app = app
    config.load()
    config.loaded_app = app
    state = ServerState()

    def connect() -> Wire:
        wire = Wire()
        protocol: Any = config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg]
        wire.protocol = protocol
        protocol.connection_made(wire)
        return wire

    return connect


async def settle(turns: int = TURNS) -> None:
    """Let the loop do all that it can without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def say(wire: Wire, script: Iterable[bytes]) -> None:
    """Say the pieces one after the other, each when the connection has dealt with those before."""
    for piece in script:
        await settle()
        if not wire.is_closing() and not wire.paused:
            wire.protocol.data_received(piece)
    await settle()


Answer = tuple[int, bytes, bytes]
"""A status, the head and the body."""


def answers_of(said: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """The answers in what was said, 100 among them; three dots are behind a body that is cut.

    Args:
        said: What was said.
        methods: Those of the requests, in turn; GET where there are no more.

    Raises:
        ValueError: It is not HTTP.
    """
    found, asked = [], iter(methods)
    while said:
        head, end, said = said.partition(b"\r\n\r\n")
        start = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*((?:\r\n[!-9;-~]+: [^\r\n]*)*)", head)
        if not end or start is None:
            raise ValueError(f"no answer: {head!r}")
        status, body = int(start[1]), b""
        if status != 100 and next(asked, "GET") != "HEAD" and status not in (204, 304):
            body, said = _body_of(start[2].lower(), said)
        found.append((status, start[2].lower(), body))
    return found


def _body_of(headers: bytes, said: bytes) -> tuple[bytes, bytes]:
    """A body, and what comes after it."""
    sized = re.findall(rb"\r\ncontent-length: (\d+)(?=\r|$)", headers)
    chunked = b"\r\ntransfer-encoding: chunked" in headers
    if len(sized) + chunked > 1:
        raise ValueError("its length is told twice")
    if sized:
        size = int(sized[0])
        return said[:size] + b"..." * (len(said) < size), said[size:]
    if not chunked:
        return said, b""
    body = b""
    while said:
        line, _, said = said.partition(b"\r\n")
        size = int(line, 16)
        body, said = body + said[:size], said[size + 2 :]
        if not size:
            return body, said
    return body + b"...", b""
