"""Memory goes back: to the system what a rush has freed, and at once what a call held whose caller left."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from gateway_server.disconnect import LeaveWatches
from tests.faults.storm.vitals import resident_mb
from tests.support.server import running, wait_until

HOARDING = (str(Path(__file__).with_name("launch_hoarding.py")),)
HOARD_MB = 100.0
PATIENCE = 60.0


def test_what_was_freed_between_what_is_in_use_goes_back(tmp_path: Path) -> None:
    """By itself the C library would keep it for good."""
    with running(tmp_path, program=HOARDING) as gateway:
        pid = gateway.process.pid
        full = resident_mb(pid)
        assert full > HOARD_MB

        wait_until(
            lambda: resident_mb(pid) < full - 0.8 * HOARD_MB,
            PATIENCE,
            lambda: f"{full:.0f} MB were {resident_mb(pid):.0f} in the end",
        )


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_watch_leaves_nothing_to_the_collector(leaves: bool) -> None:
    """The request hangs on what its caller is watched with."""

    held: list[weakref.ref[object]] = []
    watches, gone = LeaveWatches(), asyncio.Event()

    async def call() -> None:
        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        held.append(weakref.ref(receive))
        with watches.watch(receive) as caller:
            for _ in range(2):
                caller.seen(asyncio.get_running_loop())
            await asyncio.sleep(0)
            if leaves:
                gone.set()
                await asyncio.sleep(PATIENCE)

    gc.disable()
    try:
        await asyncio.create_task(call())
        await asyncio.sleep(0)
        assert [each() for each in held] == [None]
    finally:
        gc.enable()
