"""What is kept, and the protocols of those who keep it.

`Store` is durable: when a method that changes something returns, the change is there after a crash, whole, with its
line in the audit log. `Counters` are not: they may forget, but never count wrong.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

Json = dict[str, Any]

REFUSALS_KEPT = 100_000
"""Refusals in the audit log. Whoever is refused makes it grow; changes stay for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A line of the audit log: who changed what, or was refused. It holds no key."""

    action: str
    """What was wanted: `route.create`, `limits.set`, `key.revoke`, `call` …"""

    target: str
    """The name of the route or the key; empty where there is none."""

    actor: str
    """The name of the key that it came with, or `command line`, `in-process`, `nobody`."""

    address: str | None = None
    """The network address that it came from."""

    request_id: str | None = None
    outcome: Literal["done", "refused"] = "done"
    detail: str = ""
    """What changed, or why it was refused, in a sentence."""

    count: int = 1
    """How often the same was refused within a moment."""

    at: float = 0.0
    """When, in seconds since 1970; 0: now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRoute:
    """A route that was made at run time."""

    name: str
    document: Json
    """The endpoint in the form of the file, without its name and without the provider's settings."""

    sealed: bytes
    """The provider's settings, keys among them, encrypted."""

    revision: int = 0
    """The store's revision that made it what it is; given by the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key that lets callers in. Of the key itself, only its hash is kept."""

    name: str
    digest: bytes
    """SHA-256 of the key."""

    hint: str
    """The beginning of the key, by which its owner recognises it."""

    role: Literal["caller", "admin"]
    routes: tuple[str, ...] | None
    """The routes that it may call; None: all."""

    created: float
    """In seconds since 1970, as the other times."""

    expires: float | None = None
    revoked: float | None = None
    """When it was revoked; the name stays taken, and the log of what it did keeps its meaning."""

    old_digest: bytes | None = None
    """The key that this one replaced, which is good until `old_until`."""

    old_until: float | None = None


class RouteStore(Protocol):
    """Routes made at run time."""

    async def versions(self) -> Mapping[str, int]:
        """The revision of every route, by name, in the order in which they were made."""
        ...

    async def read(self, names: Collection[str]) -> list[StoredRoute]:
        """The routes of these names, those that are there."""
        ...

    async def create(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Keep a new route. The revision that it got. Limits set for another that had its name are forgotten.

        Raises:
            AlreadyExists: There is one of that name.
        """
        ...

    async def replace(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Put a route in the place of the one with the same name and revision. The revision that it got.

        Raises:
            Conflict: Somebody else changed it meanwhile: it has another revision.
            RouteNotFound: There is none of that name.
        """
        ...

    async def delete(self, name: str, entry: AuditEntry) -> None:
        """Delete a route, and the limits that were set for it.

        Raises:
            RouteNotFound: There is none of that name.
        """
        ...


class LimitStore(Protocol):
    """Limits set at run time, for routes of the file and of the store alike."""

    async def all(self) -> Mapping[str, list[Json]]:
        """The limits that were set, each in the form of `Limit`, by the route's name."""
        ...

    async def replace(self, route: str, limits: list[Json] | None, entry: AuditEntry) -> None:
        """Keep these limits for a route, an empty list too; None forgets what was set."""
        ...


class KeyStore(Protocol):
    """Keys that let callers in."""

    async def find(self, digest: bytes) -> StoredKey | None:
        """The key whose hash, or whose replaced key's hash, this is; revoked and expired ones too."""
        ...

    async def all(self) -> list[StoredKey]:
        """Every key, revoked and expired ones too, by name."""
        ...

    async def create(self, key: StoredKey, entry: AuditEntry) -> None:
        """Keep a new key.

        Raises:
            AlreadyExists: There is one of that name, or the same key under another.
        """
        ...

    async def revoke(self, name: str, at: float, entry: AuditEntry) -> None:
        """Revoke a key, and the one that it replaced. One that is revoked already stays as it is.

        Raises:
            NotFound: There is none of that name.
        """
        ...

    async def rotate(
        self, name: str, *, digest: bytes, hint: str, old_until: float, entry: AuditEntry
    ) -> None:
        """Replace a key by a new one; the old one is good until `old_until`.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is revoked, or the new key is somebody else's.
        """
        ...


class AuditLog(Protocol):
    """Who changed what, and who was refused. Changes write their own lines."""

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines. Of refusals a bounded number is kept, the newest."""
        ...

    async def read(self, *, limit: int = 100) -> list[AuditEntry]:
        """The newest lines, the newest first."""
        ...


class Store(Protocol):
    """All that is durable. Every method raises `Unavailable` when the store can't be reached, within seconds."""

    @property
    def routes(self) -> RouteStore:
        """Routes."""
        ...

    @property
    def limits(self) -> LimitStore:
        """Limits."""
        ...

    @property
    def keys(self) -> KeyStore:
        """Keys."""
        ...

    @property
    def audit(self) -> AuditLog:
        """The audit log."""
        ...

    async def open(self) -> None:
        """Make the store ready, bringing its tables to today's form. May be called again, and by many at once."""
        ...

    async def revision(self) -> int:
        """A number that is greater after every change of routes, limits or keys."""
        ...

    async def fingerprint(self, mine: str, *, instead_of: str | None = None) -> str:
        """What tells which secret the routes are encrypted with: `mine`, if nobody said before, or said `instead_of`."""
        ...

    async def aclose(self) -> None:
        """Let go of connections. The next call opens them again."""
        ...


class Window(NamedTuple):
    """A limit to be counted: at most `most` units of `key` within any `seconds`."""

    key: str
    most: int
    seconds: int


class Level(NamedTuple):
    """How far a window is filled."""

    window: Window
    remaining: int
    """Units that may still pass."""

    reset: float
    """Seconds until more may pass than `remaining`."""

    refused: bool = False
    """This is why nothing was taken."""


class CountersUnavailable(Exception):
    """The counters do not answer, or have no room: nothing was counted.

    Attributes:
        logged: The counters have said so in the log already, and will say when they answer again.
    """

    def __init__(self, message: str, *, logged: bool = False) -> None:
        super().__init__(message)
        self.logged = logged


class Counters(Protocol):
    """Counts what passed, for all workers that share them. A limit of N lets N pass, whoever asks."""

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level]:
        """Take one unit from each of `calls`, if each has one left and each of `tokens` too; else from none.

        Returns:
            The level of each window, `calls` first; one of them is `refused` if nothing was taken.

        Raises:
            CountersUnavailable: Nobody knows; never later than after 50 ms.
        """
        ...

    async def add(self, windows: Sequence[Window], amount: int) -> None:
        """Count units that were used, though they may be more than were left.

        Raises:
            CountersUnavailable: They were not counted.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what is held. The next call takes hold again."""
        ...


@runtime_checkable
class AtHand(Protocol):
    """Counters that mostly need no waiting."""

    def take_now(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level] | None:
        """Take units as `Counters.take` does, unless that means waiting; None: nothing was taken, since it does.

        Raises:
            CountersUnavailable: Nobody knows.
        """
        ...

    def add_now(self, windows: Sequence[Window], amount: int) -> bool:
        """Count units as `Counters.add` does, unless that means waiting. Whether they were counted.

        Raises:
            CountersUnavailable: They can't be counted.
        """
        ...
