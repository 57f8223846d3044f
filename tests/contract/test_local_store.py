"""A gateway in this process that keeps what is changed in a store."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from gateway_async import AsyncGatewayClient, GatewayError
from gateway_async.call import Caller
from gateway_async.errors import ConfigError, Conflict, NotSupported, RouteNotFound
from gateway_server import create_app
from tests.support.configs import HELLO, Json, offline

OFFLINE = {"provider": "offline", "name": "echo"}


def config(folder: Path, *names: str) -> Json:
    """A configuration with a store."""
    store = f"sqlite:///{folder / 'gateway.db'}"
    return {"store": store, "endpoints": [offline(name, "chat") for name in ("chat", *names)]}


async def test_clients_on_one_store_see_each_other_s_changes(tmp_path: Path) -> None:
    """At the next call; and who comes later sees what there is."""
    async with (
        AsyncGatewayClient.local(config(tmp_path)) as one,
        AsyncGatewayClient.local(config(tmp_path)) as two,
    ):
        await asyncio.gather(one.health(), two.search_routes())
        await one.create_route("made", "llm/v1/chat", OFFLINE)
        assert (await two.query("made", HELLO))["object"] == "chat.completion"
        await two.update_route("made", {"model": {"name": "other"}})
        assert (await one.query("made", HELLO))["model"] == "other"
    async with AsyncGatewayClient.local(config(tmp_path)) as three:
        await three.delete_route("made")
        with pytest.raises(RouteNotFound):
            await three.query("made", HELLO)


def test_one_client_serves_several_loops_in_a_row(tmp_path: Path) -> None:
    """Each with calls at the same time; it is closed in yet another."""
    client = AsyncGatewayClient.local(config(tmp_path))

    async def change(first: int) -> None:
        names = [f"made-{number}" for number in range(first, first + 5)]
        await asyncio.gather(*(client.create_route(name, "llm/v1/chat", OFFLINE) for name in names))
        await asyncio.gather(*(client.query(name, HELLO) for name in names))

    for first in (0, 5):
        asyncio.run(change(first))

    assert len(asyncio.run(_all(client))) == 11
    asyncio.run(client.aclose())


async def _all(client: Any) -> list[str]:
    return [route.name for route in await client.search_routes()]


async def test_a_change_that_its_caller_gives_up_is_whole_or_absent(tmp_path: Path) -> None:
    """Cancelled at any moment; what was kept is served soon."""
    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        await client.search_routes()
        for steps in range(0, 60, 6):
            name = f"made-{steps}"
            creating = asyncio.create_task(client.create_route(name, "llm/v1/chat", OFFLINE))
            for _ in range(steps):
                await asyncio.sleep(0)
            creating.cancel()
            await asyncio.wait([creating])
            try:
                await client.delete_route(name)
            except RouteNotFound:
                pass
            await client.create_route(name, "llm/v1/chat", OFFLINE)
            assert (await client.query(name, HELLO))["object"] == "chat.completion"


async def test_an_app_with_a_name_in_both_does_not_begin(tmp_path: Path) -> None:
    """As `gateway start` does not, whoever serves the app; the error names the route."""
    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        await client.create_route("made", "llm/v1/chat", OFFLINE)
    app = create_app(config(tmp_path, "made"))

    with pytest.raises(Conflict, match="'made' is in the configuration and in the store"):
        await app.open()

    await app.aclose()


async def test_without_a_store_an_app_changes_nothing() -> None:
    """The error says how to give it one."""
    app = create_app({"endpoints": [offline("chat", "chat")]})

    with pytest.raises(NotSupported, match="GATEWAY_STORE"):
        await app.changes.create_route(
            {"name": "made", "route_type": "llm/v1/chat", "model": OFFLINE}, Caller(admin=True)
        )

    await app.aclose()


async def test_another_secret_is_refused(tmp_path: Path) -> None:
    """The settings of the store's routes can't be read with it, nor may others be added."""
    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        await client.create_route("made", "llm/v1/chat", OFFLINE)
    (tmp_path / "gateway.db-secret").unlink()

    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        with pytest.raises(GatewayError, match="encrypted with another secret"):
            await client.create_route("more", "llm/v1/chat", OFFLINE)


async def test_a_store_without_routes_takes_another_secret(tmp_path: Path) -> None:
    """Nothing in it would be lost."""
    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        await client.create_route("made", "llm/v1/chat", OFFLINE)
        await client.delete_route("made")
    (tmp_path / "gateway.db-secret").unlink()

    async with AsyncGatewayClient.local(config(tmp_path)) as client:
        await client.create_route("made", "llm/v1/chat", OFFLINE)
        assert (await client.query("made", HELLO))["object"] == "chat.completion"


async def test_a_secret_is_replaced_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one before the old; each route changed once; then the new one alone."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    model = {"provider": "openai", "name": "m", "config": {"openai_api_key": "sk-canary"}}

    async def with_secret(secret: str, call: str, *arguments: Any) -> Any:
        monkeypatch.setenv("GATEWAY_SECRET_KEY", secret)
        async with AsyncGatewayClient.local(config(tmp_path)) as client:
            return await getattr(client, call)(*arguments)

    await with_secret(old, "create_route", "made", "llm/v1/chat", model)
    with pytest.raises(ConfigError, match="another secret"):
        await with_secret(new, "export_route", "made")
    await with_secret(f"{new},{old}", "update_route", "made", {"drop_unsupported": True})

    exported = await with_secret(new, "export_route", "made")
    assert exported["model"]["config"] == {"openai_api_key": "$ROUTE_MADE_OPENAI_API_KEY"}
    with pytest.raises(ConfigError, match="another secret"):
        await with_secret(old, "export_route", "made")
