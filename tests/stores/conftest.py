"""A store of each kind."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from gateway_async.stores.memory import MemoryStore
from tests.stores.servers import Postgres, postgres_server

DURABLE = ("sqlite", "postgres")

NewAddress = Callable[[str], str]
"""Gives the address of an empty store of a kind."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The one server that most tests share, each with a schema of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def new_address(request: pytest.FixtureRequest, tmp_path: Path) -> NewAddress:
    """Gives the address of an empty store of a kind, another one each time."""
    numbers = count(1)

    def new(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / f'gateway-{next(numbers)}.db'}"
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_address()

    return new


@pytest.fixture(params=DURABLE)
def address(request: pytest.FixtureRequest, new_address: NewAddress) -> str:
    """The address of an empty durable store, of each kind."""
    return new_address(request.param)


@pytest.fixture(params=("memory", *DURABLE))
async def store(request: pytest.FixtureRequest, new_address: NewAddress) -> AsyncIterator[Store]:
    """A store of each kind, open and empty."""
    opened: Store = MemoryStore() if request.param == "memory" else open_store(new_address(request.param))
    await opened.open()
    yield opened
    await opened.aclose()
