"""Stores that older gateways made, and one that a newer made."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from gateway_async.errors import ConfigError
from gateway_async.stores import open_store
from gateway_async.stores.base import StoredKey, StoredRoute
from gateway_async.stores.sql import migrate, tables
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.sqlite import SQLite
from tests.stores.changer import ROOT
from tests.stores.conftest import NewAddress
from tests.stores.records import ENTRY, contents, digest

VERSIONS = ["0001", "0002", "0003", "0004", "0005"]

ROWS = {
    "0001": [
        "UPDATE gateway_state SET revision = 7, fingerprint = 'abc'",
        "INSERT INTO gateway_routes (name, created, revision, document, sealed) "
        "VALUES ('b', 3, 6, '{\"old\": [1]}', :sealed), ('a', 5, 5, '{}', :sealed)",
    ],
    "0002": ["INSERT INTO gateway_limits (route, limits) VALUES ('b', '[{\"calls\": 5}]')"],
    "0003": [
        "INSERT INTO gateway_keys (name, digest, hint, role, routes, created, expires, revoked) "
        "VALUES ('app', :digest, 'gw-1', 'caller', '[\"b\"]', 1.5, NULL, 2.5)"
    ],
    "0004": [
        "INSERT INTO gateway_audit (at, action, target, actor, outcome, detail, count, refusal) "
        "VALUES (1.5, 'call', 'b', 'app', 'refused', 'why', 2, 1)",
        "UPDATE gateway_state SET refusals = 1",
    ],
}
"""What a gateway of a version kept, in the tables that it added."""


@asynccontextmanager
async def database(address: str) -> AsyncIterator[Database]:
    """The database at an address, without the store over it."""
    if address.startswith("sqlite"):
        opened = Database(SQLite(address))
    else:
        from gateway_async.stores.sql.postgres import Postgres

        opened = Database(Postgres(address))
    opened.make()
    yield opened
    await opened.aclose()


async def make_old(address: str, version: str) -> None:
    """Make a store as a gateway of a version left it, with something in each of its tables."""
    async with database(address) as old:
        await migrate.upgrade(old, version)
        async with old.writing() as connection:
            for since in (since for since in ROWS if since <= version):
                for command in ROWS[since]:
                    statement = sa.text(command)
                    values = {"sealed": b"\0\xff", "digest": digest("app")}
                    await connection.execute(
                        statement, {name: values[name] for name in statement.compile().params}
                    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_an_older_gateway_kept_is_there(address: str, version: str) -> None:
    """Whatever its version: everything that it could keep; and the store takes changes of every kind."""
    await make_old(address, version)
    store = open_store(address)

    await store.open()

    found = await contents(store)
    assert (found["revision"], found["order"], await store.fingerprint("new")) == (7, ["b", "a"], "abc")
    assert found["routes"] == [
        StoredRoute(name="a", document={}, sealed=b"\0\xff", revision=5),
        StoredRoute(name="b", document={"old": [1]}, sealed=b"\0\xff", revision=6),
    ]
    assert found["limits"] == ({"b": [{"calls": 5}]} if version >= "0002" else {})
    app = StoredKey(
        name="app", digest=digest("app"), hint="gw-1", role="caller", routes=("b",), created=1.5, revoked=2.5
    )
    assert found["keys"] == ([app] if version >= "0003" else [])
    assert [line.detail for line in found["audit"]] == (["why"] if version >= "0004" else [])
    await store.limits.replace("a", [], ENTRY)
    assert await store.revision() == 8
    await store.aclose()


@pytest.mark.parametrize("version", VERSIONS)
async def test_tables_that_grew_are_those_of_a_new_store(version: str, new_address: NewAddress) -> None:
    """Columns, types, keys, indexes, defaults, rows; and they are those that the code knows."""
    for kind in ("sqlite", "postgres"):
        async with database(new_address(kind)) as new, database(new_address(kind)) as grown:
            await migrate.upgrade(new)
            await migrate.upgrade(grown, version)
            await migrate.upgrade(grown)

            for made in (new, grown):
                async with made.reading() as connection:
                    assert await connection.run_sync(migrate.version) == tables.HEAD == VERSIONS[-1]
                    assert await connection.run_sync(_different) == []
            assert await _described(new) == await _described(grown)


def _different(connection: sa.Connection) -> list[object]:
    """What Alembic would change."""
    opts = {"version_table": tables.version.name, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=opts), tables.metadata))


async def _described(made: Database) -> dict[str, object]:
    """What the database knows of its tables, and what is in them."""

    def describe(connection: sa.Connection) -> dict[str, object]:
        here = sa.inspect(connection)
        return {
            table: (
                [column | {"type": str(column["type"])} for column in here.get_columns(table)],
                here.get_pk_constraint(table),
                sorted(here.get_indexes(table), key=str),
                here.get_unique_constraints(table),
                connection.execute(sa.text(f"SELECT * FROM {table}")).mappings().all(),
            )
            for table in sorted(here.get_table_names())
        }

    async with made.reading() as connection:
        return await connection.run_sync(describe)


OPEN = """
import asyncio, sys
from gateway_async.stores import open_store

async def main():
    for address in sys.argv[1:]:
        store = open_store(address)
        await store.open()
        print(await store.revision())
        await store.aclose()

sys.stdin.readline()
asyncio.run(main())
"""
"""A process that opens stores when it is told to."""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_of_many_who_open_a_store_at_once_one_migrates_it(kind: str, new_address: NewAddress) -> None:
    """A store that is old, and one that is new; nobody fails, and all find it whole."""
    old, new = new_address(kind), new_address(kind)
    await make_old(old, "0001")
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OPEN, old, new), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(4)
    ]

    outputs = await asyncio.gather(*(process.communicate(b"now\n") for process in processes))

    assert outputs == [(b"7\n0\n", b"")] * 4


async def test_tasks_of_one_process_open_different_stores_at_once(new_address: NewAddress) -> None:
    """What Alembic does for one is not mixed with what it does for another."""
    addresses = [new_address(kind) for kind in ("sqlite", "sqlite", "postgres", "postgres")]
    stores = [open_store(each) for each in addresses for _ in range(2)]

    await asyncio.gather(*(store.open() for store in stores))

    assert [await store.revision() for store in stores] == [0] * 8
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_opening_a_store_leaves_logging_alone(address: str) -> None:
    """Alembic's own way of running would set it up anew."""
    logger, handlers = logging.getLogger("of-the-host"), logging.root.handlers[:]
    store = open_store(address)

    await store.open()

    assert not logger.disabled
    assert logging.root.handlers == handlers
    await store.aclose()


@pytest.mark.parametrize("there", [True, False])
async def test_who_opens_a_store_of_today_does_not_load_alembic(there: bool, new_address: NewAddress) -> None:
    """Every worker and command opens it; nor does who makes it."""
    address = new_address("sqlite")
    if there:
        async with database(address) as made:
            await migrate.upgrade(made)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{OPEN}\nassert 'alembic' not in sys.modules", address),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
    )

    await process.communicate(b"now\n")

    assert process.returncode == 0


async def test_a_store_of_a_newer_gateway_is_refused(address: str) -> None:
    """Its tables may not be what this one believes; nothing in it is touched."""
    async with database(address) as newer:
        await migrate.upgrade(newer)
        async with newer.writing() as connection:
            await connection.execute(sa.text("UPDATE gateway_version SET version_num = '9999'"))
    store = open_store(address)

    with pytest.raises(
        ConfigError, match=r"made by a newer gateway.* version 9999, .* up to 0005"
    ) as refused:
        await store.open()

    assert "never-in-a-message" not in str(refused.value)
    await store.aclose()


async def test_a_migration_that_fails_changes_nothing(address: str) -> None:
    """Not the steps before it either: the next attempt begins where this one did."""
    await make_old(address, "0002")
    async with database(address) as old:
        async with old.writing() as connection:
            # In the way of step 4, after step 3 has made its table.
            await connection.execute(sa.text("CREATE TABLE gateway_audit (id INTEGER)"))
        with pytest.raises(Exception, match="gateway_audit"):
            await migrate.upgrade(old)

        async with old.reading() as connection:
            assert await connection.run_sync(migrate.version) == "0002"
            names = await connection.run_sync(lambda connection: sa.inspect(connection).get_table_names())
    assert "gateway_keys" not in names
