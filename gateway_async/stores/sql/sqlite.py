"""SQLite: a file, with its log beside it."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import aiosqlite
import sqlalchemy as sa

from gateway_async.errors import ConfigError, GatewayError, Unavailable
from gateway_async.stores.places import SQLITE, sqlite_file
from gateway_async.stores.sql.engine import Engine

CONNECTIONS = 4
"""Most connections, each with a thread of its own; readers do not wait for a writer."""

WAYS_OUT = {
    "SQLITE_BUSY": "another program holds the file; the gateway tries again with the next call",
    "SQLITE_CANTOPEN": "see that the file is there, and that the gateway's user may read and write it",
    "SQLITE_CORRUPT": "the file is damaged; put a copy in its place, or move it away to begin anew",
    "SQLITE_FULL": "there is no room left on the disk",
    "SQLITE_IOERR": "see that the disk is whole, and that there is room left on it",
    "SQLITE_NOTADB": "the file is no SQLite database; name another one",
    "SQLITE_READONLY": "see that the gateway's user may write the file and its directory",
}
"""SQLite's name of a failure → what can be done."""


class SQLite:
    """A `Backend`.

    Args:
        address: `sqlite:///` and the path of the file.

    Raises:
        ConfigError: The address names no file.
    """

    begin = "BEGIN IMMEDIATE"
    begin_migration = "BEGIN IMMEDIATE"
    reading: Mapping[str, Any] = {}
    bound_to_loop = False
    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, address: str) -> None:
        if not address.startswith(SQLITE) or address[len(SQLITE) :].partition("?")[0] in ("", ":memory:"):
            raise ConfigError(f"the store {address!r} names no file: write {SQLITE} and its path")
        self._path = sqlite_file(address)
        self.name = f"{SQLITE}{self._path}"

    def make(self) -> None:
        """Make the file, for its user alone, and its directory.

        Raises:
            ConfigError: It can't be made.
        """
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives the files that it makes beside it the same mode.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as problem:
            raise ConfigError(
                f"the store {self.name} can't be opened: {problem.strerror}; see that its directory can be written, "
                "or name another place with --store or GATEWAY_STORE"
            ) from None

    def engine(self, seconds: float) -> Engine:
        """A new engine; see `Backend.engine`."""

        async def connect(**_: Any) -> aiosqlite.Connection:
            return await _connect(self._path, seconds)

        return Engine(
            sa.URL.create("sqlite+aiosqlite", database=str(self._path)),
            connect,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=seconds,
            hide_parameters=True,
        )

    def explain(self, cause: BaseException, reason: str) -> GatewayError:
        """What went wrong; see `Backend.explain`."""
        code: str = getattr(cause, "sqlite_errorname", "")
        way_out = next((text for name, text in WAYS_OUT.items() if code.startswith(name)), "")
        text = f"the store {self.name} can't be used: {reason}" + (f"; {way_out}" if way_out else "")
        return ConfigError(text) if code == "SQLITE_NOTADB" else Unavailable(text)


async def _connect(path: Path, seconds: float) -> aiosqlite.Connection:
    connection = aiosqlite.connect(
        f"file:{quote(str(path))}?mode=rw",  # not made anew if it is gone: that would be an empty store
        uri=True,
        timeout=seconds,
        isolation_level=None,  # Python's module begins no transaction by itself
    )
    thread: Thread = vars(connection).get("_thread", connection)  # it was a thread before it had one
    thread.daemon = True
    try:
        await connection
    except BaseException:
        thread.join()  # it ends now, while there is a loop to tell so
        raise
    try:
        await _make_durable(connection, seconds)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _make_durable(connection: aiosqlite.Connection, seconds: float) -> None:
    """Have what is committed on the disk; readers do not wait for a writer, nor it for them."""
    await connection.execute("PRAGMA synchronous=FULL")
    until = time.monotonic() + seconds
    while True:
        try:
            await connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            # Of several who open a new file at once, SQLite tells all but one that it is busy, and waits for none.
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            await asyncio.sleep(0.01)
        else:
            return
