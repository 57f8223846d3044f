"""The audit log and what else a store keeps once, in every store."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway_async.stores.base import AuditEntry, Store
from gateway_async.stores.memory import MemoryStore
from gateway_async.stores.sql.sqlite import SQLite
from gateway_async.stores.sql.store import SqlStore
from tests.stores.conftest import NewAddress
from tests.stores.records import entry, key, route

WHOLE = AuditEntry(
    action="call",
    target="chat",
    actor="app",
    address="2001:db8::1",
    request_id="req-1",
    outcome="refused",
    detail="the key is expired",
    count=3,
    at=1234.5,
)


def refusal(number: int) -> AuditEntry:
    """One of many."""
    return entry("call", str(number), outcome="refused")


async def test_a_line_is_kept_as_it_was_written(store: Store) -> None:
    """Every field of it."""
    await store.audit.record([WHOLE])

    assert await store.audit.read() == [WHOLE]


async def test_the_newest_lines_come_first(store: Store) -> None:
    """As many as were asked for, changes and refusals in one row."""
    await store.audit.record([refusal(1), entry(target="2"), refusal(3)])
    await store.routes.create(route("chat"), entry("route.create", "4"))
    await store.audit.record([refusal(5)])

    assert [line.target for line in await store.audit.read(limit=4)] == ["5", "4", "3", "2"]
    assert [line.outcome for line in await store.audit.read(limit=2)] == ["refused", "done"]


async def test_a_line_without_a_time_is_of_now(store: Store) -> None:
    """In seconds since 1970."""
    before = time.time()
    await store.audit.record([entry()])

    (line,) = await store.audit.read()

    assert before <= line.at <= time.time()


async def test_every_change_writes_its_line(store: Store) -> None:
    """In the order in which they were made."""
    revision = await store.routes.create(route("chat"), entry("route.create"))
    await store.routes.replace(route("chat", revision=revision), entry("route.update"))
    await store.limits.replace("chat", [], entry("limits.set"))
    await store.routes.delete("chat", entry("route.delete"))
    await store.keys.create(key("app"), entry("key.create"))
    await store.keys.rotate("app", digest=b"2", hint="", old_until=1.0, entry=entry("key.rotate"))
    await store.keys.revoke("app", 1.0, entry("key.revoke"))

    assert [line.action for line in reversed(await store.audit.read())] == [
        *("route.create", "route.update", "limits.set", "route.delete"),
        *("key.create", "key.rotate", "key.revoke"),
    ]
    assert await store.revision() == 7


async def test_a_refusal_changes_no_revision(store: Store) -> None:
    """Nobody has to read anything again because somebody was refused."""
    await store.audit.record([refusal(1)])
    await store.audit.record([])

    assert await store.revision() == 0


async def test_what_a_stranger_wrote_can_be_logged(store: Store) -> None:
    """Characters that are no text, or that a database refuses, do not keep the line out of the log."""
    nasty = "a\0b\ud800c'); DROP TABLE gateway_audit;--\r\n\x1b[31m" + "x" * 100_000
    await store.audit.record([replace(WHOLE, target=nasty, address=nasty, request_id=nasty, detail=nasty)])

    (line,) = await store.audit.read()

    assert line.detail.startswith("a")
    assert "DROP TABLE gateway_audit;--\r\n\x1b[31mxxx" in line.detail


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
async def test_of_refusals_the_newest_are_kept(kind: str, new_address: NewAddress) -> None:
    """Whoever is refused can't fill the disk, nor push out what was changed."""
    store = small_store(kind, new_address)
    await store.open()
    await store.routes.create(route("chat"), entry(target="change"))

    for first in range(0, 100, 7):
        await store.audit.record([entry(target="told"), *(refusal(first + more) for more in range(7))])

    lines = await store.audit.read(limit=1000)
    assert [line.target for line in lines if line.outcome == "refused"] == [
        str(n) for n in range(104, 94, -1)
    ]
    assert [line.target for line in lines if line.outcome == "done"] == [*["told"] * 15, "change"]
    await store.aclose()


def small_store(kind: str, new_address: NewAddress) -> Store:
    """A store that keeps ten refusals."""
    if kind == "memory":
        return MemoryStore(refusals=10)
    address = new_address(kind)
    if kind == "sqlite":
        return SqlStore(SQLite(address), refusals=10)
    from gateway_async.stores.sql.postgres import Postgres

    return SqlStore(Postgres(address), refusals=10)


async def test_the_first_fingerprint_stays(store: Store) -> None:
    """Whoever comes later with another secret is told which one the routes are encrypted with."""
    assert await store.fingerprint("mine") == "mine"
    assert await store.fingerprint("another") == "mine"
    assert await store.fingerprint("another", instead_of="a third") == "mine"
    assert await store.fingerprint("another", instead_of="mine") == "another"
    assert await store.fingerprint("mine") == "another"
    assert await store.revision() == 0


async def test_a_store_in_a_file_is_its_user_s_alone(tmp_path: Path) -> None:
    """The file, what SQLite puts beside it, and the directory, which is made where it is absent."""
    path = tmp_path / "deep" / "gateway ü%?.db"
    store = SqlStore(SQLite(f"sqlite:///{tmp_path}/deep/gateway ü%.db"))
    await store.open()
    await store.audit.record([entry()])

    files = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert files == {f"gateway ü%.db{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await store.aclose()
