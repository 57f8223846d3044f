"""The gateway as its users run it: a process that is started from the command line."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from gateway_async.zero_config import USUAL_KEYS

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0

_OURS = ("MLFLOW_GATEWAY_", "GATEWAY_", "OPENAI_", "ANTHROPIC_", *(usual.variable for usual in USUAL_KEYS))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process of ours: what this machine's user has set for a gateway is not in it.

    Each gets a state directory of its own, and so a store of its own, unless `extra` names one.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and not name.lower().endswith("_proxy")
    }
    paths = [str(ROOT), str(ROOT / "server"), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(path for path in paths if path)
    found = {**kept, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", **(extra or {})}
    if not extra or "XDG_STATE_HOME" not in extra:
        found["XDG_STATE_HOME"] = tempfile.mkdtemp(dir=_states())
    return found


@cache
def _states() -> str:
    """Where state directories are, until the tests end."""
    folder = tempfile.mkdtemp(prefix="gateway-state-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


OURS = ("-m", "gateway_server")
"""What Python runs."""


def command(*arguments: str, program: Sequence[str] = OURS) -> list[str]:
    """The command line."""
    return [sys.executable, *program, *arguments]


def run_command(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 30.0, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        command(*arguments), env=environment(env), capture_output=True, timeout=timeout, text=True, input=text
    )


class Server:
    """A gateway that runs.

    Attributes:
        url: Its address.
        greeting: What it said with `--json` when it was ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], greeting: dict[str, Any], log: Path) -> None:
        self.process = process
        self.greeting = greeting
        self.url: str = greeting["address"]
        self.port = int(self.url.rpartition(":")[2])
        self._log = log

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return self._log.read_text("utf-8", "replace")

    def client(self, **settings: Any) -> httpx.Client:
        """A blocking client of this server."""
        return httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=20.0, **settings)

    def async_client(self, **settings: Any) -> httpx.AsyncClient:
        """A client of this server."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False, verify=False, timeout=20.0, **settings)

    def connect(self) -> socket.socket:
        """A connection, for what no HTTP client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20.0)

    def workers(self) -> list[int]:
        """The process ids of its workers, where it has several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def watching(self) -> list[int]:
        """The processes that watch the configuration file."""
        return [pid for pid in (self.process.pid, *self.workers()) if _watches_files(pid)]

    def wait_for_log(self, text: str, *, times: int = 1, timeout: float = 30.0) -> None:
        """Wait until it has logged a text so many times."""
        wait_until(
            lambda: self.log.count(text) >= times, timeout, lambda: f"no {text!r} in the log:\n{self.log}"
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout)


def _watches_files(pid: int) -> bool:
    try:
        return any(
            os.readlink(opened) == "anon_inode:inotify" for opened in Path(f"/proc/{pid}/fd").iterdir()
        )
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], timeout: float, otherwise: Callable[[], str] | str) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It did not in time.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(0.02)


@contextmanager
def running(
    folder: Path,
    config: Path | dict[str, Any] | None = None,
    *options: str,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = OURS,
) -> Iterator[Server]:
    """A gateway in a process (group) of its own, ready for connections; it is ended on leaving.

    Args:
        folder: Where its output goes.
        config: The configuration file, or what to write into one.
        options: More for the command line.
        workers: How many processes answer.
        env: Added to its environment.
        program: What Python runs in the place of the command line's module.
    """
    if isinstance(config, dict):
        config = write_config(folder / "gateway.yaml", config)
    where = () if config is None else ("--config-path", str(config))
    options = ("start", "--port", "0", "--json", "--workers", str(workers), *where, *options)
    arguments = command(*options, program=program)
    log = folder / "stderr.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            arguments,
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd=folder,
        )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            line = output.readline()
            if not line:
                raise RuntimeError(f"the gateway did not start ({process.wait(10)}):\n{log.read_text()}")
            server = Server(process, json.loads(line), log)
            with server.client() as client:
                client.get("/health")
            yield server
        finally:
            end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and its children."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)


def write_config(path: Path, config: dict[str, Any]) -> Path:
    """Write a configuration file; JSON is YAML too."""
    path.write_text(json.dumps(config))
    return path
