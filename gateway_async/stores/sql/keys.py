"""Keys in the database."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from gateway_async.errors import AlreadyExists, Conflict, NotFound
from gateway_async.stores.base import AuditEntry, StoredKey
from gateway_async.stores.sql.changes import Change, change
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.tables import keys


class SqlKeys:
    """A `KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digest: bytes) -> StoredKey | None:
        """The key of this hash; see `KeyStore.find`."""
        rows = await self._database.fetch(
            sa.select(keys).where(sa.or_(keys.c.digest == digest, keys.c.old_digest == digest))
        )
        # A key that was replaced and made again elsewhere is what it is now.
        return next((_key(row) for row in sorted(rows, key=lambda row: row.digest != digest)), None)

    async def all(self) -> list[StoredKey]:
        """Every key; see `KeyStore.all`."""
        rows = await self._database.fetch(sa.select(keys))
        return sorted(map(_key, rows), key=lambda key: key.name)

    async def create(self, key: StoredKey, entry: AuditEntry) -> None:
        """Keep a new key; see `KeyStore.create`."""
        async with change(self._database, entry) as made:
            await _untaken(made, key.digest)
            if await _found(made, key.name) is not None:
                raise AlreadyExists(f"there is a key {key.name!r}")
            await made.run(keys.insert().values(asdict(key)))

    async def revoke(self, name: str, at: float, entry: AuditEntry) -> None:
        """Revoke a key; see `KeyStore.revoke`."""
        async with change(self._database, entry) as made:
            await _named(made, name)
            await made.run(
                keys.update().where(keys.c.name == name, keys.c.revoked.is_(None)).values(revoked=at)
            )

    async def rotate(
        self, name: str, *, digest: bytes, hint: str, old_until: float, entry: AuditEntry
    ) -> None:
        """Replace a key by a new one; see `KeyStore.rotate`."""
        async with change(self._database, entry) as made:
            found = await _named(made, name)
            if found.revoked is not None:
                raise Conflict(f"the key {name!r} is revoked: create another one")
            await _untaken(made, digest)
            await made.run(
                keys.update()
                .where(keys.c.name == name)
                .values(digest=digest, hint=hint, old_digest=found.digest, old_until=old_until)
            )


async def _found(made: Change, name: str) -> StoredKey | None:
    row = await made.row(sa.select(keys).where(keys.c.name == name))
    return _key(row) if row else None


async def _named(made: Change, name: str) -> StoredKey:
    if (found := await _found(made, name)) is None:
        raise NotFound(f"there is no key {name!r}")
    return found


async def _untaken(made: Change, digest: bytes) -> None:
    if row := await made.row(sa.select(keys.c.name).where(keys.c.digest == digest)):
        raise AlreadyExists(f"the same key is there as {row.name!r}")


def _key(row: sa.Row[Any]) -> StoredKey:
    values = row._asdict()
    routes = values["routes"]
    return StoredKey(**values | {"routes": None if routes is None else tuple(routes)})
