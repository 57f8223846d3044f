"""Stores that can't be reached, or are no stores: who calls is told what and where, and no secret."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_async.errors import ConfigError, GatewayError, Unavailable
from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from gateway_async.stores.places import shown
from gateway_async.stores.sql import database
from tests.stores.records import ENTRY, contents, digest, entry, key, route
from tests.stores.servers import PASSWORD, Postgres, postgres_server
from tests.support.ports import closed_port

SECONDS = 30
"""In which every call has ended; it takes a few, more on a machine that is busy."""


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that these tests stop and start."""
    with postgres_server() as server:
        yield server


async def refused(store: Store) -> list[str]:
    """What every call of a store says that can't be reached."""
    calls = (
        *(store.revision(), store.routes.versions(), store.routes.read(["chat"]), store.limits.all()),
        *(store.keys.find(digest("app")), store.keys.all(), store.audit.read(), store.open()),
        *(store.routes.create(route("new"), ENTRY), store.limits.replace("chat", [], ENTRY)),
        *(store.keys.create(key("new"), ENTRY), store.audit.record([ENTRY])),
    )
    async with asyncio.timeout(SECONDS):
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in errors} == {Unavailable}
    return [str(error) for error in errors]


async def test_a_server_that_is_stopped_is_said_and_comes_back(own_postgres: Postgres) -> None:
    """By itself: the store is not opened again."""
    address = own_postgres.new_address()
    store = open_store(address)
    await store.open()
    await store.routes.create(route("chat"), ENTRY)
    before = await contents(store)

    own_postgres.stop()
    messages = await refused(store)
    own_postgres.start()

    assert all(message.startswith(f"the store {shown(address)} can't be used: ") for message in messages)
    assert PASSWORD not in "".join(messages)
    assert await contents(store) == before
    await store.limits.replace("chat", [], ENTRY)
    await store.aclose()


async def test_a_server_that_is_silent_keeps_nobody_waiting(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stand, and nobody answers; when somebody does, the next call is answered."""
    monkeypatch.setattr(database, "COMMAND_SECONDS", 0.5)
    monkeypatch.setattr("gateway_async.stores.sql.postgres.CONNECT_SECONDS", 0.5)
    store = open_store(own_postgres.new_address())
    await store.open()
    await asyncio.gather(*(store.revision() for _ in range(10)))

    own_postgres.pause()
    try:
        messages = await refused(store)
    finally:
        own_postgres.resume()

    assert all("does not answer in time" in message for message in messages)
    await answers(store)
    await store.aclose()


async def answers(store: Store) -> None:
    """Wait until a store answers: its server may have to find its feet."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await store.revision()
                await store.audit.record([ENTRY])
                return
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_connection_that_was_dropped_is_nobody_s_error(own_postgres: Postgres) -> None:
    """A firewall, a server that was started anew: reading and changing take another one."""
    address = own_postgres.new_address()
    store = open_store(address)
    await store.open()

    own_postgres.drop_connections()
    assert await store.revision() == 0
    own_postgres.drop_connections()
    assert await store.routes.create(route("chat"), ENTRY) == 1
    own_postgres.drop_connections()
    await store.audit.record([entry()])
    await store.aclose()


async def test_a_gateway_that_hangs_in_a_change_holds_up_no_other(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it is told within seconds, and may read meanwhile."""
    monkeypatch.setattr(database, "COMMAND_SECONDS", 0.5)
    address = own_postgres.new_address()
    store, other = open_store(address), open_store(address)
    await store.open()
    await other.open()
    release, inside = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        async with other.audit._database.writing() as connection:  # type: ignore[attr-defined]
            await connection.exec_driver_sql("UPDATE gateway_state SET revision = revision + 1")
            inside.set()
            await release.wait()

    hanging = asyncio.create_task(hang())
    await inside.wait()
    with pytest.raises(Unavailable, match="does not answer in time"):
        await store.routes.create(route("chat"), ENTRY)
    assert await store.revision() == 0
    release.set()
    await hanging

    assert await store.routes.create(route("chat"), ENTRY) == 2
    await store.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        (
            "postgresql://gateway:{password}@127.0.0.1:{closed}/none",
            Unavailable,
            "store postgresql://127.0.0.1:",
        ),
        (
            "postgres://gateway:wrong-{password}@127.0.0.1:{port}/postgres",
            Unavailable,
            "authentication failed",
        ),
        (
            "postgresql://gateway:{password}@127.0.0.1:{port}/absent",
            Unavailable,
            'used: database "absent" does not exist; see',
        ),
        ("postgresql://gateway:{password}@absent.invalid/none", Unavailable, "absent.invalid"),
        ("postgresql://gateway:{password}@127.0.0.1:99999/none", ConfigError, "can't be understood"),
        ("postgresql://gateway:{password}/@127.0.0.1:{port}/none", ConfigError, "%2F for /"),
        (
            "postgresql://127.0.0.1:{port}/none?password={password}&no_such=1",
            Unavailable,
            "postgresql://127.0.0.1:",
        ),
    ],
)
async def test_a_wrong_address_of_a_server_is_said(
    own_postgres: Postgres, address: str, error: type[GatewayError], message: str
) -> None:
    """With what the server or the network says to it, and without the password."""
    store = open_store(address.format(password=PASSWORD, port=own_postgres.port, closed=closed_port()))

    with pytest.raises(error, match=message) as failed:
        async with asyncio.timeout(SECONDS):
            await store.open()

    assert PASSWORD not in str(failed.value)
    await store.aclose()


@pytest.mark.parametrize(
    "address",
    ["mysql://user:hidden@host/db", "gateway.db", "", "sqlite://", "sqlite:///", "sqlite:///:memory:"],
)
def test_an_address_of_no_store_is_refused(address: str) -> None:
    """With what may stand there."""
    with pytest.raises(ConfigError, match=r"write '?sqlite:///") as failed:
        open_store(address)

    assert "hidden" not in str(failed.value)


@pytest.mark.parametrize(
    ("address", "driver", "extra"),
    [("sqlite:///gateway.db", "aiosqlite", "sql"), ("postgres://host/db", "asyncpg", "postgres")],
)
def test_a_store_whose_extra_is_not_installed_says_which(
    address: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, driver, None)
    for module in ("sqlite", "postgres"):
        monkeypatch.delitem(sys.modules, f"gateway_async.stores.sql.{module}", raising=False)

    with pytest.raises(ConfigError, match=rf"needs {driver}: pip install 'ai-gateway-sdk\[{extra}\]'"):
        open_store(address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://u:p@host:5432/db?sslmode=require&password=p", "postgresql://host:5432/db"),
        ("postgresql://u:p@q/r@host/db", "postgresql://host/db"),
        ("postgresql://u:p?q@host/db", "postgresql://…"),
        ("postgresql://host/db?user=me@here&password=p", "postgresql://…"),
    ],
)
def test_the_address_in_a_message_holds_no_password(address: str, expected: str) -> None:
    """Wherever it stands, and whatever characters are in it."""
    assert shown(address) == expected


async def test_a_file_that_another_program_holds_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes are refused until it lets go; reading goes on."""
    monkeypatch.setattr(database, "COMMAND_SECONDS", 0.3)
    store = open_store(f"sqlite:///{tmp_path}/gateway.db")
    await store.open()
    await store.routes.create(route("chat"), ENTRY)
    holder = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(
        Unavailable, match=r"gateway\.db can't be used: database is locked; another program holds"
    ):
        await store.routes.create(route("other"), ENTRY)
    assert list(await store.routes.versions()) == ["chat"]
    holder.execute("ROLLBACK")
    holder.close()

    assert await store.routes.create(route("other"), ENTRY) == 2
    await store.aclose()


def a_directory(path: Path) -> None:
    """Where the file should be, there is a directory."""
    path.mkdir()


def a_text(path: Path) -> None:
    """A file of another kind."""
    path.write_text("endpoints: []\n" * 1000)


def nothing_beneath(path: Path) -> None:
    """The directory is a file."""
    path.parent.rmdir()
    path.parent.touch()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            a_directory,
            "Is a directory; see that its directory can be written, or name another place with --store",
        ),
        (a_text, "file is not a database; the file is no SQLite database; name another one"),
        (nothing_beneath, "can't be opened"),
    ],
)
async def test_what_is_no_database_is_refused(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    """And left as it is."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "gateway.db"
    make(path)
    store = open_store(f"sqlite:///{path}")

    with pytest.raises(ConfigError, match=message):
        await store.open()

    await store.aclose()
    if path.is_file():
        assert path.read_text().startswith("endpoints:")


async def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    """It is not taken for an empty store."""
    path = tmp_path / "gateway.db"
    store = open_store(f"sqlite:///{path}")
    await store.open()
    for number in range(50):
        await store.routes.create(route(f"route-{number}", 20), ENTRY)
    await store.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(Unavailable, match="malformed; the file is damaged"):
        await store.revision()

    await store.aclose()


async def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """An empty store would let nobody in, or everybody; who opens it anew says so."""
    store = open_store(f"sqlite:///{tmp_path}/gateway.db")
    await store.open()
    await store.aclose()
    (tmp_path / "gateway.db").unlink()

    with pytest.raises(Unavailable, match="unable to open database file; see that the file is there"):
        await store.revision()

    await store.aclose()
