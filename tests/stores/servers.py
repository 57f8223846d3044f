"""A real PostgreSQL of the tests' own, on a port of its own."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.server import wait_until

PASSWORD = "never-in-a-message"  # of a server that nobody else reaches


class Postgres:
    """A server: start, stop, pause it.

    Attributes:
        port: Where it listens, each time it is started.
    """

    def __init__(self, programs: Path, folder: Path, *, durable: bool) -> None:
        self.port = free_port()
        self._programs, self._folder, self._log = programs, folder, folder / "log"
        self._durable = "on" if durable else "off"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        password = folder / "password"
        password.write_text(PASSWORD)
        self._run(
            *("initdb", "-D", folder / "data", "-U", "gateway", "-A", "scram-sha-256"),
            *("--pwfile", password, "--no-sync", "--no-locale", "-E", "UTF8"),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments: list[str | Path] = [
            *(self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder),
            *("-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", f"fsync={self._durable}"),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=log, user=_user(), cwd=self._folder
            )
        wait_until(self._answers, 60, self._log.read_text)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """Make it deaf: its connections stay, and nobody answers."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def drop_connections(self) -> None:
        """Close every connection from the server's side."""
        self.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )

    def new_address(self) -> str:
        """The address of a schema that is empty, which is made faster than a database."""
        schema = f"test_{next(self._numbers)}"
        self.sql(f"create schema {schema}")
        return f"postgresql://gateway:{PASSWORD}@127.0.0.1:{self.port}/postgres?search_path={schema}"

    def sql(self, command: str) -> None:
        """Run a command in the database that is always there."""
        self._run(
            "psql", "-h", self._folder, "-p", str(self.port), "-U", "gateway", "-qc", command, "postgres"
        )

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        ready = [str(self._programs / "pg_isready"), "-q", "-h", str(self._folder), "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def _processes(self) -> list[int]:
        assert self._process is not None
        first = self._process.pid
        return [first, *map(int, Path(f"/proc/{first}/task/{first}/children").read_text().split())]

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [str(self._programs / program), *map(str, arguments)],
            env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            user=_user(),
            cwd=self._folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[Postgres]:
    """A server that runs; the test is skipped where PostgreSQL is not installed, and fails there in CI.

    Args:
        durable: What it acknowledged is on the disk.
    """
    programs = _programs()
    if programs is None:
        assert not os.environ.get("CI"), "PostgreSQL is not installed"
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
    shutil.chown(folder, _user() or getpass.getuser())
    try:
        server = Postgres(programs, folder, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _programs() -> Path | None:
    """Where PostgreSQL's programs are: Debian keeps them out of the path."""
    folders = [found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if folders:
        return max(folders, key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _user() -> str | None:
    """Whose processes these are: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
