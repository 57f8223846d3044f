"""Workers that die, and those that take their place."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.configs import offline
from tests.support.server import Server, running, wait_until, write_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration file."""
    return write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("first", "chat")]})


@pytest.fixture
def two(tmp_path: Path, file: Path) -> Iterator[Server]:
    """A gateway with two workers."""
    with running(tmp_path, file, workers=2) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        yield server


def names(server: Server) -> list[str]:
    """The routes, as whichever worker takes the connection tells them."""
    with server.client() as http:
        return [route["name"] for route in http.get("/api/2.0/gateway/routes/").json()["routes"]]


def test_a_worker_that_dies_is_replaced(two: Server) -> None:
    """By uvicorn's manager; the other one answers meanwhile, and all end well."""
    first, second = two.workers()

    os.kill(first, signal.SIGKILL)

    for _ in range(20):
        assert names(two) == ["first"]
    wait_until(lambda: len(two.watching()) == 2 and first not in two.watching(), 60, "none took its place")
    assert second in two.watching()
    two.signal(signal.SIGTERM)
    assert two.wait() == 0


def test_a_new_worker_has_the_file_as_it_is_now(two: Server, file: Path) -> None:
    """Not as it was when the gateway began, also where it was changed meanwhile."""
    before = two.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    write_config(file, {"endpoints": [offline("second", "chat")]})

    wait_until(lambda: len(set(two.watching()) - set(before)) == 2, 60, "none took their place")

    # A worker that read the file before it was changed takes it up soon.
    wait_until(lambda: all(names(two) == ["second"] for _ in range(10)), 30, "the file was not taken up")


def test_a_new_worker_waits_until_the_file_is_right(two: Server, file: Path) -> None:
    """The others answer meanwhile; the log says why in a line or two, not in a traceback each time."""
    file.write_text("endpoints: [")
    two.wait_for_log("is ignored", times=2)

    os.kill(two.workers()[0], signal.SIGKILL)

    two.wait_for_log("a worker can't begin")
    for _ in range(10):
        assert names(two) == ["first"]
    write_config(file, {"endpoints": [offline("mended", "chat")]})
    wait_until(lambda: len(two.watching()) == 2, 60, "none took its place")
    wait_until(lambda: all(names(two) == ["mended"] for _ in range(10)), 30, "the file was not taken up")
    assert "Traceback" not in two.log
