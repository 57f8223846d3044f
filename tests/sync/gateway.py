"""A gateway small enough to see through: it says over which connection a call came, and streams when told to."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Gateway(http.server.ThreadingHTTPServer):
    """The server.

    A query is answered with `{"connection": …, "data": …}`. A stream sends the chunks `{"i": 0}` to `{"i": n - 1}` of
    its `n`; before the one numbered `hold_at` it waits until the route `release` is called.

    Attributes:
        left: Set when a caller has left a stream before its end.
    """

    daemon_threads = True
    release = threading.Event()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.release = threading.Event()
        self.left = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that leaves is nothing to print."""


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def do_GET(self) -> None:
        self._answer({"status": "OK"})

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/gateway/release/invocations":
            self.server.release.set()
        if self.path == "/gateway/nowhere/invocations":
            self._answer({"detail": "no such route", "error_code": "RESOURCE_DOES_NOT_EXIST"}, status=404)
        elif data.get("stream"):
            self._stream(data["n"], data.get("hold_at"))
        else:
            self._answer({"connection": self.client_address[1], "data": data})

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, n: int, hold_at: int | None) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for i in range(n):
            if i == hold_at:
                self._hold()
            self._piece(b'data: {"i": %d}\n\n' % i)
        self._piece(b"")

    def _hold(self) -> None:
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        self.server.release.wait()

    def _watch(self) -> None:
        try:
            if not self.rfile.peek():  # type: ignore[attr-defined]  # a BufferedReader; typeshed has the protocol only
                self.server.left.set()
        except OSError:
            self.server.left.set()

    def _piece(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """Nothing to tell."""


@contextmanager
def gateway() -> Iterator[Gateway]:
    """A gateway in a thread, stopped on leaving."""
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()
