"""What an admin's key is not good for, tried by way of a route's destinations: each is as confined as an only model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.configs import ADMIN, AS_ADMIN, HELLO, KEY, Json
from tests.support.ports import closed_port
from tests.support.server import Server, run_command, running
from tests.support.upstream import MockUpstream, Reply, chat

ROUTES = "/api/2.0/gateway/routes/"
SERVERS = "sk-canary-of-the-server"
ECHO: Json = {"model": {"provider": "offline", "name": "echo"}, "priority": 3}


def to(provider: str, **config: Any) -> Json:
    """A destination."""
    return {"model": {"provider": provider, "name": "some-model", "config": config}}


def through(upstream: MockUpstream, path: str = "/v1", **more: Any) -> Json:
    """A destination at a server of the test's."""
    return {**to("openai", openai_api_key=KEY, openai_api_base=upstream.url + path), **more}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a server that has keys."""
    return {
        "GATEWAY_ADMIN_KEY": ADMIN,
        "GATEWAY_STORE": f"sqlite:///{tmp_path_factory.mktemp('strict') / 'gateway.db'}",
        "A_KEY_OF_THE_SERVER": SERVERS,
        "DATABRICKS_HOST": "https://workspace.example",
        "DATABRICKS_TOKEN": SERVERS,
    }


@pytest.fixture(scope="module")
def strict(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway whose operator allows nothing."""
    with running(tmp_path_factory.mktemp("strict"), {"endpoints": []}, env=settings) as server:
        yield server
    quiet(server)


@pytest.fixture(scope="module")
def loose(
    settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory, shared_upstream: MockUpstream
) -> Iterator[Server]:
    """A gateway that may reach this machine, where the attacker has a server too."""
    folder = tmp_path_factory.mktemp("loose")
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{folder / 'gateway.db'}"}
    with running(folder, {"endpoints": [], "upstream": {"allow_networks": ["127.0.0.1"]}}, env=env) as server:
        yield server
    quiet(server)


def quiet(server: Server) -> None:
    """No key, and no error that nobody expected, stands in the log."""
    assert "canary" not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


def made(server: Server, *destinations: Json, name: str = "mine", **more: Any) -> httpx.Response:
    """The answer to who makes a route."""
    body = {"name": name, "route_type": "llm/v1/chat", "destinations": destinations, **more}
    with server.client(headers=AS_ADMIN) as http:
        return http.post(ROUTES, json=body)


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"]
)
def test_no_destination_leads_inside(strict: Server, host: str, at: int) -> None:
    """The first as little as the last."""
    several = [ECHO, ECHO]
    several.insert(at, to("openai", openai_api_key=KEY, openai_api_base=f"http://{host}:{closed_port()}/v1"))

    answer = made(strict, *several)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == [
        *("body", "destinations", at, "model", "config", "openai_api_base")
    ]
    assert "upstream.allow_networks" in answer.json()["message"]


def test_no_destination_reads_or_uses_what_is_the_server_s(strict: Server) -> None:
    """Its variables, its files, its credentials, its word for them; and nothing of what was refused is there."""
    for destination in (
        to("openai", openai_api_key="$A_KEY_OF_THE_SERVER"),
        to("openai", openai_api_key="/etc/passwd"),
        to("databricks"),
        to("databricks", databricks_api_base="https://evil.example"),
        to("vertex-ai", project="p", location="us", credentials="/etc/passwd"),
    ):
        for several in ([destination, ECHO], [ECHO, destination]):
            answer = made(strict, *several)

            assert answer.status_code == 422, answer.text
            assert "upstream.allow_secrets" in answer.json()["message"]
            assert SERVERS not in answer.text
    with strict.client(headers=AS_ADMIN) as http:
        assert http.get(ROUTES).json() == {"routes": []}


def test_a_route_has_only_so_many_destinations(strict: Server) -> None:
    """However small each is."""
    assert made(strict, *[ECHO] * 33).status_code == 422
    assert made(strict, *[{}] * 100_000).status_code == 422


def test_many_destinations_whose_names_nobody_knows_hold_up_nothing(strict: Server) -> None:
    """They are asked for at once, not one after the other; and go nowhere when they are called."""
    nowhere = [
        to("openai", openai_api_key=KEY, openai_api_base=f"https://no-{number}.invalid/v1")
        for number in range(32)
    ]

    answer = made(strict, *nowhere, name="nowhere")

    with strict.client(headers=AS_ADMIN) as http:
        assert answer.status_code == 200, answer.text
        assert http.delete(ROUTES + "nowhere").status_code == 200


def test_a_destination_that_was_allowed_once_is_not_dialled_when_others_fail(
    settings: dict[str, str], tmp_path: Path, upstream: MockUpstream
) -> None:
    """The operator's leave is asked for at every connection, of those too that only stand in for others."""
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{tmp_path / 'gateway.db'}"}
    allowed = {"endpoints": [], "upstream": {"allow_networks": ["127.0.0.1"]}}
    dead = to("openai", openai_api_key=KEY, openai_api_base=f"http://127.0.0.1:{closed_port()}/v1")
    with running(tmp_path, allowed, env=env) as server, server.client(headers=AS_ADMIN) as http:
        assert made(server, dead, through(upstream, priority=2)).status_code == 200
        answer = http.post("/gateway/mine/invocations", json=HELLO)
        assert answer.status_code == 200, answer.text
        assert len(upstream.received) == 1
        upstream.reply(Reply(status=307, headers={"location": "http://169.254.169.254/latest/meta-data/"}))
        assert http.post("/gateway/mine/invocations", json=HELLO).status_code >= 500

    upstream.received.clear()
    upstream.reply(chat())
    with running(tmp_path, {"endpoints": []}, env=env) as server, server.client(headers=AS_ADMIN) as http:
        answer = http.post("/gateway/mine/invocations", json=HELLO)

        assert answer.status_code >= 500
        assert upstream.received == []
        quiet(server)
    assert "127.0.0.1 leads to 127.0.0.1" in run_command("audit", "--json", env=env).stdout


EVIL: Json = to("openai", openai_api_base="{evil}")


@pytest.mark.parametrize(
    "change",
    [
        {"destinations": [EVIL]},
        {"destinations": [EVIL, EVIL]},
        {"destinations": [{"model": {**EVIL["model"], "openai_config": {}}}, ECHO]},
        {"destinations": [to("openai", openai_api_key=None, openai_api_base="{evil}"), ECHO]},
        {"destinations": [to("openai", openai_api_key="", openai_api_base="{evil}"), ECHO]},
        {"destinations": [to("openai", openai_api_key="**********", openai_api_base="{evil}")]},
        {"destinations": [to("openai-compatible", api_base="{evil}")]},
        {"destinations": [{"weight": 1}, {"model": {"name": "x"}}]},
        {"destinations": {"0": EVIL}},
        {"destinations": {"0": {"model": {"config": {"openai_api_base": "{evil}"}}}}},
        {"destinations": [[EVIL]]},
        {"destinations.0.model.config.openai_api_base": "{evil}"},
        {"model": {"config": {"openai_api_base": "{evil}"}}},
        {"model": {"provider": "openai", "config": {"openai_api_base": "{evil}"}}},
        {"model": {"provider": "openai-compatible", "config": {"api_base": "{evil}"}}},
        {"model": {"provider": "openai", "name": "x"}},
        {"model": {"name": "x"}, "destinations": None},
        {"model": {"config": {"openai_api_base": "{evil}"}}, "destinations": [ECHO]},
        {"model": None, "destinations": None},
        {"model": {"provider": "openai-compatible", "config": {"api_base": "{evil}"}}, "destinations": None},
        {"sealed": "", "destinations": [ECHO]},
        {"balance": "latency", "fallback_on": ["context_length"]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kept", ["model", "destinations"])
def test_no_change_of_a_route_sends_a_key_elsewhere(
    loose: Server, upstream: MockUpstream, change: Json, kept: str
) -> None:
    """From a model to destinations, from one destination to another, and back."""
    with loose.client(headers=AS_ADMIN) as http:
        http.delete(ROUTES + "kept")
        mine = through(upstream)
        document = (
            {"model": mine["model"]} if kept == "model" else {"destinations": [mine, {**mine, "priority": 2}]}
        )
        body = {"name": "kept", "route_type": "llm/v1/chat", **document}
        assert http.post(ROUTES, json=body).status_code == 200
        written = json.dumps(change).replace("{evil}", f"{upstream.url}/evil/v1")
        answer = http.patch(ROUTES + "kept", content=written)
        assert answer.status_code < 500, answer.text
        told = answer.text + http.get(ROUTES + "kept").text + http.get(ROUTES + "kept/export").text
        called = [
            http.post("/gateway/kept/invocations", json=each).text
            for each in (HELLO, {**HELLO, "stream": True})
        ]
    assert KEY not in told + "".join(called)
    for received in upstream.received:
        if received.path != "/v1/chat/completions":
            assert KEY not in f"{received.headers} {received.body!r}", received.path


def test_each_destination_gets_its_own_key_and_tells_none(loose: Server, upstream: MockUpstream) -> None:
    """A provider that says a key back says it to nobody, whichever destination it was asked for."""
    one, two = f"{KEY}-1", f"{KEY}-2"
    first = to("openai", openai_api_key=one, openai_api_base=f"{upstream.url}/one/v1")
    second = to("openai", openai_api_key=two, openai_api_base=f"{upstream.url}/two/v1")
    upstream.reply(Reply(f'{{"error": {{"message": "{one} and {two}"}}}}'.encode(), 503))
    assert made(loose, first, {**second, "priority": 2}, name="echoed").status_code == 200
    with loose.client(headers=AS_ADMIN) as http:
        answer = http.post("/gateway/echoed/invocations", json=HELLO)
        http.delete(ROUTES + "echoed")

    assert {received.path.split("/")[1] for received in upstream.received} == {"one", "two"}
    for received in upstream.received:
        own, other = (one, two) if received.path.startswith("/one") else (two, one)
        assert received.headers["authorization"] == f"Bearer {own}"
        assert other not in f"{received.headers} {received.body!r}"
    assert answer.status_code >= 500
    assert two not in answer.text
