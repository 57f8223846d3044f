"""What is kept in this process, and gone with it."""

import heapq
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from operator import itemgetter

from gateway_async.errors import AlreadyExists, Conflict, NotFound, RouteNotFound
from gateway_async.stores.base import REFUSALS_KEPT, AuditEntry, Json, StoredKey, StoredRoute


class MemoryStore:
    """A `Store` that is not durable, for a gateway within a process that names no store.

    Args:
        refusals: How many refusals the audit log keeps.
    """

    def __init__(self, *, refusals: int = REFUSALS_KEPT) -> None:
        self._changes = _Changes(refusals)
        self._fingerprint: str | None = None
        self.limits = MemoryLimits(self._changes)
        self.routes = MemoryRoutes(self._changes, self.limits)
        self.keys = MemoryKeys(self._changes)
        self.audit = MemoryAudit(self._changes)

    async def open(self) -> None:
        """Nothing: it is always ready."""

    async def revision(self) -> int:
        """How many changes there were."""
        return self._changes.revision

    async def fingerprint(self, mine: str, *, instead_of: str | None = None) -> str:
        """What tells which secret is used; see `Store.fingerprint`."""
        if self._fingerprint in (None, instead_of):
            self._fingerprint = mine
        return self._fingerprint or mine

    async def aclose(self) -> None:
        """Nothing: what is kept stays, since the next call may want it."""


class _Changes:
    """The revision, and the log that goes with it."""

    def __init__(self, refusals: int) -> None:
        self.revision = 0
        self._lines = 0
        self._done: deque[tuple[int, AuditEntry]] = deque()
        self._refused: deque[tuple[int, AuditEntry]] = deque(maxlen=refusals)

    def add(self, entry: AuditEntry) -> int:
        self.log(entry)
        self.revision += 1
        return self.revision

    def log(self, entry: AuditEntry) -> None:
        self._lines += 1
        lines = self._refused if entry.outcome == "refused" else self._done
        lines.append((self._lines, replace(entry, at=entry.at or time.time())))

    def newest(self, limit: int) -> list[AuditEntry]:
        lines = heapq.merge(reversed(self._done), reversed(self._refused), key=itemgetter(0), reverse=True)
        return [entry for _, entry in islice(lines, limit)]


class MemoryRoutes:
    """A `RouteStore`."""

    def __init__(self, changes: _Changes, limits: "MemoryLimits") -> None:
        self._changes = changes
        self._limits = limits
        self._routes: dict[str, StoredRoute] = {}

    async def versions(self) -> Mapping[str, int]:
        """The revision of every route; see `RouteStore.versions`."""
        return {name: route.revision for name, route in self._routes.items()}

    async def read(self, names: Collection[str]) -> list[StoredRoute]:
        """The routes of these names; see `RouteStore.read`."""
        return [self._routes[name] for name in names if name in self._routes]

    async def create(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Keep a new route; see `RouteStore.create`."""
        if route.name in self._routes:
            raise AlreadyExists(f"there is a route {route.name!r}")
        self._limits.forget(route.name)
        return self._keep(route, entry)

    async def replace(self, route: StoredRoute, entry: AuditEntry) -> int:
        """Put a route in the place of one; see `RouteStore.replace`."""
        if self._named(route.name).revision != route.revision:
            raise Conflict(f"the route {route.name!r} was changed meanwhile: read it again")
        return self._keep(route, entry)

    async def delete(self, name: str, entry: AuditEntry) -> None:
        """Delete a route and its limits; see `RouteStore.delete`."""
        self._named(name)
        self._changes.add(entry)
        del self._routes[name]
        self._limits.forget(name)

    def _named(self, name: str) -> StoredRoute:
        if name not in self._routes:
            raise RouteNotFound(f"there is no route {name!r}")
        return self._routes[name]

    def _keep(self, route: StoredRoute, entry: AuditEntry) -> int:
        revision = self._changes.add(entry)
        self._routes[route.name] = replace(route, revision=revision)
        return revision


class MemoryLimits:
    """A `LimitStore`."""

    def __init__(self, changes: _Changes) -> None:
        self._changes = changes
        self._limits: dict[str, list[Json]] = {}

    async def all(self) -> Mapping[str, list[Json]]:
        """The limits that were set; see `LimitStore.all`."""
        return dict(self._limits)

    async def replace(self, route: str, limits: list[Json] | None, entry: AuditEntry) -> None:
        """Keep these limits for a route, or forget them; see `LimitStore.replace`."""
        self._changes.add(entry)
        if limits is None:
            self.forget(route)
        else:
            self._limits[route] = limits

    def forget(self, route: str) -> None:
        """Forget what was set for a route, as part of another change."""
        self._limits.pop(route, None)


class MemoryKeys:
    """A `KeyStore`."""

    def __init__(self, changes: _Changes) -> None:
        self._changes = changes
        self._keys: dict[str, StoredKey] = {}

    async def find(self, digest: bytes) -> StoredKey | None:
        """The key of this hash; see `KeyStore.find`."""
        keys = self._keys.values()
        current = next((key for key in keys if key.digest == digest), None)
        return current or next((key for key in keys if key.old_digest == digest), None)

    async def all(self) -> list[StoredKey]:
        """Every key; see `KeyStore.all`."""
        return sorted(self._keys.values(), key=lambda key: key.name)

    async def create(self, key: StoredKey, entry: AuditEntry) -> None:
        """Keep a new key; see `KeyStore.create`."""
        self._untaken(key.digest)
        if key.name in self._keys:
            raise AlreadyExists(f"there is a key {key.name!r}")
        self._keep(key, entry)

    async def revoke(self, name: str, at: float, entry: AuditEntry) -> None:
        """Revoke a key; see `KeyStore.revoke`."""
        key = self._named(name)
        self._keep(replace(key, revoked=key.revoked or at), entry)

    async def rotate(
        self, name: str, *, digest: bytes, hint: str, old_until: float, entry: AuditEntry
    ) -> None:
        """Replace a key by a new one; see `KeyStore.rotate`."""
        key = self._named(name)
        if key.revoked is not None:
            raise Conflict(f"the key {name!r} is revoked: create another one")
        self._untaken(digest)
        self._keep(replace(key, digest=digest, hint=hint, old_digest=key.digest, old_until=old_until), entry)

    def _named(self, name: str) -> StoredKey:
        if name not in self._keys:
            raise NotFound(f"there is no key {name!r}")
        return self._keys[name]

    def _untaken(self, digest: bytes) -> None:
        if taken := next((key.name for key in self._keys.values() if key.digest == digest), None):
            raise AlreadyExists(f"the same key is there as {taken!r}")

    def _keep(self, key: StoredKey, entry: AuditEntry) -> None:
        self._changes.add(entry)
        self._keys[key.name] = key


class MemoryAudit:
    """An `AuditLog`."""

    def __init__(self, changes: _Changes) -> None:
        self._changes = changes

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines; see `AuditLog.record`."""
        for entry in entries:
            self._changes.log(entry)

    async def read(self, *, limit: int = 100) -> list[AuditEntry]:
        """The newest lines; see `AuditLog.read`."""
        return self._changes.newest(limit)
