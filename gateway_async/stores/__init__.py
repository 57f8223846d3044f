"""What a gateway keeps beside its file: routes, limits, keys and the audit log made at run time; and counters.

One protocol for each kind of state in `base`; backends pass the same tests.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from gateway_async.errors import ConfigError

if TYPE_CHECKING:
    from gateway_async.stores.base import Counters, Store

STORES = {"sqlite": "sql", "postgresql": "postgres", "postgres": "postgres"}
"""What a store's address begins with → the extra that it needs."""


def open_store(address: str) -> "Store":
    """The durable store at an address. Nothing is opened yet.

    Args:
        address: `sqlite:///` and the path of a file, or `postgresql://user:password@host:port/database`.

    Raises:
        ConfigError: The address is of another kind, or what it needs is not installed.
    """
    scheme = address.partition("://")[0].lower()
    extra = STORES.get(scheme)
    if extra is None:
        raise ConfigError(
            f"a store can't be kept at an address that begins with {scheme[:20]!r}; write 'sqlite:///gateway.db' for a "
            "file, or 'postgresql://user:password@host:5432/database'"
        )
    try:
        from gateway_async.stores.sql.store import SqlStore

        if extra == "sql":
            from gateway_async.stores.sql.sqlite import SQLite

            return SqlStore(SQLite(address))
        from gateway_async.stores.sql.postgres import Postgres

        return SqlStore(Postgres(address))
    except ModuleNotFoundError as absent:
        raise ConfigError(f"the store needs {absent.name}: pip install 'ai-gateway-sdk[{extra}]'") from None


_REDIS = ("redis", "rediss", "redis+unix", "valkey", "valkeys", "valkey+unix")


def open_counters(address: str | None, path: Path | None) -> "Counters":
    """What counts calls and tokens for all who share it.

    Args:
        address: None or `memory://`: all processes of this machine that name the same path.
        path: The file through which they share; None: this process counts for itself.

    Raises:
        ConfigError: The address is of another kind, or what it needs is not installed, or the file can't be made.
    """
    scheme = (address or "memory://").partition("://")[0].lower()
    if scheme == "memory":
        from gateway_async.stores.shared_memory import SharedMemoryCounters

        return SharedMemoryCounters(path)
    if address and scheme in _REDIS:
        try:
            from gateway_async.stores.redis import RedisCounters
        except ImportError as absent:
            raise ConfigError(
                f"counters in Redis need the package {absent.name}; install it with: pip install 'ai-gateway-sdk[redis]'"
            ) from None
        return RedisCounters(address)
    raise ConfigError(
        f"counters can't be kept at an address that begins with {scheme[:20]!r}; write 'memory://' for this machine, or "
        "'redis://host:6379/0' for several ('rediss://', 'redis+unix://', 'valkey://', 'valkeys://', 'valkey+unix://')"
    )
