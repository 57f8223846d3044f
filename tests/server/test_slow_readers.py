"""A caller who does not read a stream slows its upstream and nobody else; what it makes the gateway hold is bounded."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.test_leaving import call
from tests.support.configs import HELLO, upstream_route
from tests.support.server import Server, running, wait_until
from tests.support.upstream import MockUpstream, chat, delta

MOST_UNDER_WAY = 24 * 2**20
"""What the buffers of this machine's sockets take, on both sides of the gateway, and what the gateway holds itself."""

GROWTH_MB = 16.0
READERS = 4


class Flood:
    """An upstream that sends words to whoever asks, as fast as they are taken.

    Attributes:
        sent: Bytes that it has got rid of, by connection.
    """

    def __init__(self) -> None:
        self.sent: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take nobody more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.sent.append(0)
            threading.Thread(target=self._send, args=(connection, len(self.sent) - 1), daemon=True).start()

    def _send(self, connection: socket.socket, number: int) -> None:
        words = delta("x" * 1000) * 50
        piece = b"%x\r\n%b\r\n" % (len(words), words)
        with connection:
            connection.recv(2**16)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            try:
                while True:
                    connection.sendall(piece)
                    self.sent[number] += len(piece)
            except OSError:
                pass  # the caller left


@pytest.fixture(scope="module")
def flood() -> Iterator[Flood]:
    """The upstream that never ends."""
    flood = Flood()
    yield flood
    flood.close()


@pytest.fixture(scope="module")
def flooded(
    flood: Flood, shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A gateway with a route to it, whose heart beats often, and one to another upstream."""
    routes = [upstream_route("flood", "chat", flood.url), upstream_route("calm", "chat", shared_upstream.url)]
    config = {"endpoints": routes, "server": {"heartbeat_seconds": 0.1}}
    with running(tmp_path_factory.mktemp("flooded"), config) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]


def resident_mb(server: Server) -> float:
    """What the gateway's process has in memory."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def test_a_reader_who_stops_slows_its_upstream_and_nobody_else(
    flooded: Server, flood: Flood, upstream: MockUpstream
) -> None:
    """What the upstream can send stands still while others are answered, and goes on when the reader does."""
    upstream.reply(chat("calm"))
    with flooded.client() as http:
        http.post("/gateway/calm/invocations", json=HELLO)
        before = resident_mb(flooded)
        readers = [flooded.connect() for _ in range(READERS)]
        for number, reader in enumerate(readers):
            reader.sendall(call(openai=bool(number % 2), streamed=True, route="flood"))
        stalled = _standstill(flood)
        for _ in range(50):
            assert http.post("/gateway/calm/invocations", json=HELLO).status_code == 200
        grown = resident_mb(flooded) - before

        assert len(stalled) == READERS
        assert max(stalled) < MOST_UNDER_WAY
        assert flood.sent == stalled
        assert grown < GROWTH_MB, f"{grown:.0f} MB more"
        _read(readers[0], 2 * MOST_UNDER_WAY)
        assert max(flood.sent) > MOST_UNDER_WAY
    for reader in readers:
        reader.close()


def _standstill(flood: Flood) -> list[int]:
    """What was sent when nothing more could be."""
    state = {"sent": [0], "since": time.monotonic()}

    def still() -> bool:
        if flood.sent != state["sent"]:
            state.update(sent=list(flood.sent), since=time.monotonic())
        return len(flood.sent) == READERS and min(flood.sent) > 0 and time.monotonic() - state["since"] > 1.0  # type: ignore[operator] # a number

    wait_until(still, 60, lambda: f"the upstream goes on: {flood.sent}")
    return list(flood.sent)


def _read(reader: socket.socket, count: int) -> None:
    while count > 0:
        piece = reader.recv(2**20)
        assert piece
        count -= len(piece)
