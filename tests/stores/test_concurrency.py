"""Many who change a store at once: tasks, loops and processes."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import chain

from gateway_async.errors import AlreadyExists, Conflict
from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from tests.stores.changer import ROOT
from tests.stores.records import ENTRY, contents, entry, route
from tests.stores.servers import Postgres
from tests.support.server import wait_until
from tests.support.tasks import others_done

CREATE = """
import asyncio, sys
from gateway_async.stores import open_store
from tests.stores.records import entry, route

async def main(address, name, count):
    store = open_store(address)
    await store.open()
    for number in range(int(count)):
        print(await store.routes.create(route(f"{name}-{number}"), entry(target=f"{name}-{number}")), flush=True)
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""
"""A process that opens a store and creates routes, printing their revisions."""


async def test_changes_at_the_same_time_are_all_made(store: Store) -> None:
    """Each has a revision of its own, and its line in the log in the same place."""
    names = [f"route-{number}" for number in range(60)]

    revisions = await asyncio.gather(
        *(store.routes.create(route(name), entry(target=name)) for name in names)
    )

    made = dict(zip(names, revisions, strict=True))
    assert sorted(revisions) == list(range(1, 61))
    assert await store.routes.versions() == made
    assert [made[line.target] for line in await store.audit.read()] == list(range(60, 0, -1))


async def test_of_those_who_take_the_same_name_one_gets_it(store: Store) -> None:
    """And of those who change the same route from the same revision, one does."""
    taken = await asyncio.gather(
        *(store.routes.create(route("chat"), ENTRY) for _ in range(20)), return_exceptions=True
    )
    (revision,) = [each for each in taken if isinstance(each, int)]
    changed = await asyncio.gather(
        *(store.routes.replace(route("chat", revision=revision), ENTRY) for _ in range(20)),
        return_exceptions=True,
    )

    assert sum(isinstance(each, AlreadyExists) for each in taken) == 19
    assert sum(type(each) is Conflict for each in changed) == 19
    assert await store.revision() == 2


async def test_who_is_cancelled_leaves_nothing_by_halves(store: Store) -> None:
    """Whatever the moment; the store goes on with the next change."""
    for turns in range(40):
        task = asyncio.create_task(
            store.routes.create(route(f"route-{turns}"), entry(target=f"route-{turns}"))
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await store.routes.create(route("last"), entry(target="last"))

    versions = await store.routes.versions()
    assert await store.revision() == len(versions)
    assert sorted(line.target for line in await store.audit.read()) == sorted(versions)


async def test_many_processes_open_and_change_a_store_at_once(address: str) -> None:
    """Who sees a revision sees every change up to it, at any moment."""
    store = open_store(address)
    await store.open()
    seen = []
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(creating(address, f"process-{n}", 40)) for n in range(3)]
        ended = asyncio.gather(*(process.communicate() for process in processes))
        while not ended.done():
            revision = await store.revision()
            seen.append(revision)
            assert len(await store.routes.versions()) >= revision
        outputs = await ended

    revisions = [[int(line) for line in output.split()] for output, _ in outputs]
    assert seen == sorted(seen)
    assert all(each == sorted(each) for each in revisions)
    assert sorted(chain(*revisions)) == list(range(1, 121))
    assert await store.revision() == 120
    assert len({line.target for line in await store.audit.read(limit=1000)}) == 120
    await store.aclose()


async def test_a_server_s_strict_isolation_fails_no_change(postgres: Postgres) -> None:
    """Whatever it is by default, changes wait for each other and are made."""
    address = f"{postgres.new_address()}&default_transaction_isolation=serializable"
    stores = [open_store(address) for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))

    changes = [store.limits.replace("chat", [], ENTRY) for store in stores for _ in range(10)]
    await asyncio.gather(*changes)

    assert await stores[0].revision() == 30
    await asyncio.gather(*(store.aclose() for store in stores))


@asynccontextmanager
async def creating(address: str, name: str, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that opens a store and creates routes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CREATE, address, name, str(count)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_store_is_used_from_one_loop_after_the_other(address: str) -> None:
    """As a blocking client's, and a test's: closed in each, or left to the next."""
    store = open_store(address)

    async def use(name: str, *, close: bool) -> int:
        await store.open()
        await store.routes.create(route(name), ENTRY)
        if close:
            await store.aclose()
        return await store.revision() if not close else len(name)

    asyncio.run(use("first", close=True))
    with asyncio.Runner() as one, asyncio.Runner() as other:
        assert one.run(use("second", close=False)) == 2
        assert other.run(use("third", close=False)) == 3
        one.run(others_done())  # that the second loop left to the first
        other.run(use("fourth", close=True))

    no_threads_stay()


async def test_a_store_that_was_closed_opens_again_by_itself(address: str) -> None:
    """With the next call, whatever it is; closing twice is no error."""
    store = open_store(address)
    await store.open()
    await store.routes.create(route("chat"), ENTRY)

    await store.aclose()
    await store.aclose()
    no_threads_stay()

    assert (await contents(store))["order"] == ["chat"]
    assert bool(store_threads()) == address.startswith("sqlite")
    await store.aclose()
    no_threads_stay()


async def test_a_store_that_is_closed_while_it_is_used_answers_first(address: str) -> None:
    """What is under way ends as it would have; its connection goes with it."""
    store = open_store(address)
    await store.open()
    under_way = [asyncio.create_task(store.routes.create(route(f"route-{n}"), ENTRY)) for n in range(5)]
    reading = [asyncio.create_task(store.revision()) for _ in range(5)]
    await asyncio.sleep(0)

    await store.aclose()

    assert await asyncio.gather(*under_way) == [1, 2, 3, 4, 5]
    assert max(await asyncio.gather(*reading)) <= 5
    no_threads_stay()
    assert await store.revision() == 5
    await store.aclose()


def store_threads() -> list[str]:
    """The threads in which connections to SQLite live."""
    return [thread.name for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]


def no_threads_stay() -> None:
    """Those that were told to end have ended."""
    wait_until(lambda: not store_threads(), 10, lambda: f"there are still {store_threads()}")
