"""A gateway that is killed, or whose database is: what was acknowledged is there, and nothing by halves."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from gateway_async.stores import open_store
from gateway_async.stores.memory import MemoryStore
from tests.stores.changer import ROOT, change, command
from tests.stores.records import contents
from tests.stores.servers import Postgres, postgres_server

CHANGES = 400
MOST_AT_ONCE = 140
"""Changes after which a process is killed, at most."""


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[Postgres]:
    """A server that writes to the disk, as it comes."""
    with postgres_server(durable=True) as server:
        yield server


def changes_until_killed(
    address: str, first: int, count: int, kill: Callable[[subprocess.Popen[str]], None]
) -> int:
    """Change a store in a process that is killed after some changes. How many changes were acknowledged in all.

    Args:
        address: The store's address.
        first: The number of the first change.
        count: How many are awaited before it is killed.
        kill: What ends it, and what else is to be ended with it.
    """
    with subprocess.Popen(
        command(address, first, CHANGES - first),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(min(count, CHANGES - first)):
            assert process.stdout.readline(), process.communicate()[1]
        kill(process)
        said, _ = process.communicate()
        return first + min(count, CHANGES - first) + len(said.splitlines())


async def check(address: str, acknowledged: int, kept: MemoryStore) -> int:
    """Hold a store to one in memory that had the same changes. How many changes the store has.

    Args:
        address: The store's address.
        acknowledged: The changes that it must have; one more may have been on its way.
        kept: The one in memory, which is brought as far as the store.
    """
    store = open_store(address)
    await store.open()
    found = await contents(store)
    await store.aclose()
    assert found["revision"] in (acknowledged, acknowledged + 1)
    for number in range(await kept.revision(), found["revision"]):
        await change(kept, number)
    assert found == await contents(kept)
    return int(found["revision"])


async def test_killed_in_sqlite(tmp_path: Path) -> None:
    """Hundreds of changes of all kinds; again and again the process is killed at a moment that nobody chose."""
    address, random, kept, made = f"sqlite:///{tmp_path / 'gateway.db'}", Random(4), MemoryStore(), 0

    while made < CHANGES:
        made = changes_until_killed(address, made, random.randrange(MOST_AT_ONCE), subprocess.Popen.kill)
        made = await check(address, made, kept)

    assert made == CHANGES


async def test_killed_in_postgres(durable_postgres: Postgres) -> None:
    """The same; every other time it is the server that crashes."""
    address, random, kept, made = durable_postgres.new_address(), Random(5), MemoryStore(), 0

    def crash(_: subprocess.Popen[str]) -> None:
        durable_postgres.stop()

    for kill in (subprocess.Popen.kill, crash) * CHANGES:
        if made >= CHANGES:
            break
        made = changes_until_killed(address, made, random.randrange(MOST_AT_ONCE), kill)
        if kill is crash:
            durable_postgres.start()
        made = await check(address, made, kept)

    assert made == CHANGES
