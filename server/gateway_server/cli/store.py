"""What commands share that work on the store itself, whether a gateway runs or not."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway_async.config import GatewayConfig
from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError
from gateway_async.live.hosting import generation_of
from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from gateway_async.stores.places import default_store, store_address
from gateway_server.cli.console import fail

T = TypeVar("T")

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="GATEWAY_STORE",
        help="The store: sqlite:///file.db or postgresql://…; as of `start`.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config-path",
        envvar="MLFLOW_GATEWAY_CONFIG",
        help="The gateway's configuration file, for its `store:`.",
    ),
]


def loaded(path: Path | None) -> GatewayConfig | None:
    """The configuration, where one is named."""
    return None if path is None else _or_fail(lambda: load_config(path))


def address_of(store: str | None, config: GatewayConfig | None) -> str:
    """The store's address: as `gateway start` finds it."""
    named = store_address(store, None if config is None else config.store)
    return named or _or_fail(default_store)


def with_store(address: str, use: Callable[[Store], Awaitable[T]]) -> T:
    """What comes of using a store, which is opened and closed for it."""

    async def run() -> T:
        store = open_store(address)
        try:
            await store.open()
            return await use(store)
        finally:
            await store.aclose()

    return _or_fail(lambda: asyncio.run(run()))


def tell_others(address: str) -> None:
    """Tell the gateways of this machine of a change in a store."""
    generation = generation_of(address)
    generation.bump()
    generation.close()


def _or_fail(do: Callable[[], T]) -> T:
    try:
        return do()
    except GatewayError as problem:
        fail(problem.message)
