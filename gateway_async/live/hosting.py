"""A gateway with all that stands around it: its store, its counters, its secret, and the changes that they allow."""

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from gateway_async.config import GatewayConfig
from gateway_async.errors import ConfigError
from gateway_async.gateway import Gateway
from gateway_async.live.changes import Changes
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.live.stored_routes import StoredRoutes, Unsealed
from gateway_async.stores import open_counters, open_store
from gateway_async.stores.base import Counters
from gateway_async.stores.generation import Generation
from gateway_async.stores.memory import MemoryStore
from gateway_async.stores.places import NO_STORE, beside, state_dir

COUNTERS = "MLFLOW_GATEWAY_RATE_LIMITS_STORAGE_URI"
"""The documented variable that says where limits are counted; it comes before the configuration's `counters`."""

MEMORY = "memory://"
"""The counters' address that means the memory of this machine."""


def host(
    config: GatewayConfig,
    *,
    store: str | None,
    path: Path | None,
    trusted: bool = False,
    gives_way: bool = False,
    on_refusal: Callable[[str, str], None] | None = None,
) -> tuple[LiveGateway, Changes]:
    """A gateway that follows its store, and what changes it.

    Args:
        config: The configuration.
        store: The store's address; None: what is changed is kept in this process's memory, if it is `trusted`, and
            else nothing can be changed.
        path: The configuration's file, if there is one: processes that serve the same one share their counters.
        trusted: Changes come from the code of this process alone, which may do what the process can.
        gives_way: A route of the configuration gives way to one of the store.
        on_refusal: Told when a route made over the API would have reached what it may not.

    Raises:
        ConfigError: An address is none, an extra is missing, or a file beside the store can't be made.
    """
    gateway = Gateway(config, _counters(config, store, path))
    if store is None:
        kept = StoredRoutes(Unsealed(), lambda: None)
        alone = LiveGateway(gateway, config, MemoryStore(), read=kept.read)
        return alone, Changes(alone, kept, closed=None if trusted else NO_STORE)
    from gateway_async.live.vault import StoreVault  # cryptography, for those who have a store

    opened, vault = open_store(store), StoreVault(store)

    async def prepare() -> None:
        await opened.open()
        await vault.check(opened)

    routes = StoredRoutes(vault, lambda: live.config.upstream)
    live = LiveGateway(
        gateway,
        config,
        opened,
        read=routes.read,
        prepare=prepare,
        generation=generation_of(store),
        gives_way=gives_way,
        on_refusal=on_refusal,
    )
    return live, Changes(live, routes)


def generation_of(store: str) -> Generation:
    """The number by which the processes of this machine tell each other of changes in a store.

    Raises:
        ConfigError: Its file can't be made.
    """
    return Generation(beside(store, "-revision"))


def misplaced(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    """The settings that name places where nothing can be kept: the key of each, and what is wrong. Asks nobody."""
    places: list[tuple[str, Callable[[], object]]] = []
    if config.store is not None:
        places.append(("store", partial(open_store, config.store)))
    name, counters = _counters_address(config)
    if counters is not None and not counters.startswith(MEMORY):
        places.append((name, partial(open_counters, counters, None)))
    for key, opened in places:
        try:
            opened()
        except ConfigError as wrong:
            yield key, wrong.message


def _counters_address(config: GatewayConfig) -> tuple[str, str | None]:
    """Where limits are counted, and the name of what says so."""
    if given := os.environ.get(COUNTERS):
        return COUNTERS, given
    return "counters", config.counters


def _counters(config: GatewayConfig, store: str | None, path: Path | None) -> Callable[[], Counters]:
    """Opens what limits are counted in: as the variable or the configuration says, else the memory of this machine."""
    _, address = _counters_address(config)
    if address is not None and not address.startswith(MEMORY):
        elsewhere = open_counters(address, None)  # a wrong address is said now; it is asked when it is needed
        return lambda: elsewhere
    if store is not None:
        return partial(open_counters, None, beside(store, "-counters"))
    if path is None:
        return partial(open_counters, None, None)
    name = f"counters-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    return lambda: open_counters(None, state_dir() / name)
