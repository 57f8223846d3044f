"""Workers that die, and those that take their place."""

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_server.workers import Workers
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


def test_the_first_process_outlives_what_happens_to_its_workers_all_at_once(two: Server) -> None:
    """Also where it learns of a worker's last word and of its death in the same moment."""
    before = two.workers()
    two.signal(signal.SIGSTOP)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: all(_is_dead(worker) for worker in before), 30, "they live")

    two.signal(signal.SIGCONT)

    wait_until(lambda: len(set(two.watching()) - set(before)) == 2, 60, "none took their place")
    assert names(two) == ["first"]


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_replaced_workers_leave_nothing_open(two: Server) -> None:
    """Neither in the first process nor in those that take their place."""
    opened = _descriptors(two.process.pid)
    of_worker = max(_descriptors(worker) for worker in two.workers())
    for _ in range(5):
        before = two.workers()
        two.signal(signal.SIGHUP)
        wait_until(lambda: _replaced(two, before), 60, "they stay")  # noqa: B023 - done before the next turn

    assert _descriptors(two.process.pid) == opened
    assert max(_descriptors(worker) for worker in two.workers()) <= of_worker + 1


def _replaced(server: Server, before: list[int]) -> bool:
    return len(server.workers()) == len(server.watching()) == 2 and not set(before) & set(server.workers())


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_a_fork_that_the_system_refuses_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened for it is closed, and signals come through."""

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    with socket.socket() as listener:
        workers = Workers(1, lambda _: None, listener, 1.0)
        opened = _descriptors(os.getpid())

        workers._fill()

        assert workers._missing()
        assert workers._not_before > time.monotonic()
        assert _descriptors(os.getpid()) == opened
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        for descriptor in (*workers._life, *workers._woken):
            os.close(descriptor)
