"""Workers that are killed, ended and told of changes while 64 callers call: nobody else notices."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.callers import Callers
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, Json, offline
from tests.support.server import Server, running, wait_until, write_config

CALLERS = 64
IMPATIENT = (str(Path(__file__).with_name("launch_impatient.py")),)
LIMITS = "/api/2.0/gateway/limits/"
TAKEN_UP = "took up the changed configuration"
CHAT = "/gateway/chat/invocations"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Server]:
    """A gateway with two workers."""
    with running(tmp_path, {"endpoints": [offline("chat", "chat")]}, workers=2) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        yield server


def replaced(server: Server, worker: int) -> bool:
    """Whether another has taken the place of one of two workers."""
    return len(server.watching()) == 2 and worker not in server.workers()


async def test_a_killed_worker_takes_only_its_own_requests_with_it(two: Server) -> None:
    """Each caller loses one request at most, and is answered again at once; soon there are two workers again."""
    first, second = two.workers()
    async with Callers(two, CHAT, HELLO, count=CALLERS) as callers:
        await callers.more(200)

        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        await callers.until(partial(replaced, two, first))
        back = time.monotonic() - killed

        failed = len(callers.failed)
        await callers.more(500)

    print(f"the worker was back after {back:.2f} s; {failed} requests of {CALLERS} callers were lost")
    assert failed <= CALLERS
    assert len(callers.failed) == failed
    assert second in two.workers()


async def test_workers_killed_again_and_again_come_back(two: Server) -> None:
    """Never all at once: whoever asks is answered."""
    async with Callers(two, CHAT, HELLO, count=8) as callers:
        for _ in range(3):
            before = two.workers()
            os.kill(before[0], signal.SIGKILL)
            await callers.until(partial(replaced, two, before[0]))
            await callers.more(50)

    assert len(callers.failed) <= 3 * 8


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_fails_no_request(tmp_path: Path, workers: int) -> None:
    """What was sent is answered, with word that the connection ends; then nobody can connect any more."""
    with running(tmp_path, {"endpoints": [offline("chat", "chat")]}, workers=workers) as server:
        wait_until(lambda: len(server.watching()) == workers, 60, "not all workers began")
        async with Callers(server, CHAT, HELLO, count=CALLERS) as callers:
            await callers.more(300)

            server.signal(signal.SIGTERM)

            await callers.stopped()
        assert await asyncio.to_thread(server.wait) == 0

    assert callers.failed == []


async def test_sighup_replaces_the_workers_and_fails_no_request(two: Server) -> None:
    """For an operator who wants fresh processes."""
    before = set(two.workers())
    async with Callers(two, CHAT, HELLO, count=16) as callers:
        await callers.more(100)

        two.signal(signal.SIGHUP)

        await callers.until(lambda: not before & set(two.workers()) and len(two.watching()) == 2)
        await callers.more(200)

    assert callers.failed == []


async def test_a_hundred_changes_fail_no_request(tmp_path: Path) -> None:
    """Of the file and over the API, while callers call a route that every one of them changes."""

    def config(number: int) -> Json:
        echo = offline("chat", "chat")
        return {
            "endpoints": [{**echo, "timeouts": {"total": 100 + number}}, offline(f"new-{number}", "chat")]
        }

    file = write_config(tmp_path / "gateway.yaml", config(0))
    with running(tmp_path, file, workers=2, env={"GATEWAY_ADMIN_KEY": ADMIN}) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        async with Callers(server, CHAT, HELLO, count=16) as callers:
            async with server.async_client(headers=AS_ADMIN) as admin:
                for number in range(1, 101):
                    if number % 20:
                        limits = [{"calls": 10**6 + number, "renewal_period": "minute"}]
                        changed = await admin.post(LIMITS, json={"route": "chat", "limits": limits})
                        assert changed.status_code == 200, changed.text
                    else:
                        await asyncio.to_thread(write_config, file, config(number))
                        await asyncio.to_thread(server.wait_for_log, TAKEN_UP, times=number // 20 * 2)
            await callers.more(50)
        assert "Traceback" not in server.log

    print(f"{callers.answered} answers during 100 changes")
    assert callers.failed == []


async def test_workers_end_when_the_first_process_is_killed(two: Server) -> None:
    """They answer what they have, and leave the address to the next gateway."""
    workers = two.workers()
    async with Callers(two, CHAT, HELLO, count=8) as callers:
        await callers.more(20)

        two.signal(signal.SIGKILL)

        await callers.stopped()

    assert callers.failed == []
    wait_until(lambda: not any(alive(pid) for pid in workers), 30, "a worker is still there")


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """One that says nothing is killed; the others answer meanwhile."""
    file = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("chat", "chat")]})
    with running(tmp_path, file, workers=2, program=IMPATIENT) as server:
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        victim = server.workers()[0]

        os.kill(victim, signal.SIGSTOP)

        wait_until(partial(replaced, server, victim), 60, "it stays")
        assert "has been silent" in server.log
