"""The processes that a benchmark starts: a clean environment, a wait until healthy, an orderly end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from .cpu import cpu_seconds

ROOT = Path(__file__).resolve().parents[2]

_DISTORTING = ("PYTHONDONTWRITEBYTECODE", "GATEWAY_", "MLFLOW_", "OPENAI_", "LITELLM_", "XDG_STATE_HOME")
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

    start_cpu_seconds: float
    """Of CPU, in that time."""


def environment() -> dict[str, str]:
    """This environment with the checkout importable, without what would distort or redirect a measurement.

    PYTHONDONTWRITEBYTECODE has imports inside calls recompiled each time, proxies would stand between the processes,
    and settings of an installed gateway or provider would change what is measured.
    """
    kept = {name: value for name, value in os.environ.items() if not _distorts(name.upper())}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "server")])}


def absent(python: str, modules: Sequence[str], *, variable: str = "") -> str:
    """Why the interpreter, which this environment variable names, can't run what needs these top-level modules.

    Empty when it can. None is imported.
    """
    if not python or shutil.which(python) is None:
        return f"no interpreter {python!r}; {variable} may name one that has {', '.join(modules)}"
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


def version(python: str, distribution: str) -> str:
    """The version of a distribution that the interpreter has."""
    look = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    return output([python, "-c", look, distribution]).strip()


@contextmanager
def serve(
    command: Sequence[str],
    *,
    health: str,
    log: Path,
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Run a server as long as the block lasts.

    Args:
        command: Starts it; `{port}` in it becomes its port.
        health: The path that it answers with 200 once it is up; empty: it is up when it takes connections.
        log: Where its output goes.
        port: Where it listens; a free port unless told.
        variables: Of its environment, beside those that are there.

    Raises:
        DidNotStart: It was not up within a minute.
    """
    port = port or free_port()
    started = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            env=environment() | dict(variables or {}),
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
        yield Service(process.pid, port, time.perf_counter() - started, cpu_seconds(process.pid))
    finally:
        _stop(process)


def _distorts(name: str) -> bool:
    """Whether an environment variable of this (upper-case) name has to be kept from the children."""
    return name.startswith(_DISTORTING) or name.endswith("_PROXY")


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _healthy(port: int, path: str) -> bool:
    """Whether the server answers `path` with 200; of an empty one, whether it takes connections."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
        if not path:
            return True
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
    """The last line that says something; the frames that some draw around it do not."""
    return next(
        (line.strip(" │") for line in reversed(text.splitlines()) if re.search(r"\w", line)), "no output"
    )
