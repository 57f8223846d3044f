"""A gateway whose store does not answer: calls go on, changes are refused in seconds, and it heals by itself."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from tests.stores.servers import PASSWORD, Postgres
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, offline
from tests.support.server import Server, running, wait_until

ROUTES, LIMITS = "/api/2.0/gateway/routes/", "/api/2.0/gateway/limits/"
REFUSED_SECONDS = 15.0
"""Within which a change is refused, on a machine that has much else to do."""

CALL_SECONDS = 5.0
"""Within which a call is answered; what a change waits for must not hold it up."""


@dataclass(frozen=True)
class Kept:
    """A gateway of two workers, one route of its file and one of its store.

    Attributes:
        server: The gateway.
        http: A client of it that may change it.
    """

    server: Server
    http: httpx.Client

    def call(self, route: str) -> int:
        """The status of a call, which must come soon."""
        begun = time.monotonic()
        answer = self.http.post(f"/gateway/{route}/invocations", json=HELLO)
        assert time.monotonic() - begun < CALL_SECONDS
        return answer.status_code

    def change(self) -> httpx.Response:
        """Try a change."""
        model = {"provider": "offline", "name": "other"}
        return self.http.patch(ROUTES + "stored", json={"model": model})


@pytest.fixture(scope="module")
def kept(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """The gateway."""
    env = {
        "GATEWAY_ADMIN_KEY": ADMIN,
        "GATEWAY_SECRET_KEY": Fernet.generate_key().decode(),
        "GATEWAY_STORE": postgres.new_address(),
    }
    config = {"endpoints": [offline("filed", "chat")]}
    with (
        running(tmp_path_factory.mktemp("down"), config, workers=2, env=env) as server,
        server.client(headers=AS_ADMIN) as http,
    ):
        wait_until(lambda: len(server.watching()) == 2, 60, "there were no two workers")
        model = {"provider": "offline", "name": "echo"}
        made = http.post(ROUTES, json={"name": "stored", "route_type": "llm/v1/chat", "model": model})
        assert made.status_code == 200, made.text
        yield Kept(server, http)
    assert "Traceback" not in server.log, server.log[-5000:]
    assert PASSWORD not in server.log


@pytest.fixture(params=["paused", "stopped"])
def down(request: pytest.FixtureRequest, postgres: Postgres, kept: Kept) -> Iterator[Callable[[], None]]:
    """Makes the store deaf, or away; it is there again at the end, if not before. What is given ends it."""
    away = True

    def back() -> None:
        nonlocal away
        if away:
            (postgres.resume if request.param == "paused" else postgres.start)()
            away = False

    (postgres.pause if request.param == "paused" else postgres.stop)()
    yield back
    back()


def test_calls_go_on_and_changes_are_refused_until_the_store_is_back(
    kept: Kept, down: Callable[[], None], request: Any
) -> None:
    """503 with what to look at; nothing is changed. The log says it once, and when the store is back."""
    said = kept.server.log.count("the routes that are known stay in force")
    begun = time.monotonic()
    refused = kept.change()
    took = time.monotonic() - begun

    assert refused.status_code == 503, refused.text
    assert took < REFUSED_SECONDS
    assert "the store postgresql://" in refused.json()["message"]
    assert PASSWORD not in refused.text
    for _ in range(10):
        assert [kept.call("filed"), kept.call("stored"), kept.call("nothing")] == [200, 200, 404]
    assert kept.http.get(ROUTES + "stored").status_code == 200
    assert kept.http.get(f"{ROUTES}stored/export").status_code == 503
    print(f"a change was refused after {took:.1f} s")
    assert kept.server.log.count("the routes that are known stay in force") <= said + 2  # one of each worker

    down()

    wait_until(lambda: kept.change().status_code == 200, 60, "no change was possible")
    assert [kept.call("filed"), kept.call("stored")] == [200, 200]


def test_a_worker_that_begins_meanwhile_serves_the_file(kept: Kept, postgres: Postgres) -> None:
    """What it can't know is 503, not 404; when the store is back, it knows."""
    postgres.stop()
    before = kept.server.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: len(set(kept.server.watching()) - set(before)) == 2, 60, "none took the place of the workers"
    )
    with kept.server.client(headers=AS_ADMIN) as http:
        again = Kept(kept.server, http)
        assert [again.call("filed"), again.call("stored"), again.call("nothing")] == [200, 503, 503]
        told = http.post("/gateway/stored/invocations", json=HELLO)
        assert "could not be read" in told.json()["message"]
        assert told.headers["retry-after"] == "1"

    postgres.start()

    with kept.server.client(headers=AS_ADMIN) as http:
        again = Kept(kept.server, http)
        wait_until(lambda: again.call("stored") == 200, 60, "the stored route was not taken up")
        wait_until(lambda: again.call("nothing") == 404, 60, "the store was not read")
