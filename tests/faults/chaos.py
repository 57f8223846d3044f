"""An upstream that does what a test scripts, byte by byte.

A script is a coroutine that is called with each connection as a `Peer`: it reads requests, sends bytes, waits, closes,
half-closes or resets. It runs in the test's own loop, so that "before" and "after" mean what they say.
"""

import asyncio
import errno
import select
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

SOON = 8.0
"""Seconds within which happens what happens at once, or at a limit of a second or two: on a busy machine too."""

PATIENCE = 40.0
"""Seconds for what a test does not limit: what waits for so long by mistake is not done `SOON`."""


@dataclass(frozen=True)
class Asked:
    """One request as it came in; header names are lower-case."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    @property
    def target(self) -> str:
        """What stands between the method and the version."""
        return self.line.split(" ")[1]


class Peer:
    """One connection, seen from the upstream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.asked: list[Asked] = []
        self.sent = 0
        self._leaving: asyncio.Task[None] | None = None

    async def request(self) -> Asked:
        """The next request, whole.

        Raises:
            EOFError, ConnectionError: There is none.
        """
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = tuple(
            (name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)
        )
        length = next((int(value) for name, value in headers if name == "content-length"), 0)
        asked = Asked(line, headers, await self.reader.readexactly(length))
        self.asked.append(asked)
        return asked

    async def send(self, data: bytes) -> None:
        """Send these bytes; waits while the client takes none."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError  # uvloop would raise a RuntimeError
        self.writer.write(data)
        self.sent += len(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, pause: float = 0.0) -> None:
        """Send these bytes one by one."""
        for position in range(len(data)):
            await self.send(data[position : position + 1])
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connection properly."""
        self.writer.close()

    async def half_close(self) -> None:
        """Say that nothing more comes, and go on reading."""
        self.writer.write_eof()

    async def reset(self) -> None:
        """Break the connection off: the client's side sees a reset."""
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.writer.transport.abort()

    async def gone(self, within: float = PATIENCE) -> float:
        """Wait until the client has left; the seconds that it took. The script and the test may both wait."""
        began = time.monotonic()
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._drain())
        async with asyncio.timeout(within):
            await asyncio.shield(self._leaving)
        return time.monotonic() - began

    @property
    def left(self) -> bool:
        """Whether the client has left; known only once what it sent was read."""
        return self.reader.at_eof() or self.reader.exception() is not None

    async def _drain(self) -> None:
        try:
            while await self.reader.read(2**16):
                pass
        except ConnectionError:
            pass
        except RuntimeError:  # the script reads: it will see the end
            await until(lambda: self.left, within=60)


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Chaos:
    """The upstream: where it is, and what happened to it."""

    port: int
    url: str
    peers: list[Peer] = field(default_factory=list)
    """Every connection that there was, in order."""

    @property
    def asked(self) -> list[Asked]:
        """Every request that came, connection by connection."""
        return [asked for peer in self.peers for asked in peer.asked]

    @property
    def connections(self) -> int:
        """How many connections there were."""
        return len(self.peers)


@asynccontextmanager
async def chaos(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Chaos]:
    """An upstream that runs this script on each connection.

    A script may end when its client leaves; an assertion that fails in it fails the test.
    """
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    async def run(peer: Peer) -> None:
        try:
            await script(peer)
        except (EOFError, ConnectionError):
            pass  # the client left
        finally:
            peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.peers.append(peer := Peer(reader, writer))
        tasks.append(loop.create_task(run(peer)))

    server = await asyncio.start_server(accept, host, 0, ssl=tls, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    upstream = Chaos(port, f"http{'s' if tls else ''}://{shown}:{port}")
    try:
        yield upstream
        for task in tasks:
            if task.done():
                task.result()
    finally:
        server.close()
        await rounds()  # who is being accepted in this moment is known then
        for peer in upstream.peers:
            # asyncio's own fails on one that was closed while there was much to send, once that is sent.
            with suppress(AttributeError):
                peer.writer.transport.abort()
            if peer._leaving is not None:
                tasks.append(peer._leaving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await rounds()


async def rounds() -> None:
    """Let the loop do what is to be done now, and what follows from that."""
    for _ in range(5):
        await asyncio.sleep(0)


def answering(*answers: bytes) -> Script:
    """Give each request of a connection the next of these answers, the last again and again."""

    async def script(peer: Peer) -> None:
        for number in range(10**6):
            await peer.request()
            await peer.send(answers[min(number, len(answers) - 1)])

    return script


def once(data: bytes, *, then: str = "hold") -> Script:
    """Read one request, send these bytes, and then `hold`, `close`, `half_close` or `reset`."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        if then == "hold":
            await peer.gone(60)
        else:
            await asyncio.sleep(0.01)  # so that a reset does not overtake what was sent
            await getattr(peer, then)()

    return script


def answer(body: bytes = b"hello", *, status: str = "200 OK", headers: bytes = b"") -> bytes:
    """A whole answer with its length."""
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status.encode(), headers, len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked answer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port where connecting hangs: its queue is full and nobody accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting: list[socket.socket] = []
        try:
            for _ in range(16):
                client = socket.socket()
                waiting.append(client)
                client.setblocking(False)
                if client.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS):
                    raise AssertionError("the listener refuses instead of hanging")
                if not select.select([], [client], [], 0.2)[1]:
                    break
            else:
                raise AssertionError("the backlog does not fill")
            yield port
        finally:
            for client in waiting:
                client.close()


async def until(holds: Callable[[], Any], *, within: float = PATIENCE) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def stalled(peer: Peer, *, below: int) -> int:
    """Wait until a client takes no more; the bytes that it was sent, which must stay below a limit."""
    sent, rounds = peer.sent, 0
    async with asyncio.timeout(PATIENCE):
        while rounds < 20:
            await asyncio.sleep(0.01)
            rounds = rounds + 1 if peer.sent == sent > 0 else 0
            sent = peer.sent
            assert sent < below
    return sent
