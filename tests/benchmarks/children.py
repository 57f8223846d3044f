"""The processes that a benchmark starts: a clean environment, a wait until healthy, an orderly end."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_START_SECONDS = 60
_STOP_SECONDS = 10


class DidNotStart(Exception):
    """A process ended or stayed silent before it was healthy; the message ends with the last line of its log."""


@dataclass(frozen=True)
class Service:
    """A server that answers its health check."""

    pid: int
    port: int
    start_seconds: float
    """From the start of the process to its first healthy answer."""


def environment() -> dict[str, str]:
    """This environment with the checkout importable, without what would distort or redirect a measurement.

    PYTHONDONTWRITEBYTECODE has imports inside calls recompiled each time, proxies would stand between the processes,
    and settings of an installed gateway or provider would change what is measured.
    """
    kept = {name: value for name, value in os.environ.items() if not _distorts(name.upper())}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "server")])}


def absent(python: str, modules: Sequence[str]) -> str:
    """Why the interpreter can't run what needs these top-level modules; empty when it can. None is imported."""
    if not python or shutil.which(python) is None:
        return f"no interpreter {python!r}; MLFLOW_PEER_PYTHON may name one that has mlflow[gateway]"
    look = (
        "import sys, importlib.util as u; print(*(m for m in sys.argv[1:] if not u.find_spec(m)), sep=', ')"
    )
    lacking = output([python, "-c", look, *modules]).strip()
    return f"{lacking} not installed" if lacking else ""


def output(command: Sequence[str]) -> str:
    """What the command prints.

    Raises:
        RuntimeError: It failed; the message is the last line that it wrote to stderr.
    """
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])}: {_last_line(done.stderr)}")
    return done.stdout


@contextmanager
def serve(command: Sequence[str], *, health: str, log: Path) -> Iterator[Service]:
    """Run a server as long as the block lasts; `{port}` in its command becomes a free port.

    Raises:
        DidNotStart: It did not answer `health` with 200 within a minute.
    """
    port = _free_port()
    started = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            env=environment(),
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its own children can be ended with it
        )
    try:
        while not _healthy(port, health):
            if process.poll() is not None or time.perf_counter() - started > _START_SECONDS:
                raise DidNotStart(f"did not start: {_last_line(log.read_text(errors='replace'))}")
            time.sleep(0.01)
        yield Service(process.pid, port, time.perf_counter() - started)
    finally:
        _stop(process)


def _distorts(name: str) -> bool:
    """Whether an environment variable of this (upper-case) name has to be kept from the children."""
    return name.startswith(("PYTHONDONTWRITEBYTECODE", "GATEWAY_", "MLFLOW_", "OPENAI_")) or name.endswith(
        "_PROXY"
    )


def _free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _healthy(port: int, path: str) -> bool:
    """Whether the server answers `path` with 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group: ask first, insist after ten seconds."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
