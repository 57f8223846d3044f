"""Routes and limits that change while gateways run: on every worker, on every gateway, after a restart, under load."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from tests.stores.servers import PASSWORD, Postgres
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, Json, offline
from tests.support.crowd import crowd
from tests.support.server import Server, running, wait_until

ROUTES, LIMITS = "/api/2.0/gateway/routes/", "/api/2.0/gateway/limits/"
SECRET = Fernet.generate_key().decode()
CANARY = "sk-canary-of-run-time"
AROUND = 60
"""New connections that come at once: every worker of four gets some."""

SEEN_SECONDS = 5.0
"""Within which another gateway has seen a change, on a machine that has much else to do. By itself it is a fraction
of a second, which is printed."""

FILE: Json = {"endpoints": [offline("steady", "chat"), offline("filed", "chat")]}

_numbers = count(1)


def new_name() -> str:
    """A name that no route has."""
    return f"made-{next(_numbers)}"


def chat(name: str, **more: Any) -> Json:
    """A route of the offline provider, as it is created."""
    return {
        "name": name,
        "route_type": "llm/v1/chat",
        "model": {"provider": "offline", "name": "echo"},
        **more,
    }


def openai(name: str) -> Json:
    """A route with a key."""
    config = {"openai_api_key": CANARY}
    return chat(name, model={"provider": "openai", "name": "gpt-mock", "config": config})


def made(answer: httpx.Response) -> Any:
    """What a change answers, once it was made."""
    assert answer.status_code == 200, answer.text
    return answer.json()


async def around(server: Server, name: str, *, count: int = AROUND) -> Counter[int | None]:
    """How often each status comes back, when many call a route at once on new connections."""
    path = f"/gateway/{name}/invocations"
    return Counter([status async for status in crowd([server], path, HELLO, count=count)])


@dataclass(frozen=True)
class Gateways:
    """Two gateways on one store: one of four workers, and one that shares no file with it."""

    kind: str
    first: Server
    second: Server

    def admin(self) -> httpx.Client:
        """A client of the first that may change it."""
        return self.first.client(headers=AS_ADMIN)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def gateways(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Two gateways on a store of each kind."""
    folders = [tmp_path_factory.mktemp(request.param) for _ in range(2)]
    store = f"sqlite:///{folders[0] / 'gateway.db'}"
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        store = server.new_address()
    env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_SECRET_KEY": SECRET, "GATEWAY_STORE": store}
    with ExitStack() as stack:
        first = stack.enter_context(running(folders[0], FILE, workers=4, env=env))
        second = stack.enter_context(running(folders[1], FILE, env=env))
        wait_until(lambda: len(first.watching()) == 4, 60, "there were no four workers")
        yield Gateways(request.param, first, second)
        quiet(first, second)


def quiet(*servers: Server) -> None:
    """No key and no error that nobody expected stands in a log."""
    for server in servers:
        assert "Traceback" not in server.log, server.log[-5000:]
        for secret in (CANARY, ADMIN, SECRET, PASSWORD):
            assert secret not in server.log


async def test_a_change_is_in_force_on_every_worker_when_it_is_answered(gateways: Gateways) -> None:
    """Creating, changing and deleting: of sixty callers that come right after, all meet what holds now."""
    for _ in range(3):
        name = new_name()
        with gateways.admin() as admin:
            made(admin.post(ROUTES, json=chat(name)))
            assert await around(gateways.first, name) == {200: AROUND}
            made(admin.patch(ROUTES + name, json={"route_type": "llm/v1/completions"}))
            assert await around(gateways.first, name) == {422: AROUND}
            made(admin.patch(ROUTES + name, json={"route_type": "llm/v1/chat"}))
            assert await around(gateways.first, name) == {200: AROUND}
            made(admin.delete(ROUTES + name))
            assert await around(gateways.first, name) == {404: AROUND}


async def test_limits_are_in_force_on_every_worker_when_they_are_answered(gateways: Gateways) -> None:
    """`calls: 0` closes a route of the file, and one that was created; a limit of 100 lets 100 of 1,000 pass."""
    name = new_name()
    with gateways.admin() as admin:
        made(admin.post(ROUTES, json=chat(name)))
        for route in (name, "filed"):
            closed = {"route": route, "limits": [{"calls": 0, "renewal_period": "minute"}]}
            made(admin.post(LIMITS, json=closed))
            assert await around(gateways.first, route) == {429: AROUND}
            made(admin.post(LIMITS, json={"route": route, "limits": []}))
            assert await around(gateways.first, route) == {200: AROUND}
        hundred = {"route": name, "limits": [{"calls": 100, "renewal_period": "hour"}]}
        made(admin.post(LIMITS, json=hundred))
        assert await around(gateways.first, name, count=1000) == {200: 100, 429: 900}
        made(admin.delete(ROUTES + name))


def test_another_gateway_on_the_store_sees_every_change(gateways: Gateways) -> None:
    """Soon, and without a word from the one that made it."""
    name, took = new_name(), []

    def seen(status: int) -> None:
        begun = time.monotonic()
        call = f"/gateway/{name}/invocations"
        wait_until(
            lambda: other.post(call, json=HELLO).status_code == status,
            SEEN_SECONDS,
            f"{status} was not seen",
        )
        took.append(time.monotonic() - begun)

    with gateways.admin() as admin, gateways.second.client() as other:
        for _ in range(3):
            made(admin.post(ROUTES, json=chat(name)))
            seen(200)
            made(admin.patch(ROUTES + name, json={"route_type": "llm/v1/completions"}))
            seen(422)
            made(admin.patch(ROUTES + name, json={"route_type": "llm/v1/chat"}))
            seen(200)
            made(admin.post(LIMITS, json={"route": name, "limits": [{"calls": 0, "renewal_period": "day"}]}))
            seen(429)
            made(admin.delete(ROUTES + name))
            seen(404)
    print(f"{gateways.kind}: another gateway saw {len(took)} changes after at most {max(took):.2f} s")


async def test_of_changes_at_once_none_is_lost(gateways: Gateways) -> None:
    """Two gateways change one route at the same moment: what is answered with 200 holds, what is not is a conflict."""
    name = new_name()
    wanted: list[Json] = [
        {"model": {"name": "other"}},
        {"limit": {"calls": 10**6, "renewal_period": "hour"}},
        {"timeouts": {"total": 7}},
        {"drop_unsupported": True},
        {"on_store_failure": "deny"},
    ]
    async with (
        gateways.first.async_client(headers=AS_ADMIN) as one,
        gateways.second.async_client(headers=AS_ADMIN) as two,
    ):
        made(await one.post(ROUTES, json=chat(name)))
        await asyncio.to_thread(
            wait_until,
            lambda: name in listed(gateways.second),
            SEEN_SECONDS,
            "the other gateway did not see it",
        )
        calls = [(one, two)[i % 2].patch(ROUTES + name, json=change) for i, change in enumerate(wanted)]
        answers = await asyncio.gather(*calls)
        held = made(await one.get(f"{ROUTES}{name}/export"))
        made(await one.delete(ROUTES + name))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    expected: Json = {"endpoint_type": "llm/v1/chat", "name": name, "model": chat(name)["model"]}
    for change, answer in zip(wanted, answers, strict=True):
        if answer.status_code == 200:
            model = {**expected["model"], **change.get("model", {})}
            expected = {**expected, **change, "model": model}
    assert held == expected


def listed(server: Server) -> list[str]:
    """The names of the routes that a gateway lists."""
    with server.client() as http:
        return [route["name"] for route in http.get(ROUTES).json()["routes"]]


async def test_a_hundred_changes_lose_no_request(gateways: Gateways) -> None:
    """All the while both gateways answer calls of a route of the file, and of one that is changed again and again."""
    name, done = new_name(), asyncio.Event()
    answered: Counter[int] = Counter()

    async def ask(server: Server, route: str) -> None:
        async with server.async_client() as http:
            while not done.is_set():
                answered[(await http.post(f"/gateway/{route}/invocations", json=HELLO)).status_code] += 1

    async with gateways.first.async_client(headers=AS_ADMIN) as admin:
        made(await admin.post(ROUTES, json=chat(name)))
        await asyncio.to_thread(
            wait_until, lambda: name in listed(gateways.second), SEEN_SECONDS, "the other did not see it"
        )
        async with asyncio.TaskGroup() as group:
            for server in (gateways.first, gateways.first, gateways.second):
                for route in ("steady", name):
                    group.create_task(ask(server, route))
            for number in range(25):
                made(await admin.post(ROUTES, json=chat(f"{name}-{number}")))
                made(await admin.patch(ROUTES + name, json={"model": {"name": f"model-{number}"}}))
                limits = [{"calls": 10**9 + number, "renewal_period": "minute"}]
                made(await admin.post(LIMITS, json={"route": name, "limits": limits}))
                made(await admin.delete(f"{ROUTES}{name}-{number}"))
            done.set()
        made(await admin.delete(ROUTES + name))

    print(f"{gateways.kind}: {answered.total()} answers during 100 changes, none lost")
    assert answered.keys() == {200}


def test_after_a_restart_everything_is_there(gateways: Gateways, tmp_path: Path) -> None:
    """A gateway that begins on the store serves what was made before: routes, their keys, limits."""
    name = new_name()
    with gateways.admin() as admin:
        made(admin.post(ROUTES, json=openai(name)))
        limits = {"route": name, "limits": [{"calls": 7, "renewal_period": "hour", "key": "user"}]}
        made(admin.post(LIMITS, json=limits))
        before = made(admin.get(ROUTES + name))
        store = environment_of(gateways.first)["GATEWAY_STORE"]
        env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_SECRET_KEY": SECRET, "GATEWAY_STORE": store}
        with running(tmp_path, FILE, env=env) as third, third.client(headers=AS_ADMIN) as http:
            assert made(http.get(ROUTES + name)) == before
            assert made(http.get(LIMITS + name)) == {"limits": limits["limits"]}
            exported = made(http.get(f"{ROUTES}{name}/export"))
            quiet(third)
        made(admin.delete(ROUTES + name))
    assert before["limit"]["calls"] == 7
    assert exported["model"]["config"]["openai_api_key"].startswith("$ROUTE_")


def environment_of(server: Server) -> Mapping[str, str]:
    """The environment of a gateway."""
    pairs = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if pair)
