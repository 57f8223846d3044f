"""A store of each kind."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway_async.stores import open_store
from gateway_async.stores.base import Store
from gateway_async.stores.memory import MemoryStore
from tests.stores.servers import Postgres, postgres_server

DURABLE = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The one server that most tests share, each with a database of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def new_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The address of an empty store of a kind."""

    def new(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / 'gateway.db'}"
        server: Postgres = request.getfixturevalue("postgres")
        return server.new_database()

    return new


@pytest.fixture(params=DURABLE)
def address(request: pytest.FixtureRequest, new_address: Callable[[str], str]) -> str:
    """The address of an empty durable store, of each kind."""
    return new_address(request.param)


@pytest.fixture(params=("memory", *DURABLE))
async def store(request: pytest.FixtureRequest, new_address: Callable[[str], str]) -> AsyncIterator[Store]:
    """A store of each kind, open and empty."""
    opened: Store = MemoryStore() if request.param == "memory" else open_store(new_address(request.param))
    await opened.open()
    yield opened
    await opened.aclose()
