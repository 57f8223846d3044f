"""A gateway mounted in each framework's host, which runs in a process of its own under a real uvicorn."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.mounted.hosts import PREFIX
from tests.support.configs import KEY, everything
from tests.support.server import end, environment, wait_until, write_config
from tests.support.upstream import MockUpstream

FRAMEWORKS = ("starlette", "fastapi", "litestar")
WIRINGS = ("wired", "unwired")


@dataclass
class Host:
    """A service with the gateway in it.

    Attributes:
        framework: What it is made with.
        wiring: What it does for the gateway's lifespan.
        url: Its address.
        config: The gateway's configuration file.
    """

    framework: str
    wiring: str
    url: str
    config: Path
    process: subprocess.Popen[str]
    errors: Path

    @property
    def gateway(self) -> str:
        """The address of the gateway in it."""
        return self.url + PREFIX

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])

    def client(self) -> httpx.Client:
        """A client of the host."""
        return httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=20.0)

    def stop(self) -> list[str]:
        """End it as a service manager does; the tasks that were left when its lifespan was over, if it has one.

        It waits then: see `finish`.
        """
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        left: list[str] = json.loads(line)["left"] if line else []
        return left

    def finish(self) -> str:
        """Let it end; what it wrote to standard error."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        return self.errors.read_text()


@contextmanager
def hosted(folder: Path, framework: str, wiring: str, upstream: MockUpstream) -> Iterator[Host]:
    """A host that runs; every warning of Python's is an error in it."""
    config = write_config(folder / "gateway.yaml", everything(upstream.url))
    errors = folder / "stderr.log"
    with errors.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "error",
                "-m",
                "tests.mounted.hosts",
                framework,
                wiring,
                str(config),
            ],
            env=environment(),
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout as told:
        try:
            line = told.readline()
            assert line, errors.read_text()
            host = Host(framework, wiring, json.loads(line)["address"], config, process, errors)
            with host.client() as client:
                wait_until(lambda: client.get("/own").is_success, 60, "the host did not start")
            yield host
        finally:
            process.stdin.close()
            end(process)


@pytest.fixture(scope="session", params=[(f, w) for f in FRAMEWORKS for w in WIRINGS], ids=" ".join)
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_upstream: MockUpstream
) -> Iterator[Host]:
    """Each framework, with the gateway's lifespan wired and without. It ends soon, and without a traceback."""
    framework, wiring = request.param
    with hosted(tmp_path_factory.mktemp(framework), framework, wiring, shared_upstream) as host:
        yield host
        host.stop()
        said = host.finish()
        assert KEY not in said
        assert "Traceback" not in said, said


@pytest.fixture
def http(host: Host) -> Iterator[httpx.Client]:
    """A client of the host."""
    with host.client() as client:
        yield client
