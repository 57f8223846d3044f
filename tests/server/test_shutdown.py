"""SIGTERM and Ctrl-C: what is under way finishes, nothing new begins, and there is an end to it."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.configs import HELLO, Json, upstream_route
from tests.support.server import Server, run_command, running, wait_until
from tests.support.upstream import DONE, GATE, HOLD, MockUpstream, Reply, chat, delta, stream

NOISE = ("Traceback", "ERROR", "Exception", "Warning", "destroyed", "never")


@contextmanager
def gateway(
    folder: Path, upstream: MockUpstream, *options: str, workers: int = 1, **config: Any
) -> Iterator[Server]:
    """A gateway with one route, to the mock upstream."""
    endpoints = {"endpoints": [upstream_route("up", "chat", upstream.url)], **config}
    with running(folder, endpoints, *options, workers=workers) as server:
        wait_until(lambda: len(server.watching()) == workers, 60, "not all workers began")
        yield server


class Asked:
    """A call that goes on in a thread of its own."""

    def __init__(self, server: Server, **fields: Any) -> None:
        self._result: httpx.Response | Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(server, {**HELLO, **fields}))
        self._thread.start()

    @property
    def answer(self) -> httpx.Response:
        """The answer, waited for."""
        self._thread.join(60)
        assert isinstance(self._result, httpx.Response), self._result
        return self._result

    def _run(self, server: Server, body: Json) -> None:
        try:
            with server.client() as http:
                path = "/v1/chat/completions" if "model" in body else "/gateway/up/invocations"
                self._result = http.post(path, json=body)
        except Exception as problem:  # noqa: BLE001 - told where the answer is asked for
            self._result = problem


def refused(server: Server) -> bool:
    """Whether a new connection is refused."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def by_terminal(server: Server) -> None:
    """Ctrl-C, which reaches every process of a terminal."""
    os.killpg(server.process.pid, signal.SIGINT)


def by_service_manager(server: Server) -> None:
    """SIGTERM to the first process."""
    server.signal(signal.SIGTERM)


def by_group(server: Server) -> None:
    """SIGTERM to every process, as systemd sends it."""
    os.killpg(server.process.pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("workers", "end"),
    [(1, by_service_manager), (1, by_terminal), (2, by_service_manager), (2, by_terminal), (2, by_group)],
)
def test_what_is_under_way_finishes_and_nothing_new_begins(
    tmp_path: Path, upstream: MockUpstream, workers: int, end: Callable[[Server], None]
) -> None:
    """A slow answer and a stream are complete; new connections are refused; the exit is clean."""
    with gateway(tmp_path, upstream, "--drain-seconds", "60", workers=workers) as server:
        upstream.reply(chat("late", before=GATE))
        whole = Asked(server)
        upstream.request(0)
        upstream.answer_with(stream(delta("one"), GATE, 0.2, delta("four", finish="stop"), DONE))
        streamed = Asked(server, model="up", stream=True)
        upstream.request(1)

        end(server)

        wait_until(lambda: refused(server), 30, "new connections were still taken")
        assert server.process.poll() is None
        upstream.open_gate()
        assert whole.answer.json()["choices"][0]["message"]["content"] == "late"
        assert "four" in streamed.answer.text
        assert streamed.answer.text.endswith("data: [DONE]\n\n")
        assert server.wait() == 0
        assert not [line for line in server.log.splitlines() if any(word in line for word in NOISE)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_never_ends_is_cut_short(tmp_path: Path, upstream: MockUpstream, workers: int) -> None:
    """After `--drain-seconds`, and the callers are told in their dialect."""
    with gateway(tmp_path, upstream, "--drain-seconds", "2", workers=workers) as server:
        upstream.reply(Reply(before=HOLD))
        whole = Asked(server)
        upstream.request(0)
        upstream.answer_with(stream(delta("One"), HOLD))
        streamed = Asked(server, model="up", stream=True)
        documented = Asked(server, stream=True)
        upstream.request(2)

        began = time.monotonic()
        server.signal(signal.SIGTERM)

        assert server.wait() == 0
        assert 1.8 < time.monotonic() - began < 25  # 30 s is what it waits unless told otherwise
        assert whole.answer.status_code == 503
        assert "shutting down" in whole.answer.json()["detail"]
        assert '"One"' in streamed.answer.text
        assert "shutting down" in streamed.answer.text
        assert "[DONE]" not in streamed.answer.text
        assert '"status":503' in documented.answer.text
        for index in range(3):
            upstream.left(upstream.request(index))
        assert "Traceback" not in server.log


def test_the_configuration_says_how_long_to_wait(tmp_path: Path, upstream: MockUpstream) -> None:
    """`server.drain_seconds`, where the command line says nothing."""
    with gateway(tmp_path, upstream, server={"drain_seconds": 1}) as server:
        upstream.reply(Reply(before=HOLD))
        asked = Asked(server)
        upstream.request()

        server.signal(signal.SIGTERM)

        assert server.wait(25) == 0  # 30 s is what it waits unless told otherwise
        assert asked.answer.status_code == 503


@pytest.mark.parametrize("workers", [1, 2])
def test_an_idle_gateway_ends_at_once(tmp_path: Path, upstream: MockUpstream, workers: int) -> None:
    """Connections that are kept for later do not hold it."""
    with gateway(tmp_path, upstream, workers=workers) as server, server.client() as http:
        assert http.get("/health").is_success
        began = time.monotonic()

        server.signal(signal.SIGTERM)

        assert server.wait() == 0
        assert time.monotonic() - began < 25  # 30 s is what it waits for those who are being answered


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_ctrl_c_waits_no_longer(tmp_path: Path, upstream: MockUpstream, workers: int) -> None:
    """For people in a hurry: their callers are told, and nothing ends aloud."""
    with gateway(tmp_path, upstream, "--drain-seconds", "60", workers=workers) as server:
        upstream.reply(Reply(before=HOLD))
        asked = Asked(server)
        upstream.request()
        by_terminal(server)
        wait_until(lambda: refused(server), 30, "new connections were still taken")

        by_terminal(server)

        assert server.wait() == 0
        assert asked.answer.status_code == 503
        assert "Traceback" not in server.log


@pytest.mark.parametrize("workers", [1, 2])
def test_a_ctrl_c_that_comes_twice_at_once_ends_quietly(
    tmp_path: Path, upstream: MockUpstream, workers: int
) -> None:
    """As from a shell and from what wraps the gateway in it."""
    with gateway(tmp_path, upstream, workers=workers) as server:
        by_terminal(server)
        by_terminal(server)

        assert server.wait() == 0
        assert "Traceback" not in server.log


def test_a_port_in_use_is_said_so(tmp_path: Path) -> None:
    """With its number and what to do; not as a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        done = run_command("start", "--port", port)

    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.7"])
def test_a_host_that_is_not_here_is_said_so(host: str) -> None:
    """With its name."""
    done = run_command("start", "--port", "0", "--host", host)

    assert done.returncode == 1
    assert host in done.stderr
    assert "Traceback" not in done.stderr
