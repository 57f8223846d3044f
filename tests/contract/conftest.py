"""One gateway that runs in a process of its own, the clients that reach it, and an environment that sets nothing."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from gateway_async import AsyncGatewayClient, address
from gateway_async.errors import RouteNotFound
from gateway_sync import GatewayClient
from tests.contract.fake import FakeGateway, fake_gateway
from tests.contract.ways import Awaited, blocking_client
from tests.support.configs import ADMIN
from tests.support.server import Server, running

ROUTES = 3005
"""More than a page holds."""

_OFFLINE = {"provider": "offline", "name": "echo"}

CONFIG: dict[str, Any] = {
    "endpoints": [
        {
            "name": "chat",
            "endpoint_type": "llm/v1/chat",
            "model": _OFFLINE,
            "limit": {"calls": 1000, "renewal_period": "minute", "key": "user"},
        },
        {"name": "completions", "endpoint_type": "llm/v1/completions", "model": _OFFLINE},
        {"name": "embeddings", "endpoint_type": "llm/v1/embeddings", "model": _OFFLINE},
        *(
            {"name": f"more-{number:04}", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}}
            for number in range(3, ROUTES)
        ),
    ]
}

_SET_BY_USERS = ("MLFLOW_", "GATEWAY_", "DATABRICKS_", "OPENAI_", "ANTHROPIC_")


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address, key or proxy of this machine's user takes part."""
    for name in os.environ:
        if name.startswith(_SET_BY_USERS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(address, "_address", None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The gateway's server, started from the command line; its admin's key is `ADMIN`."""
    env = {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path_factory.mktemp("contract"), CONFIG, env=env) as server:
        yield server


@pytest.fixture(scope="session")
def local() -> AsyncGatewayClient:
    """The engine in this process. It holds no connections, so that all tests may share it."""
    return AsyncGatewayClient.local(CONFIG)


@pytest.fixture(scope="session")
def local_blocking() -> Iterator[Awaited]:
    """The same, blocking."""
    with GatewayClient.local(CONFIG) as client:
        yield Awaited(client)


WAYS = ("async", "blocking", "local", "local_blocking")


@pytest.fixture(params=WAYS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client of each kind, all called alike."""
    async with _made(request) as made:
        yield made


@pytest.fixture(params=WAYS)
async def admin(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A client of each kind that may change things: over HTTP it has an admin's key."""
    async with _made(request, api_key=ADMIN, max_retries=0) as made:
        yield made


def _made(request: pytest.FixtureRequest, **settings: Any) -> Any:
    if request.param.startswith("local"):
        return request.getfixturevalue(request.param)
    make: Any = AsyncGatewayClient if request.param == "async" else blocking_client
    return make(request.getfixturevalue("server").url, **settings)


Connect = Callable[..., Any]
"""Makes a client; what it is given is what `AsyncGatewayClient` takes."""


@pytest.fixture(params=["async", "blocking"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients that go over HTTP; they are closed at the end."""
    made: list[Any] = []

    def connect(*args: Any, **settings: Any) -> Any:
        made.append((AsyncGatewayClient if request.param == "async" else blocking_client)(*args, **settings))
        return made[-1]

    yield connect
    for client in made:
        await client.aclose()


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A gateway that answers what the test says."""
    with fake_gateway() as fake:
        yield fake


@pytest.fixture
async def name(admin: Any) -> AsyncIterator[str]:
    """A name that no route has; the route that gets it is deleted at the end."""
    name = f"made-{uuid4().hex[:8]}"
    yield name
    try:
        await admin.delete_route(name)
    except RouteNotFound:
        pass
