"""Gateways that are killed while they are changed over the API: what they acknowledged is there, and nothing by halves."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from gateway_async.stores import open_store
from tests.stores.servers import Postgres
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, Json, offline
from tests.support.server import Server, running, wait_until

ROUTES, LIMITS, KEYS = "/api/2.0/gateway/routes/", "/api/2.0/gateway/limits/", "/api/2.0/gateway/keys/"
CHANGES = 1000
CLIENTS = 6
AT_ONCE = 340, 450
"""After so many acknowledged changes a gateway is killed: at least, and fewer than."""

FILE: Json = {"endpoints": [offline("filed", "chat")]}


@dataclass
class Thing:
    """What one client changes, one change after the other: a route, its limits, a key.

    Attributes:
        name: The name of the route and of the key.
        acknowledged: Changes that were answered with 200.
        unknown: One more was sent, and nobody knows what became of it.
    """

    name: str
    acknowledged: int = 0
    unknown: bool = False


STEPS = 6


def step(number: int, name: str) -> tuple[str, str, Json | None]:
    """The change of this number: method, path, body."""
    limits = [{"calls": 10 + number, "renewal_period": "minute"}]
    model = {"provider": "offline", "name": "first"}
    steps: list[tuple[str, str, Json | None]] = [
        ("POST", ROUTES, {"name": name, "route_type": "llm/v1/chat", "model": model}),
        ("POST", LIMITS, {"route": name, "limits": limits}),
        ("POST", KEYS, {"name": name, "role": "caller", "routes": [name]}),
        ("PATCH", ROUTES + name, {"model": {"name": "second"}, "drop_unsupported": True}),
        ("DELETE", KEYS + name, None),
        ("DELETE", ROUTES + name, None),
    ]
    return steps[number]


ACTIONS = ["route.create", "limits.set", "key.create", "route.update", "key.revoke", "route.delete"]


def state(done: int) -> tuple[Any, ...]:
    """What there is of a thing after so many changes: its model, its limits, its key; and its lines in the audit log."""
    route: Any = None
    if 1 <= done < 6:
        route = ("first", False) if done < 4 else ("second", True)
    limits = [11] if 2 <= done < 6 else None
    key = None if done < 3 else "good" if done < 5 else "revoked"
    return route, limits, key, ACTIONS[:done]


@dataclass
class Crowd:
    """Clients that change things until the gateway is gone, or is told to stop.

    Attributes:
        things: All that were begun.
        acknowledged: Changes that were answered with 200, in all.
    """

    things: list[Thing] = field(default_factory=list)
    acknowledged: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    after: int = 0
    errors: list[str] = field(default_factory=list)

    async def change(self, server: Server) -> None:
        """Change things one after the other; a connection that breaks ends it, or with `stop` set in the end."""
        async with server.async_client(headers=AS_ADMIN) as http:
            while not self.stop.is_set():
                thing = Thing(f"thing-{len(self.things)}")
                self.things.append(thing)
                for number in range(STEPS):
                    method, path, body = step(number, thing.name)
                    try:
                        answer = await http.request(method, path, json=body)
                    except httpx.TransportError:
                        thing.unknown = True
                        return
                    if (
                        answer.status_code == 503
                    ):  # the store was too busy, on a machine that is: nobody knows
                        thing.unknown = True
                        break
                    if answer.status_code != 200:
                        self.errors.append(f"{method} {path}: {answer.text}")
                        self.enough.set()
                        return
                    thing.acknowledged += 1
                    self.acknowledged += 1
                    if self.acknowledged >= self.after:
                        self.enough.set()


async def check(address: str, things: list[Thing]) -> int:
    """Hold a store to what was acknowledged. How many changes it has."""
    store = open_store(address)
    await store.open()
    versions = await store.routes.versions()
    routes = {
        route.name: (route.document["model"]["name"], route.document.get("drop_unsupported", False))
        for route in await store.routes.read(list(versions))
    }
    limits = {name: [limit["calls"] for limit in each] for name, each in (await store.limits.all()).items()}
    keys = {key.name: "revoked" if key.revoked else "good" for key in await store.keys.all()}
    lines: dict[str, list[str]] = {}
    for entry in reversed(await store.audit.read(limit=1_000_000)):
        if entry.outcome == "done":
            lines.setdefault(entry.target, []).append(entry.action)
    revision = await store.revision()
    await store.aclose()

    total = 0
    for thing in things:
        name = thing.name
        found = routes.get(name), limits.get(name), keys.get(name), lines.get(name, [])
        wanted = [state(thing.acknowledged)]
        if thing.unknown:
            wanted.append(state(thing.acknowledged + 1))
        assert found in wanted, (thing, found)
        total += len(found[3])
    assert revision == total, "a change without a line in the audit log, or a line without a change"
    return total


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_gateway_that_is_killed_keeps_what_it_acknowledged(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A thousand changes by six clients; all its processes are killed three times, and it begins anew."""
    address = f"sqlite:///{tmp_path / 'gateway.db'}"
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        address = server.new_address()
    env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_STORE": address, "XDG_STATE_HOME": str(tmp_path)}
    random, crowd, rounds, made = Random(kind), Crowd(), 0, 0

    while made < CHANGES:
        with running(tmp_path, FILE, workers=2, env=env) as gateway:
            wanted = min(random.randrange(*AT_ONCE), CHANGES - made)
            crowd.after, crowd.enough = crowd.acknowledged + wanted, asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(crowd.change(gateway))
                await crowd.enough.wait()
                os.killpg(gateway.process.pid, signal.SIGKILL)
            assert "Traceback" not in gateway.log, gateway.log[-3000:]
        assert crowd.errors == []
        made, rounds = await check(address, crowd.things), rounds + 1

    print(f"{kind}: {crowd.acknowledged} changes acknowledged, {made} made, killed {rounds} times")


async def test_workers_that_are_killed_lose_no_change(tmp_path: Path) -> None:
    """The others go on, and what the killed ones acknowledged is there."""
    address = f"sqlite:///{tmp_path / 'gateway.db'}"
    env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_STORE": address}
    crowd = Crowd()

    async def change_again(gateway: Server) -> None:
        while not crowd.stop.is_set():
            await crowd.change(gateway)

    with running(tmp_path, FILE, workers=2, env=env) as gateway:
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(change_again(gateway))
            for _ in range(2):
                crowd.after, crowd.enough = crowd.acknowledged + 30, asyncio.Event()
                await crowd.enough.wait()
                await asyncio.to_thread(
                    wait_until, lambda: len(gateway.watching()) == 2, 60, "there were no two workers"
                )
                os.kill(gateway.workers()[0], signal.SIGKILL)
            crowd.after, crowd.enough = crowd.acknowledged + 30, asyncio.Event()
            await crowd.enough.wait()
            crowd.stop.set()
        assert crowd.errors == []
        await check(address, crowd.things)
        with gateway.client(headers=AS_ADMIN) as http:
            assert http.post("/gateway/filed/invocations", json=HELLO).status_code == 200
