"""PostgreSQL."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from gateway_async.errors import ConfigError, GatewayError, Unavailable
from gateway_async.stores.places import shown
from gateway_async.stores.sql.engine import Engine

CONNECTIONS = 4
"""Most connections of a process."""

CONNECT_SECONDS = 3.0
"""How long it may take to connect."""

MIGRATION_LOCK = 0x6761746577617973
"""The number of the lock that migrations wait for: any, but always the same."""


class Postgres:
    """A `Backend`.

    Args:
        address: `postgresql://user:password@host:port/database`, and what else libpq's addresses hold.
    """

    # A gateway whose machine dies in the middle must not hold up the others until TCP notices.
    begin = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
    begin_migration = f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
    reading: Mapping[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    bound_to_loop = True
    failures: tuple[type[Exception], ...] = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

    def __init__(self, address: str) -> None:
        self._address = address
        self.name = shown(address)

    def make(self) -> None:
        """Nothing: a database is made by who runs the server."""

    def engine(self, seconds: float) -> Engine:
        """A new engine; see `Backend.engine`."""

        async def connect(*_: Any) -> Any:
            try:
                return await asyncpg.connect(self._address, timeout=CONNECT_SECONDS, command_timeout=seconds)
            except (ValueError, OverflowError):  # whose words may hold a piece of the password
                raise ConfigError(
                    f"the address of the store {self.name} can't be understood: write "
                    "postgresql://user:password@host:5432/database, and %40 for @, %2F for / in the password"
                ) from None

        return Engine(
            "postgresql+asyncpg://",
            connect,
            # Who waited for the change of another must see it, whatever the server is set to.
            isolation_level="READ COMMITTED",
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=seconds,
            hide_parameters=True,
        )

    def explain(self, cause: BaseException, reason: str) -> GatewayError:
        """What went wrong; see `Backend.explain`."""
        return Unavailable(
            f"the store {self.name} can't be used: {reason}; see that the server runs, and that its address is right"
        )
