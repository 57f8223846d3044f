"""Both event loops, and an eye on what leaks or fails behind a test's back."""

import asyncio
import gc
import importlib.util
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import trustme

from gateway_async import http1
from tests.faults.chaos import Chaos, Script, chaos

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Both loops for the client; the engine on uvloop, as in the server, where that is installed; else asyncio's own."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop") and item.path.stem in ("test_http1", "test_engine"):
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
        if item.path.stem == "test_engine":
            del factories["asyncio"]
    return factories


@pytest.fixture(autouse=True)
async def quiet() -> AsyncIterator[None]:
    """Nothing goes wrong where no test looks: in callbacks of the loop, in futures that nobody asks."""
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    yield
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert not problems


@pytest.fixture(autouse=True, scope="module")
def tidy() -> Iterator[None]:
    """A socket that was left open is noticed here at the latest."""
    yield
    gc.collect()


@pytest.fixture
async def pool() -> AsyncIterator[http1.Pool]:
    """The client; at the end it must have forgotten every connection."""
    pool = http1.Pool(2**20)
    yield pool
    pool.close()
    await asyncio.sleep(0)
    assert not pool._busy
    assert not any(pool._idle.values())


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Any]]:
    """Starts a chaos upstream that lives as long as the test: `await upstream(script)`."""
    started = []

    async def start(script: Script, **settings: Any) -> Chaos:
        manager = chaos(script, **settings)
        started.append(manager)
        return await manager.__aenter__()

    yield start
    for manager in reversed(started):
        await manager.__aexit__(None, None, None)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks the system for its authorities gets that one."""
    file = tmp_path_factory.getbasetemp() / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    # aiohttp asks when it is imported.
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context())


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """Makes a server's context with a certificate for these names."""

    def context(*names: str, by: trustme.CA = authority, **settings: Any) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(*names, **settings).configure_cert(made)
        made.set_alpn_protocols(["http/1.1"])
        return made

    return context
