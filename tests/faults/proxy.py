"""A small proxy: it forwards requests and tunnels connections, and passes on how each side ends them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.chaos import rounds


@dataclass
class Proxy:
    """Where the proxy is, and what it was asked for."""

    url: str
    lines: list[str] = field(default_factory=list)
    """The first line of every connection."""


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy that is stopped on leaving."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(_serve(started, reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    started = Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield started
    finally:
        server.close()
        await rounds()  # who is being accepted in this moment is known then
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await rounds()


async def _serve(started: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    upstream = None
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        started.lines.append(line := head.partition(b"\r\n")[0].decode())
        method, target, _ = line.split(" ")
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        try:
            behind, upstream = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream.write(head)
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(_pump(reader, upstream))
            pumps.create_task(_pump(behind, writer))
    except* (EOFError, ConnectionError):
        pass
    finally:
        for side in (writer, upstream):
            if side is not None:
                side.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        raise
