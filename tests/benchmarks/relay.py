"""The least that a gateway can do: every byte of a connection copied to the upstream and back, none looked at.

Run as `python -m tests.benchmarks.relay PORT UPSTREAM_PORT`.
"""

import asyncio
import sys
from typing import cast

from .loop import run


class End(asyncio.Protocol):
    """One end of a relayed connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what came for it before it was there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self.transport.writelines(self.early)

    def data_received(self, data: bytes) -> None:
        """Pass the bytes to the other end."""
        if self.other is None:
            return
        if self.other.transport is None:
            self.other.early.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end too."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Front(End):
    """The caller's end, which connects to the upstream."""

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self.upstream = upstream
        self.other = self.back = End()
        self.back.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect the other end."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: self.back, "127.0.0.1", self.upstream)
        self.connecting = loop.create_task(connecting)


async def serve(port: int, upstream: int) -> None:
    """Relay until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(upstream), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1]), int(sys.argv[2])))
