"""Brings a store's tables to today's form."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from gateway_async.errors import ConfigError
from gateway_async.stores.sql.database import Database
from gateway_async.stores.sql.tables import HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory


async def upgrade(database: Database, to: str = HEAD) -> None:
    """Run the migrations that are missing, all or none. Of many who do so at once, one does.

    Args:
        database: Where the tables are.
        to: The last migration to run.

    Raises:
        ConfigError: A newer gateway made the tables.
        Unavailable: The database can't be reached, or can't be changed.
    """
    async with database.reading() as connection:
        if await connection.run_sync(version) == to:
            return
    async with database.migrating() as connection:
        await connection.run_sync(_run, to, database.name)


def version(connection: sa.Connection) -> str | None:
    """The last migration that ran; None if none did."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(
        sa.select(sa.column("version_num")).select_from(sa.table(VERSION_TABLE))
    )
    return found


def _run(connection: sa.Connection, to: str, name: str) -> None:
    # Not everybody who opens a store pays for the import.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    here = version(connection)
    if here == to:
        return
    if here is not None and here not in {script.revision for script in scripts.walk_revisions()}:
        raise ConfigError(
            f"the store {name} was made by a newer gateway: its tables are of version {here}, and this gateway knows "
            f"them up to {HEAD}; install the newer gateway, or name another store"
        )

    def missing(*_: Any) -> Any:
        return _steps(scripts, here, to)

    context = MigrationContext.configure(connection, opts={"fn": missing, "version_table": VERSION_TABLE})
    context.run_migrations(op=Operations(context))


def _steps(scripts: "ScriptDirectory", here: str | None, to: str) -> Iterable[Any]:
    from alembic.runtime.migration import MigrationStep

    newest_first = list(scripts.iterate_revisions(to, here or "base"))
    return [
        MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in reversed(newest_first)
    ]
