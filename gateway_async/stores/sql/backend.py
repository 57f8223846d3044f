"""What differs between databases."""

from collections.abc import Mapping
from typing import Any, Protocol

from gateway_async.errors import GatewayError
from gateway_async.stores.sql.engine import Engine


class Backend(Protocol):
    """A kind of database at an address. Nothing is opened before an engine is used."""

    name: str
    """The address as a message may show it."""

    begin: str
    """The first statement of a transaction that writes."""

    begin_migration: str
    """The first statement of one that changes the tables: of these, there is one at a time."""

    reading: Mapping[str, Any]
    """SQLAlchemy's options for connections that only read: without a transaction around each query."""

    bound_to_loop: bool
    """Whether a connection can be closed only in the loop that opened it."""

    failures: tuple[type[Exception], ...]
    """What it raises, beside SQLAlchemy's errors, when it can't be reached."""

    def make(self) -> None:
        """Make the place where the database is, if it is absent and ours to make."""
        ...

    def engine(self, seconds: float) -> Engine:
        """A new engine; a statement takes no longer than so many seconds."""
        ...

    def explain(self, cause: BaseException, reason: str) -> GatewayError:
        """What went wrong, why, and the way out, for the operator."""
        ...
