"""Records that tests keep."""

from hashlib import sha256
from typing import Any

from gateway_async.stores.base import AuditEntry, Json, Store, StoredKey, StoredRoute

ENTRY = AuditEntry(action="test", target="", actor="tester")


def entry(action: str = "test", target: str = "", **more: Any) -> AuditEntry:
    """A line of the audit log."""
    return AuditEntry(action=action, target=target, actor="tester", **more)


def route(name: str, version: int = 1, *, revision: int = 0) -> StoredRoute:
    """A route."""
    document: Json = {"endpoint_type": "llm/v1/chat", "model": {"provider": "offline", "version": version}}
    return StoredRoute(name=name, document=document, sealed=b"\0sealed\xff" * version, revision=revision)


def digest(key: str) -> bytes:
    """A key's hash."""
    return sha256(key.encode()).digest()


def key(name: str, **more: Any) -> StoredKey:
    """A key whose secret is its name."""
    made: dict[str, Any] = {"routes": ("chat", "embed"), "expires": 2000.5, "role": "caller"}
    return StoredKey(name=name, digest=digest(name), hint=name[:4], created=1000.25, **made | more)


async def contents(store: Store) -> dict[str, Any]:
    """All that a store holds."""
    versions = await store.routes.versions()
    return {
        "revision": await store.revision(),
        "order": list(versions),
        "routes": sorted(await store.routes.read(list(versions)), key=lambda route: route.name),
        "limits": dict(await store.limits.all()),
        "keys": await store.keys.all(),
        "audit": await store.audit.read(limit=1_000_000),
    }
