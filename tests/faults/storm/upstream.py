"""The chaos upstream: `python -m tests.faults.storm.upstream` serves every behaviour at once, until it is ended.

The first part of a path says what becomes of the request: `/BEHAVIOUR/v1/chat/completions`, with an argument
`/slow=30/v1/…`, and `/as=NAME/v1/…` is what `POST /chaos/become?NAME=BEHAVIOUR` said last. It prints one line of JSON:
`port` is where it serves, and so are `calm` and `stale`, so that a gateway keeps their connections apart; at `mute`
connections are reset as they come, at `full` connecting hangs.
"""

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import httptools

from tests.benchmarks.loop import run
from tests.faults.storm.behaviours import AT_FIRST_BYTES, BEHAVIOURS
from tests.faults.storm.exchange import Exchange
from tests.faults.storm.wire import MARKER

_RESET = struct.pack("ii", 1, 0)


class World:
    """What happened so far, and who plays which role."""

    def __init__(self) -> None:
        self.connections = self.open = 0
        self.roles: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.left: dict[int, float] = {}
        """Marker → when its caller closed the connection before the answer was whole, on `time.monotonic`."""

    def told(self) -> dict[str, Any]:
        """What `GET /chaos/stats` answers."""
        requests, under_way = dict(self.requests), dict(+self.under_way)
        seen = {"connections": self.connections, "open": self.open, "left": self.left}
        return {**seen, "requests": requests, "under_way": under_way}


class Connection(asyncio.Protocol):
    """One connection of a gateway, or of a test that asks or says something."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._parser = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._tasks: dict[asyncio.Task[None], Exchange] = {}
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self.transport = cast("asyncio.Transport", transport)
        self.may_send = asyncio.Event()
        self.may_send.set()
        self._world.connections += 1
        self._world.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is under way, and note when."""
        self._world.open -= 1
        for task, exchange in self._tasks.items():
            if not task.done() and not exchange.over:
                self._world.left[exchange.marker] = time.monotonic()
            task.cancel()

    def eof_received(self) -> None:
        """The other side says no more: as good as closed."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """The other side reads more slowly than it is sent to."""
        self.may_send.clear()

    def resume_writing(self) -> None:
        """It has read on."""
        self.may_send.set()

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_url(self, url: bytes) -> None:
        """The path of a new request."""
        self._url, self._body, self._exchange = url, b"", None

    def on_body(self, body: bytes) -> None:
        """A piece of the request's body."""
        if self._exchange is not None:
            return
        self._body += body
        name, _, argument = self._url[1:].partition(b"/")[0].decode().partition("=")
        if name in AT_FIRST_BYTES:
            self._begin(name, argument)

    def on_message_complete(self) -> None:
        """Do what the path says, or what a test asks."""
        if self._url.startswith(b"/chaos/"):
            self._control()
        elif self._exchange is None:
            name, _, argument = self._url[1:].partition(b"/")[0].decode().partition("=")
            if name == "as":
                name, _, argument = self._world.roles.get(argument, "ok").partition("=")
            self._begin(name, argument)

    def reset(self) -> None:
        """Break the connection off: the other side sees a reset."""
        opened = self.transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _begin(self, name: str, argument: str) -> None:
        found = MARKER.search(self._body)
        number = self._world.requests[name]
        self._world.requests[name] = number + 1
        self._world.under_way[name] += 1
        self._exchange = exchange = Exchange(
            self,
            marker=int(found[1]) if found else 0,
            stream=b'"stream":true' in self._body or b'"stream": true' in self._body,
            usage=b'"include_usage"' in self._body,
            argument=argument,
            number=number,
            path=self._url,
        )
        task = asyncio.get_running_loop().create_task(self._run(name, exchange))
        self._tasks[task] = exchange
        task.add_done_callback(self._tasks.pop)

    async def _run(self, name: str, exchange: Exchange) -> None:
        try:
            await BEHAVIOURS[name](exchange)
        except ConnectionError:
            pass
        finally:
            self._world.under_way[name] -= 1

    def _control(self) -> None:
        url = urlsplit(self._url.decode())
        if url.path == "/chaos/become":
            self._world.roles.update(parse_qsl(url.query))
        elif url.path == "/chaos/forget":
            self._world.left.clear()
            self._world.requests.clear()
        body = json.dumps(self._world.told()).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


class Mute(asyncio.Protocol):
    """A connection that is reset as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Break it off."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        cast("asyncio.Transport", transport).abort()


def _full() -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full, and what fills it: whoever connects waits."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):
        waiting.append(client := socket.socket())
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    return listener, waiting


async def serve() -> None:
    """Answer until the process is ended."""
    loop, world = asyncio.get_running_loop(), World()
    servers = [
        await loop.create_server(lambda: Connection(world), "127.0.0.1", 0, backlog=4096) for _ in range(3)
    ]
    mute = await loop.create_server(Mute, "127.0.0.1", 0, backlog=4096)
    full, waiting = _full()
    listeners = [*(server.sockets[0] for server in servers), mute.sockets[0], full]
    names = dict(zip(("port", "calm", "stale", "mute", "full"), listeners, strict=True))
    print(json.dumps({name: opened.getsockname()[1] for name, opened in names.items()}), flush=True)
    try:
        await mute.serve_forever()
    finally:
        for opened in (full, *waiting):
            opened.close()


if __name__ == "__main__":
    run(serve())
