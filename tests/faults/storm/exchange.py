"""One request to the chaos upstream, and what a behaviour may do with it."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from tests.faults.storm import wire


class Line(Protocol):
    """The connection that a request came over."""

    transport: asyncio.Transport
    may_send: asyncio.Event

    def reset(self) -> None:
        """Break it off."""
        ...


@dataclass
class Exchange:
    """One request, and its way back."""

    line: Line
    marker: int
    stream: bool
    usage: bool
    """The request asks for the usage in its stream."""

    argument: str
    """What stands behind the behaviour's name in the path."""

    number: int
    """How many requests came to this behaviour before."""

    path: bytes
    over: bool = False
    """The connection is closed from this side: that the other side closes it too says nothing."""

    @property
    def seconds(self) -> float:
        """The argument as a number."""
        return float(self.argument or 0)

    def events(self) -> list[bytes]:
        """The events of the right answer."""
        return list(wire.events(self.marker, usage=self.usage))

    def answer(self) -> bytes:
        """The right answer, head and body."""
        if self.stream:
            return head(stream=True) + b"".join(map(chunk, self.events())) + LAST_CHUNK
        return sized(wire.whole(self.marker))

    async def send(self, data: bytes) -> None:
        """Send bytes; waits while the other side takes none.

        Raises:
            ConnectionResetError: It is gone.
        """
        if self.line.transport.is_closing():
            raise ConnectionResetError
        self.line.transport.write(data)
        if not self.line.may_send.is_set():
            await self.line.may_send.wait()

    async def drip(self, data: bytes, *, size: int = 1, pause: float = 0.0) -> None:
        """Send bytes in pieces."""
        for at in range(0, len(data), size):
            await self.send(data[at : at + size])
            await asyncio.sleep(pause)

    async def hold(self) -> None:
        """Wait until the other side has left."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Close the connection properly, once all is sent."""
        self.over = True
        self.line.transport.close()

    async def reset(self) -> None:
        """Break the connection off, a moment after what was sent."""
        await asyncio.sleep(0.01)
        self.over = True
        self.line.reset()


LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(status: bytes = b"200 OK", *headers: bytes, stream: bool = False) -> bytes:
    """The head of a chunked answer."""
    kind = b"text/event-stream" if stream else b"application/json"
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + kind, *headers, b"Transfer-Encoding: chunked"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def sized(
    body: bytes, status: bytes = b"200 OK", *headers: bytes, length: int | None = None, kind: bytes = b""
) -> bytes:
    """A whole answer with its length, or with a lie about it."""
    kind = kind or b"application/json"
    size = b"Content-Length: %d" % (len(body) if length is None else length)
    return (
        b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Type: " + kind, *headers, size]) + b"\r\n\r\n" + body
    )
