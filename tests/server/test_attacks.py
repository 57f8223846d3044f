"""What an admin's key is not good for: reaching the operator's network, reading the server's keys and files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.configs import ADMIN, AS_ADMIN, HELLO, KEY, Json, upstream_route
from tests.support.ports import closed_port
from tests.support.server import Server, run_command, running
from tests.support.upstream import MockUpstream, Reply, chat

ROUTES = "/api/2.0/gateway/routes/"
SERVERS = "sk-canary-of-the-server"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the server's, with a key in it."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "key.txt").write_text(SERVERS)
    return folder


@pytest.fixture(scope="module")
def settings(files: Path) -> dict[str, str]:
    """The environment of a server that has a key, and a store."""
    return {
        "GATEWAY_ADMIN_KEY": ADMIN,
        "GATEWAY_STORE": f"sqlite:///{files / 'gateway.db'}",
        "A_KEY_OF_THE_SERVER": SERVERS,
        "DATABRICKS_HOST": "https://workspace.example",
        "DATABRICKS_TOKEN": SERVERS,
    }


@pytest.fixture(scope="module")
def gateway(files: Path, settings: dict[str, str]) -> Iterator[Server]:
    """A gateway whose operator allows nothing."""
    with running(files, {"endpoints": []}, env=settings) as server:
        yield server
    assert "canary" not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


def made(server: Server, provider: str = "openai", name: str = "mine", **config: Any) -> httpx.Response:
    """The answer to who makes a route."""
    model: Json = {"provider": provider, "name": "some-model", "config": config}
    body = {"name": name, "route_type": "llm/v1/chat", "model": model}
    with server.client(headers=AS_ADMIN) as http:
        return http.post(ROUTES, json=body)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "①②⑦.0.0.1"),
        *(
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "169.254.169.254",
            "[fd00:ec2::254]",
            "10.0.0.1",
        ),
        *("user:password@127.0.0.1", "168.63.129.16", "100.100.100.200"),
    ],
)
def test_no_route_leads_inside(gateway: Server, host: str) -> None:
    """By no name, and in no spelling."""
    answer = made(gateway, openai_api_key=KEY, openai_api_base=f"http://{host}:{closed_port()}/v1")

    assert answer.status_code == 422
    assert "upstream.allow_networks" in answer.json()["message"]
    assert answer.json()["detail"][0]["loc"] == ["body", "model", "config", "openai_api_base"]
    assert "password" not in answer.text


@pytest.mark.parametrize(
    "key",
    [
        "$A_KEY_OF_THE_SERVER",
        " $A_KEY_OF_THE_SERVER",
        "$NOT_THERE",
        "{files}/key.txt",
        "./key.txt",
        "/etc/passwd",
    ],
)
def test_no_route_reads_the_server_s_keys(gateway: Server, files: Path, key: str) -> None:
    """Whether they are there or not, the answer is the same."""
    answer = made(gateway, openai_api_key=key.format(files=files))

    assert answer.status_code == 422
    assert "upstream.allow_secrets" in answer.json()["message"]
    assert "NOT_THERE" not in answer.text
    assert SERVERS not in answer.text


def test_no_route_uses_the_server_s_own_credentials(gateway: Server) -> None:
    """Nor sends them elsewhere."""
    for config in ({}, {"databricks_api_base": "https://evil.example"}):
        answer = made(gateway, "databricks", **config)

        assert answer.status_code == 422
        assert "'databricks'" in answer.json()["message"]


def test_nothing_of_what_was_refused_is_there(gateway: Server) -> None:
    """No half of a route."""
    with gateway.client(headers=AS_ADMIN) as http:
        assert http.get(ROUTES).json() == {"routes": []}


def test_what_was_allowed_once_is_checked_again_when_it_is_dialled(
    files: Path, settings: dict[str, str], upstream: MockUpstream
) -> None:
    """A route that led inside with the operator's leave leads there no more without it; the refusal is recorded.

    Meanwhile it follows no redirect further inside.
    """
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{files / 'other.db'}"}
    allowed = {"endpoints": [], "upstream": {"allow_networks": ["127.0.0.1"]}}
    with running(files, allowed, env=env) as server, server.client(headers=AS_ADMIN) as http:
        config = upstream_route("inside", "chat", upstream.url)["model"]["config"]
        assert made(server, name="inside", **config).status_code == 200
        assert http.post("/gateway/inside/invocations", json=HELLO).status_code == 200
        upstream.reply(Reply(status=307, headers={"location": "http://169.254.169.254/latest/meta-data/"}))
        assert http.post("/gateway/inside/invocations", json=HELLO).status_code == 502
        assert len(upstream.received) == 1

    upstream.reply(chat())
    with running(files, {"endpoints": []}, env=env) as server, server.client(headers=AS_ADMIN) as http:
        answer = http.post("/gateway/inside/invocations", json=HELLO)

        assert answer.status_code == 502
        assert "leads to a loopback address" in answer.json()["message"]
        assert upstream.received == []
    told = run_command("audit", "--json", env=env)
    assert "127.0.0.1 leads to 127.0.0.1" in told.stdout, told


def test_what_is_listed_is_used(files: Path, settings: dict[str, str], upstream: MockUpstream) -> None:
    """By the operator's word: a secret, which goes nowhere but to its provider."""
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{files / 'listed.db'}"}
    listed = {"allow_secrets": ["$A_KEY_OF_THE_SERVER"], "allow_networks": ["127.0.0.1"]}
    with running(files, {"endpoints": [], "upstream": listed}, env=env) as server:
        assert made(server, openai_api_key="$A_KEY_OF_THE_SERVER").status_code == 200
        answer = made(
            server, name="other", openai_api_key="$A_KEY_OF_THE_SERVER", openai_api_base=f"{upstream.url}/v1"
        )

    assert answer.status_code == 422
    assert "own address" in answer.json()["message"]
    assert json.loads(answer.text)["detail"][0]["loc"][-1] == "openai_api_base"
