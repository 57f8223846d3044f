"""One gateway for most tests of the server: a process started from the command line, with one worker."""

from collections.abc import Iterator

import httpx
import pytest

from tests.stores.servers import Postgres, postgres_server
from tests.support.configs import ADMIN, KEY, everything
from tests.support.server import Server, running
from tests.support.upstream import MockUpstream


@pytest.fixture(scope="session")
def server(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The gateway. When all is done, its log must hold no key and no error that nobody expected."""
    folder, env = tmp_path_factory.mktemp("server"), {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(folder, everything(shared_upstream.url), env=env) as server:
        yield server
    assert KEY not in server.log
    assert ADMIN not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


@pytest.fixture
def http(server: Server, upstream: MockUpstream) -> Iterator[httpx.Client]:
    """A client of the gateway that speaks plain HTTP; its upstream is as if it were new."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that gateways may keep their routes in; each gets a schema of its own."""
    with postgres_server() as server:
        yield server
