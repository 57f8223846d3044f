"""Counters that several processes of a machine share."""

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from gateway_async.errors import ConfigError
from gateway_async.stores.base import CountersUnavailable, Window
from gateway_async.stores.generation import Generation
from gateway_async.stores.shared_memory import SharedMemoryCounters

ROOT = Path(__file__).parents[2]
"""Where the modules of the gateway and of the tests are found."""

HOLD = """
import os, signal, sys
from pathlib import Path
from gateway_async.stores.shared_memory import SharedMemoryCounters
counters = SharedMemoryCounters(Path(sys.argv[1]))
assert counters._file.try_lock()
os.write(1, b"held")
os.kill(os.getpid(), signal.SIGSTOP)
"""

SMALL_DISK = """
import resource, sys
from pathlib import Path
from gateway_async.stores.shared_memory import SharedMemoryCounters
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
SharedMemoryCounters(Path(sys.argv[1]))
"""

BUMP = """
import sys
from pathlib import Path
from gateway_async.stores.generation import Generation
Generation(Path(sys.argv[1])).bump()
"""


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=100, check=False
    )


class Hammer:
    """A process that takes from the window, ready to begin."""

    def __init__(self, path: Path, most: int, tries: int) -> None:
        command = [sys.executable, "-m", "tests.stores.hammer", str(path), str(most), str(tries)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.passed = 0

    def ready(self) -> "Hammer":
        """Wait for it."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def begin(self) -> None:
        """Let it take."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def read(self) -> None:
        """Count what passes, until it ends."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            while found := os.read(output.fileno(), 65_536):
                self.passed += len(found)

    def end(self) -> int:
        """How many passed."""
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.read()
        self.process.wait(60)
        return self.passed


def test_a_limit_of_n_lets_n_pass_over_all_processes(tmp_path: Path) -> None:
    """They make the file together, too."""
    hammers = [Hammer(tmp_path / "counts", 1000, 500) for _ in range(6)]
    for hammer in hammers:
        hammer.ready()
    for hammer in hammers:
        hammer.begin()

    assert sum(hammer.end() for hammer in hammers) == 1000


def test_it_does_while_processes_are_killed(tmp_path: Path) -> None:
    """At any moment. What a process took and did not live to tell is the most that is missing."""
    most, rounds, many = 100_000_000, 3, 3
    chance = random.Random(4)
    path, passed = tmp_path / "counts", 0

    for _ in range(rounds):
        hammers = [Hammer(path, most, 10**9) for _ in range(many)]
        for hammer in hammers:
            hammer.ready()
        for hammer in hammers:
            hammer.begin()
        readers = [threading.Thread(target=hammer.read) for hammer in hammers]
        for reader in readers:
            reader.start()
        for hammer in hammers:
            time.sleep(chance.random() / 20)
            hammer.process.kill()
        for reader in readers:
            reader.join()
        passed += sum(hammer.end() for hammer in hammers)

    counted = most - _left(path, most)
    assert passed > 100
    assert passed <= counted <= passed + many * rounds


def _left(path: Path, most: int) -> int:
    async def ask() -> int:
        counters = SharedMemoryCounters(path)
        (level,) = await counters.take([], [Window("hammered", most, 86_400)])
        await counters.aclose()
        return level.remaining

    return asyncio.run(ask())


def test_a_process_that_is_killed_within_a_change_leaves_the_counters_right(tmp_path: Path) -> None:
    """At every line of it; and processes that were forked exclude each other."""
    done = run("-m", "tests.stores.crashes", str(tmp_path))

    assert (done.returncode, done.stderr) == (0, "")


async def test_a_process_that_was_stopped_with_the_lock_stalls_nobody(tmp_path: Path) -> None:
    """Others learn soon that nobody knows, and count again when it is gone."""
    path, window = tmp_path / "counts", Window("a", 2, 3600)
    counters = SharedMemoryCounters(path)
    await counters.take([window])
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as holder:  # noqa: ASYNC220 - nothing else runs here
        assert holder.stdout is not None
        assert holder.stdout.read(4) == b"held"

        began = time.monotonic()
        with pytest.raises(CountersUnavailable, match="another process has held"):
            await counters.take([window])
        with pytest.raises(CountersUnavailable, match="another process has held"):
            await counters.add([window], 1)
        waited = time.monotonic() - began
        holder.kill()

    assert waited < 5
    assert [level.remaining for level in await counters.take([window])] == [0]
    await counters.aclose()


async def test_to_close_while_a_call_waits_for_the_lock_tells_it(tmp_path: Path) -> None:
    """Nobody knows is what it learns, and nothing is counted."""
    path, window = tmp_path / "counts", Window("a", 2, 3600)
    counters = SharedMemoryCounters(path)
    with path.open("rb") as other:
        flock(other, LOCK_EX)
        waiting = asyncio.ensure_future(counters.take([window]))
        await asyncio.sleep(0)
        await counters.aclose()
        with pytest.raises(CountersUnavailable, match="closed"):
            await waiting

    assert [level.remaining for level in await counters.take([window])] == [1]
    await counters.aclose()


async def test_a_disk_without_room_is_an_error_when_the_file_is_made(tmp_path: Path) -> None:
    """And not the end of a process later; with room, the same path is good."""
    path = tmp_path / "counts"

    done = run("-c", SMALL_DISK, str(path))

    assert "ConfigError" in done.stderr
    assert str(path) in done.stderr
    counters = SharedMemoryCounters(path)
    await counters.take([Window("a", 1, 1)])
    await counters.aclose()


async def test_no_room_for_another_window_is_said(tmp_path: Path) -> None:
    """Those that are counted go on."""
    counters = SharedMemoryCounters(records=4)
    windows = [Window(str(number), 10, 3600) for number in range(4)]
    for window in windows:
        await counters.take([window])

    with pytest.raises(CountersUnavailable, match="no room"):
        await counters.take([windows[0], Window("one more", 10, 3600)])

    assert [(await counters.take([window]))[0].remaining for window in windows] == [8] * 4


async def test_the_file_is_its_user_s_alone(tmp_path: Path) -> None:
    """Whatever the process's mask says."""
    counters = SharedMemoryCounters(tmp_path / "counts")

    assert (tmp_path / "counts").stat().st_mode & 0o777 == 0o600
    await counters.aclose()


@pytest.mark.parametrize("kind", ["open to others", "a link", "a directory", "nowhere", "something else"])
def test_a_file_that_can_t_be_trusted_is_refused(tmp_path: Path, kind: str) -> None:
    """With its path, and what to do."""
    path = tmp_path / "counts"
    if kind == "open to others":
        path.touch()
        path.chmod(0o666)
    elif kind == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "a directory":
        path.mkdir()
    elif kind == "nowhere":
        path = tmp_path / "absent" / "counts"
    else:
        Generation(path).close()

    with pytest.raises(ConfigError, match="counts"):
        SharedMemoryCounters(path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_generation_changes_for_every_process(tmp_path: Path) -> None:
    """Whoever bumped it, and never back."""
    path = tmp_path / "generation"
    mine, other = Generation(path), Generation(path)
    seen = [mine.value]

    mine.bump()
    seen.append(other.value)
    other.bump()
    seen.append(mine.value)
    assert run("-c", BUMP, str(path)).returncode == 0
    seen.append(mine.value)

    assert mine.value == other.value
    assert len(set(seen)) == 4
    mine.close()
    other.close()
    kept = Generation(path)
    assert kept.value == seen[-1]
    kept.close()


def test_a_generation_of_its_own_needs_no_file() -> None:
    """Two of them have nothing to do with each other."""
    mine, other = Generation(None), Generation(None)

    mine.bump()

    assert mine.value != other.value
    assert other.value == 0
    mine.close()
    other.close()
