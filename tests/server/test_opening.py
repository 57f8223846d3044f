"""A gateway that opens what it needs: it does without what it does not, and tries again what failed."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.call import Caller
from gateway_async.errors import ConfigError, NotSupported, Unavailable
from gateway_async.live.vault import Vault
from gateway_async.stores.base import AuditEntry, StoredRoute
from gateway_server import GatewayApp, create_app, lifespan
from gateway_server.reload import watch
from tests.support.configs import Json, offline

DAMAGED = b"no database at all" * 100
CONFIG: Json = {"endpoints": [offline("chat", "chat")]}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A store's file that is none."""
    file = tmp_path / "gateway.db"
    file.write_bytes(DAMAGED)
    return file


async def routes(app: GatewayApp) -> int:
    """The status of a listing."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as http:
        return (await http.get("/api/2.0/gateway/routes/")).status_code


async def test_an_app_tries_again_though_nobody_waited_for_the_first_time(damaged: Path) -> None:
    """A caller who left meanwhile leaves no app behind that takes itself for open."""
    app = create_app(CONFIG, store=f"sqlite:///{damaged}")
    leaves = asyncio.create_task(app.open())
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.wait([leaves])
    with pytest.raises(ConfigError, match="no SQLite database"):
        await app.open()

    damaged.unlink()  # noqa: ASYNC240 - a moment

    assert await routes(app) == 200
    await app.aclose()


async def test_who_could_not_read_a_change_does_not_say_that_there_is_no_such_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 for a name that it does not know: another process may have made it, and been answered."""
    store = f"sqlite:///{tmp_path / 'gateway.db'}"
    maker, other = create_app(CONFIG, store=store), create_app(CONFIG, store=store)
    await maker.open()
    await other.open()

    async def away() -> int:
        raise Unavailable("the store is away")

    async def asked() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(other), base_url="http://gateway") as http:
            return (await http.get("/api/2.0/gateway/routes/new")).status_code

    assert await asked() == 404
    with monkeypatch.context() as patch:
        patch.setattr(other.live.store, "revision", away)
        await maker.changes.create_route({"name": "new", **offline("new", "chat")}, Caller(admin=True))
        assert await asked() == 503

    while await asked() == 503:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.05)
    assert await asked() == 200
    await maker.aclose()
    await other.aclose()


async def test_a_gateway_in_this_process_tries_again(damaged: Path) -> None:
    """What was wrong with the store is asked anew at the next call."""
    async with AsyncGatewayClient.local({**CONFIG, "store": f"sqlite:///{damaged}"}) as client:
        with pytest.raises(ConfigError, match="no SQLite database"):
            await client.get_route("chat")
        damaged.unlink()  # noqa: ASYNC240 - a moment
        assert (await client.get_route("chat")).name == "chat"


def test_a_gateway_in_two_loops_by_turns_follows_its_store_once(tmp_path: Path) -> None:
    """It follows it in the loop of the last call, and in none when it is closed."""
    client = AsyncGatewayClient.local({**CONFIG, "store": f"sqlite:///{tmp_path / 'gateway.db'}"})
    with asyncio.Runner() as one, asyncio.Runner() as two:
        for runner in (one, two) * 3:
            runner.run(client.get_route("chat"))
        assert [runner.run(others()) for runner in (one, two)] == [0, 1]
        two.run(client.aclose())
        assert two.run(others()) == 0


async def others() -> int:
    """The tasks of the running loop, once those that were told to end have ended."""
    for _ in range(10):
        await asyncio.sleep(0)
    return len(asyncio.all_tasks()) - 1


async def test_apps_that_opened_are_closed_when_one_beside_them_does_not(
    damaged: Path, tmp_path: Path
) -> None:
    """The host does not start, and nothing goes on in it."""
    good = create_app(CONFIG, store=f"sqlite:///{tmp_path / 'good.db'}")
    wrong = create_app(CONFIG, store=f"sqlite:///{damaged}")

    with pytest.raises(ConfigError):
        async with lifespan(good, wrong)(None):
            pass

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_a_store_suffers_from_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when it is something else, such as the wrong secret of a store that was away at first."""
    app = create_app(CONFIG, store=f"sqlite:///{tmp_path / 'gateway.db'}")
    problems: list[Exception] = [
        Unavailable("away"),
        Unavailable("away"),
        *[ConfigError("another secret")] * 3,
    ]

    async def revision() -> int:
        if problems:
            raise problems.pop(0)
        return 0

    monkeypatch.setattr(app.live.store, "revision", revision)
    with caplog.at_level(logging.INFO, "gateway_async"):
        await app.open()
        while app.live.revision:
            await app.live.changed()
    await app.aclose()

    said = [record.getMessage().partition(";")[0] for record in caplog.records]
    assert said == ["away", "another secret", "the store answers again"]


async def test_a_name_that_another_gateway_takes_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The file's route goes on, and the log is not filled by the changes that come after."""
    store = f"sqlite:///{tmp_path / 'gateway.db'}"
    app, other = create_app(CONFIG, store=store), create_app({"endpoints": []}, store=store)
    for each in (app, other):
        await each.open()
    made = {"route_type": "llm/v1/chat", "model": {"provider": "offline", "name": "other"}}
    for name in ("chat", "second", "third"):
        await other.changes.create_route({**made, "name": name}, Caller(admin=True))
        await app.live.catch_up()

    assert app.live.find("third").route.model.name == "other"
    assert app.live.find("chat").route.model.name != "other"
    assert caplog.text.count("the route 'chat' is in the configuration and in the store") == 1
    for each in (app, other):
        await each.aclose()


async def test_a_worker_begins_whatever_became_of_the_store(damaged: Path, tmp_path: Path) -> None:
    """The others serve, and would end with it: it serves the file's routes, and asks again."""
    store = f"sqlite:///{tmp_path / 'other.db'}"
    other = create_app({"endpoints": []}, store=store)
    await other.open()
    made = {"name": "chat", "route_type": "llm/v1/chat", "model": {"provider": "offline", "name": "other"}}
    await other.changes.create_route(made, Caller(admin=True))
    await other.aclose()

    for address in (store, f"sqlite:///{damaged}"):
        worker = create_app(CONFIG, store=address)
        worker.live.lenient = True
        await worker.open()
        assert worker.live.find("chat").route.model.name != "other"
        await worker.aclose()


async def test_a_route_that_can_not_be_read_costs_no_other(tmp_path: Path) -> None:
    """Such as one whose row somebody changed by hand; a call of it says so."""
    app = create_app(CONFIG, store=f"sqlite:///{tmp_path / 'gateway.db'}")
    await app.open()
    entry = AuditEntry(action="route.create", target="odd", actor="somebody")
    sealed = Vault([(tmp_path / "gateway.db-secret").read_text()]).seal({})
    await app.live.store.routes.create(StoredRoute(name="odd", document={}, sealed=sealed), entry)

    made = {"name": "made", "route_type": "llm/v1/chat", "model": {"provider": "offline", "name": "echo"}}
    await app.changes.create_route(made, Caller(admin=True))

    assert app.live.find("made").route.name == "made"
    with pytest.raises(NotSupported, match="'odd' can't be served: it is no route any more"):
        app.live.find("odd")
    await app.aclose()


async def test_a_changed_file_waits_for_a_store_that_is_away(tmp_path: Path) -> None:
    """What could not be taken up without the store is taken up when it is back, not forgotten."""
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(CONFIG))
    given: list[Any] = []
    taken = asyncio.Event()

    async def apply(config: Any) -> None:
        given.append(config)
        if len(given) == 1:
            raise Unavailable("away")
        taken.set()

    watching = asyncio.create_task(watch(file, b"", apply))
    await asyncio.wait_for(taken.wait(), 30)
    watching.cancel()
    await asyncio.wait([watching])

    assert len(given) == 2


def test_a_gateway_without_limits_needs_no_place_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with limits, and without a place for what the workers share, serves its other routes."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file" / "state"))
    (tmp_path / "file").touch()
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(CONFIG))
    create_app(config)

    limited = offline("limited", "chat") | {"limit": {"calls": 1, "renewal_period": "minute"}}
    config.write_text(json.dumps({"endpoints": [*CONFIG["endpoints"], limited]}))

    assert list(create_app(config).gateway.unserved()) == ["limited"]
