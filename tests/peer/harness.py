"""What the peer tests stand on: a recording mock upstream, and gateways as processes of their own.

The peer is mlflow with its `gateway` extra, in an environment of its own; `MLFLOW_PEER_PYTHON` is the path of its
interpreter. Everything talks over real sockets on the loopback interface.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEER_PYTHON = os.environ.get("MLFLOW_PEER_PYTHON", "")

ADMIN_KEY = "the-key-of-an-admin-of-ours"
START_SECONDS = 60
RETRY_AT_ONCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}


# --- the mock upstream ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """What the mock upstream answers: a JSON value or raw bytes, or `chunks` as one chunked write each."""

    body: Any = None
    status: int = 200
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] | None = None

    @property
    def raw(self) -> bytes:
        """The bytes of the body."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def events(*values: Any, done: bool = False, named: bool = False) -> Reply:
    """A stream of server-sent events, one per value; `named` writes Anthropic's `event:` lines as well."""
    chunks = []
    for value in values:
        name = f"event: {value['type']}\n" if named else ""
        chunks.append(f"{name}data: {json.dumps(value)}\n\n".encode())
    if done:
        chunks.append(b"data: [DONE]\n\n")
    return Reply(content_type="text/event-stream", chunks=chunks)


@dataclass(frozen=True)
class Received:
    """One request as it came in at the mock upstream. Header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a gateway may drop a connection."""


class Upstream:
    """A recording HTTP server on a free port. It answers a request with the reply set last for its path."""

    def __init__(self) -> None:
        self._replies: Mapping[str, Reply] = {}
        self._received: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reply(self, reply: Reply | Mapping[str, Reply]) -> None:
        """Answer with this from now on, and forget the requests so far.

        Args:
            reply: The reply to every request, or one for each ending of a path; 404 for all other paths.
        """
        self._replies = {"": reply} if isinstance(reply, Reply) else reply
        self._received.clear()

    def take(self) -> list[Received]:
        """The requests since the last `take` or `reply`, oldest first."""
        taken, self._received[:] = list(self._received), []
        return taken

    def _reply_to(self, path: str) -> Reply:
        replies = (reply for ending, reply in self._replies.items() if path.endswith(ending))
        return next(replies, Reply({"error": {"message": f"nothing is set for {path}"}}, 404))

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    body = self._read_chunked()
                address = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = dict(parse_qsl(address.query))
                upstream._received.append(Received(self.command, address.path, query, headers, body))
                self._answer(upstream._reply_to(address.path))

            do_GET = do_PUT = do_DELETE = do_POST

            def _read_chunked(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, reply: Reply) -> None:
                self.send_response(reply.status)
                if reply.content_type:
                    self.send_header("content-type", reply.content_type)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.chunks is None:
                    self.send_header("content-length", str(len(reply.raw)))
                    self.end_headers()
                    self.wfile.write(reply.raw)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for chunk in (*reply.chunks, b""):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    self.wfile.flush()

            def log_message(self, *args: Any) -> None:
                """Say nothing: the tests read the record instead."""

        return Handler


# --- processes --------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs: its address and the file of its output."""

    url: str
    log: Path


@contextmanager
def started(command: Sequence[str], *, port: int, log: Path, env: Mapping[str, str]) -> Iterator[Gateway]:
    """A gateway process that answers `/health`, with all its children stopped on leaving.

    Raises:
        RuntimeError: It ended, or was not healthy after `START_SECONDS`; the message holds its output.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=output, stderr=output, start_new_session=True
        )
    gateway = Gateway(f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_healthy(gateway, process)
        yield gateway
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_healthy(gateway: Gateway, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{gateway.url}/health", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{gateway.url} did not become healthy:\n{gateway.log.read_text()}")


@contextmanager
def our_gateway(config: Path, *, log: Path) -> Iterator[Gateway]:
    """Our gateway, started the way its users start it."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gateway_server",
        "start",
        "--config-path",
        str(config),
        "--port",
        str(port),
    ]
    env = {**_with_our_packages(), "GATEWAY_ADMIN_KEY": ADMIN_KEY}
    with started([*command, "--workers", "1"], port=port, log=log, env=env) as gateway:
        yield gateway


@contextmanager
def peer_gateway(config: Path, *, log: Path, upstream: str) -> Iterator[Gateway]:
    """mlflow's gateway, with the mock upstream in the place of every vendor."""
    port = free_port()
    command = [PEER_PYTHON, "-W", "ignore", str(HERE / "launch_mlflow.py"), str(config), str(port)]
    with started(command, port=port, log=log, env={"PEER_UPSTREAM": upstream}) as gateway:
        yield gateway


def mlflow_clients(gateway: Gateway) -> dict[str, Any]:
    """What each call of mlflow's clients makes of a gateway (see `mlflow_clients.py`); they retry at once, and once:
    mlflow's server closes a connection after a bare 500.

    Raises:
        RuntimeError: The script failed; the message is what it printed.
    """
    command = [PEER_PYTHON, "-W", "ignore", str(HERE / "mlflow_clients.py"), gateway.url]
    env = {**os.environ, **RETRY_AT_ONCE, "MLFLOW_TRACKING_TOKEN": ADMIN_KEY}  # which it sends to any gateway
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    outcomes: dict[str, Any] = json.loads(done.stdout)
    return outcomes


def _with_our_packages() -> dict[str, str]:
    """The environment in which our packages are found whether or not they are installed."""
    paths = [str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
