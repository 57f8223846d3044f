"""What is settled before a server listens: its store, who gets in without a key, and the first key of an admin."""

import ipaddress
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from gateway_async.audit import COMMAND_LINE, change_entry
from gateway_async.config import GatewayConfig
from gateway_async.errors import AlreadyExists, ConfigError
from gateway_async.keys.changes import check_names, opens
from gateway_async.keys.key import digest_of, hint_of, is_ours, make_key
from gateway_async.keys.ring import ADMIN_KEY, KeyRing
from gateway_async.live.hosting import misplaced
from gateway_async.live.live_gateway import in_both
from gateway_async.live.vault import StoreVault
from gateway_async.stores import open_store
from gateway_async.stores.base import Store, StoredKey
from gateway_async.stores.places import beside, own_text
from gateway_server.middleware.auth import Unkeyed

FIRST_KEY = "admin"
"""The name of the first key, and of its file: `<store>-admin-key`."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What was settled."""

    unkeyed: Unkeyed
    """What becomes of calls without a key."""

    admin_key_file: Path | None
    """Where the first admin's key is; None where it is good no more, or there never was one."""

    stored_routes: int = 0
    """How many routes the store has."""

    wants_keys: bool = False
    """Calls without a key are refused."""


async def settle(
    config: GatewayConfig, store_address: str, host: str, *, welcome: bool, gives_way: bool = False
) -> Opening:
    """Make the store ready, and settle who gets in.

    Args:
        config: The configuration.
        store_address: The store's address.
        host: The address to listen on.
        welcome: Callers without a key are, the operator says on the command line.
        gives_way: A route of the configuration gives way to one of the store with its name.

    Raises:
        ConfigError: The name of a route or a key is in the configuration and in the store; or the host is not this
            machine alone, and there is no key, nor are callers without one welcome; or the store is none that can be
            used.
        Unavailable: The store can't be reached.
    """
    if wrong := [f"{key}: {problem}" for key, problem in misplaced(config)]:
        raise ConfigError("\n".join(wrong))
    ring = KeyRing()
    ring.configure(config.api_keys, os.environ.get(ADMIN_KEY))
    store = open_store(store_address)
    try:
        await store.open()
        await StoreVault(store_address).check(store)
        made, keys = await store.routes.versions(), await store.keys.all()
        now = time.time()
        if both := [route.name for route in config.routes if route.name in made and not gives_way]:
            raise ConfigError("\n".join(map(in_both, both)))
        check_names(config.api_keys, keys, now)
        good = [key for key in keys if opens(key, now)]
        unkeyed = Unkeyed.WELCOME if welcome else Unkeyed.LOCAL if is_loopback(host) else Unkeyed.REFUSED
        open_to_all = welcome or config.server.allow_unauthenticated
        if unkeyed is Unkeyed.REFUSED and not (ring.own or good or open_to_all):
            raise _needs_keys(host)
        has_admin = any(key.admin for key in ring.own) or any(key.role == "admin" for key in good)
        path = beside(store_address, f"-{FIRST_KEY}-key")
        taken = {key.name for key in ring.own}
        return Opening(
            unkeyed=unkeyed,
            admin_key_file=_file_of_one(good, path)
            if has_admin
            else await _make_first_key(store, path, taken),
            stored_routes=len(made),
            wants_keys=not open_to_all
            and (
                unkeyed is Unkeyed.REFUSED or bool(config.api_keys) or any(k.role == "caller" for k in keys)
            ),
        )
    finally:
        await store.aclose()


def _needs_keys(host: str) -> ConfigError:
    return ConfigError(
        f"{host!r} can be reached from other machines, and this gateway has no key yet: make one with "
        "`gateway keys create --name NAME`, or let in everybody with --allow-unauthenticated"
    )


def is_loopback(host: str) -> bool:
    """Whether who listens on this address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _make_first_key(store: Store, wanted: Path, taken: Collection[str]) -> Path:
    """Keep a first admin's key, under a name and in a file that nobody has used. The file's path."""
    for number in range(1, 1000):
        name, path = (
            (FIRST_KEY, wanted) if number == 1 else (f"{FIRST_KEY}-{number}", _numbered(wanted, number))
        )
        if name in taken:
            continue
        key = _in_file(path)
        if not is_ours(key.encode()):
            raise ConfigError(
                f"the file {path} is in the way: the first admin's key belongs there; move it away"
            )
        digest = digest_of(key.encode())
        try:
            entry = change_entry("key.create", name, COMMAND_LINE, f"the first admin's, in {path}")
            await store.keys.create(_admin(name, key), entry)
            return path
        except AlreadyExists:
            found = await store.keys.find(digest)
            if found is not None and found.name == name and opens(found, time.time()):
                return path  # another gateway that starts on the same store was faster
    raise ConfigError("there are a thousand first keys of admins, none of which is good any more")


def _file_of_one(keys: list[StoredKey], wanted: Path) -> Path | None:
    """The file that was made for one of these keys, if there is one."""
    digests = {key.digest for key in keys if key.role == "admin"}
    for path in (wanted, *wanted.parent.glob(f"{escape(wanted.name)}-*")):
        try:
            if digest_of(path.read_bytes().strip()) in digests:
                return path
        except OSError:
            pass
    return None


def _in_file(path: Path) -> str:
    """The key in a file, which nobody but its owner can read; made if it is not there.

    Raises:
        ConfigError: It can't be made or read.
    """
    try:
        return own_text(path, make_key)
    except (OSError, ValueError) as problem:
        said = getattr(problem, "strerror", None) or "it holds no text"
        raise ConfigError(
            f"the first admin's key can't be kept in {path}: {said}; set {ADMIN_KEY} instead"
        ) from None


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}-{number}")


def _admin(name: str, key: str) -> StoredKey:
    digest = digest_of(key.encode())
    return StoredKey(
        name=name, digest=digest, hint=hint_of(key), role="admin", routes=None, created=time.time()
    )
