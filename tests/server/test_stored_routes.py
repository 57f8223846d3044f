"""Routes of the store beside those of the file, their export, their keys, and the command line that makes them."""

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography.fernet import Fernet

from gateway_async.live.vault import Vault
from gateway_async.stores import open_store
from gateway_async.stores.base import AuditEntry, StoredRoute
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, Json, offline
from tests.support.server import Server, run_command, running, wait_until, write_config

ROUTES, LIMITS = "/api/2.0/gateway/routes/", "/api/2.0/gateway/limits/"
SECRET = Fernet.generate_key().decode()
CANARY = "sk-canary-of-stored-routes"

_numbers = count(1)


def new_name() -> str:
    """A name that no route has."""
    return f"kept-{next(_numbers)}"


def chat(name: str, **more: Any) -> Json:
    """A route of the offline provider, as it is created."""
    return {
        "name": name,
        "route_type": "llm/v1/chat",
        "model": {"provider": "offline", "name": "echo"},
        **more,
    }


def with_key(name: str, key: str = CANARY) -> Json:
    """A route with a key."""
    model = {"provider": "openai", "name": "gpt-mock", "config": {"openai_api_key": key}}
    return chat(name, model=model)


def made(answer: httpx.Response) -> Any:
    """What a change answers, once it was made."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def env(store: Path, **more: str) -> dict[str, str]:
    """The environment of a gateway on this store."""
    return {
        "GATEWAY_ADMIN_KEY": ADMIN,
        "GATEWAY_SECRET_KEY": SECRET,
        "GATEWAY_STORE": f"sqlite:///{store}",
        **more,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateway, its file and its store are."""
    return tmp_path_factory.mktemp("stored")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[Server]:
    """A gateway with routes of a file, which may be given more."""
    config = {"endpoints": [offline("filed", "chat")]}
    with running(folder, config, env=env(folder / "gateway.db")) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]
    for secret in (CANARY, ADMIN, SECRET):
        assert secret not in server.log


@pytest.fixture
def admin(gateway: Server) -> Iterator[httpx.Client]:
    """A client that may change it."""
    with gateway.client(headers=AS_ADMIN) as client:
        yield client


@pytest.fixture
def name(admin: httpx.Client) -> Iterator[str]:
    """A name that no route has; what gets it is deleted at the end."""
    name = new_name()
    yield name
    admin.delete(ROUTES + name)


def test_a_name_of_the_file_is_taken(admin: httpx.Client, name: str) -> None:
    """409, for every change of it; the error says what to do."""
    for answer in (
        admin.post(ROUTES, json=chat("filed")),
        admin.patch(ROUTES + "filed", json={"model": {"name": "x"}}),
        admin.delete(ROUTES + "filed"),
    ):
        assert answer.status_code == 409
        assert "configuration file" in answer.json()["message"]
    made(admin.post(ROUTES, json=chat(name)))
    assert admin.post(ROUTES, json=chat(name)).status_code == 409


def test_a_file_with_a_name_of_the_store_is_not_taken_up(
    admin: httpx.Client, name: str, gateway: Server, folder: Path
) -> None:
    """The log names the route; the file before stays in force, until the name is free."""
    made(admin.post(ROUTES, json=chat(name)))
    waiting = (
        f"waits, the one before stays in force:\nthe route {name!r} is in the configuration and in the store"
    )
    took = gateway.log.count("took up")

    write_config(
        folder / "gateway.yaml", {"endpoints": [offline("filed", "chat"), offline(name, "embeddings")]}
    )

    gateway.wait_for_log(waiting)
    assert made(admin.get(ROUTES + name))["route_type"] == "llm/v1/chat"
    made(admin.delete(ROUTES + name))
    gateway.wait_for_log("took up", times=took + 1)
    assert gateway.log.count(waiting) == 1
    assert made(admin.get(ROUTES + name))["route_type"] == "llm/v1/embeddings"
    write_config(folder / "gateway.yaml", {"endpoints": [offline("filed", "chat")]})
    gateway.wait_for_log("took up", times=took + 2)


def test_a_start_with_a_name_in_both_is_refused(
    folder: Path, tmp_path: Path, admin: httpx.Client, name: str
) -> None:
    """The error names the route, and both ways out."""
    made(admin.post(ROUTES, json=chat(name)))
    file = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline(name, "chat")]})

    done = run_command("start", "--port", "0", "--config-path", str(file), env=env(folder / "gateway.db"))

    assert done.returncode != 0
    assert f"{name!r} is in the configuration and in the store" in done.stderr
    assert f"gateway routes delete {name}" in done.stderr


def test_a_start_with_another_secret_is_refused(folder: Path, admin: httpx.Client, name: str) -> None:
    """The error names the variable, and no secret."""
    made(admin.post(ROUTES, json=with_key(name)))
    other = Fernet.generate_key().decode()

    done = run_command("start", "--port", "0", env=env(folder / "gateway.db", GATEWAY_SECRET_KEY=other))

    assert done.returncode != 0
    assert "are encrypted with another secret than this gateway" in done.stderr
    assert "GATEWAY_SECRET_KEY" in done.stderr
    assert other not in done.stderr


def test_default_routes_give_way(tmp_path: Path) -> None:
    """Without a configuration, the name of an offline route is free for a real one; deleted, it is back."""
    with running(tmp_path, env=env(tmp_path / "own.db")) as server, server.client(headers=AS_ADMIN) as http:
        model = {"provider": "offline", "name": "mine"}
        made(http.post(ROUTES, json=chat("chat", model=model)))
        assert made(http.post("/gateway/chat/invocations", json=HELLO))["model"] == "mine"
        names = [route["name"] for route in made(http.get(ROUTES))["routes"]]
        assert names.count("chat") == 1
        made(http.delete(ROUTES + "chat"))
        assert made(http.post("/gateway/chat/invocations", json=HELLO))["model"] == "offline"
        again = http.delete(ROUTES + "chat")
        assert again.status_code in (404, 409)


def test_a_key_survives_a_change_of_the_model(admin: httpx.Client, name: str) -> None:
    """Of `model`, what is not given stays."""
    made(admin.post(ROUTES, json=with_key(name)))

    made(admin.patch(ROUTES + name, json={"model": {"name": "gpt-other"}}))

    model = made(admin.get(f"{ROUTES}{name}/export"))["model"]
    assert (model["name"], list(model["config"])) == ("gpt-other", ["openai_api_key"])


@pytest.mark.parametrize(
    "model",
    [
        {"config": {"openai_api_base": "https://example.com/v1"}},
        {"openai_config": {"openai_api_base": "https://example.com/v1"}},
        {"provider": "openai"},
        {"provider": "mistral"},
        {"config": None},
        {"config": {}},
    ],
)
def test_a_key_is_never_sent_elsewhere_by_who_does_not_know_it(
    admin: httpx.Client, name: str, model: Json
) -> None:
    """Settings are one whole: a change of one that leaves the key out leaves the route without, and is refused."""
    made(admin.post(ROUTES, json=with_key(name)))

    assert admin.patch(ROUTES + name, json={"model": model}).status_code == 422

    exported = made(admin.get(f"{ROUTES}{name}/export"))["model"]
    assert (exported["provider"], list(exported["config"])) == ("openai", ["openai_api_key"])


def test_null_takes_a_setting_away(admin: httpx.Client, name: str) -> None:
    """Of the route and of its model; the rest stays."""
    limits = [{"calls": 5, "renewal_period": "minute"}]
    made(admin.post(ROUTES, json=chat(name, limits=limits, timeouts={"total": 5}, drop_unsupported=True)))

    made(admin.patch(ROUTES + name, json={"limits": None, "timeouts": None, "model": {"name": None}}))

    assert made(admin.get(f"{ROUTES}{name}/export")) == {
        "name": name,
        "endpoint_type": "llm/v1/chat",
        "model": {"provider": "offline"},
        "drop_unsupported": True,
    }


async def keep(store: Path, route: StoredRoute) -> None:
    """Put a route into a store, as an earlier gateway may have."""
    opened = open_store(f"sqlite:///{store}")
    await opened.open()
    entry = AuditEntry(action="route.create", target=route.name, actor="tester")
    await opened.routes.create(route, entry)
    await opened.aclose()


def test_a_route_whose_provider_is_gone_costs_only_itself(
    gateway: Server, folder: Path, admin: httpx.Client, name: str
) -> None:
    """Its calls are 501 and say why; it can be deleted, the others go on."""
    document = {"endpoint_type": "llm/v1/chat", "model": {"provider": "gone-plugin", "name": "x"}}
    sealed = Vault([SECRET]).seal({})

    asyncio.run(keep(folder / "gateway.db", StoredRoute(name=name, document=document, sealed=sealed)))

    call = f"/gateway/{name}/invocations"
    wait_until(lambda: admin.post(call, json=HELLO).status_code == 501, 10, "it was not seen")
    assert "gone-plugin" in admin.post(call, json=HELLO).json()["message"]
    assert admin.get(ROUTES + name).status_code == 501
    assert admin.post("/gateway/filed/invocations", json=HELLO).status_code == 200
    made(admin.delete(ROUTES + name))
    assert admin.post(call, json=HELLO).status_code == 404


def test_an_export_is_a_configuration(
    admin: httpx.Client, name: str, gateway: Server, tmp_path: Path
) -> None:
    """YAML that `gateway check` accepts, once the variables that it names are set; with no key in it."""
    second = f"{name}.2"
    made(admin.post(ROUTES, json={**with_key(name), "limit": {"calls": 5, "renewal_period": "minute"}}))
    bedrock = {
        "aws_access_key_id": f"{CANARY}-id",
        "aws_secret_access_key": f"{CANARY}-secret",
        "aws_region": "eu-central-1",
    }
    made(
        admin.post(
            ROUTES,
            json=chat(
                second,
                model={"provider": "bedrock", "name": "amazon.titan", "config": {"aws_config": bedrock}},
            ),
        )
    )

    done = run_command(
        *("routes", "--uri", gateway.url, "export", name, second), env={"GATEWAY_API_KEY": ADMIN}
    )
    made(admin.delete(ROUTES + second))

    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    file = tmp_path / "exported.yaml"
    file.write_text(done.stdout)
    variables = dict.fromkeys(found_variables(yaml.safe_load(done.stdout)), "some-key")
    assert len(variables) == 3
    checked = run_command("check", str(file), env=variables)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


def found_variables(document: Any) -> set[str]:
    """The variables that a document names."""
    if isinstance(document, str):
        return {document[1:]} if document.startswith("$") else set()
    inner = (
        document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    )
    return set().union(*map(found_variables, inner))


def test_routes_are_made_and_changed_on_the_command_line(
    admin: httpx.Client, name: str, gateway: Server, tmp_path: Path
) -> None:
    """From files and from standard input, for people and for machines; no key is told."""
    file = tmp_path / "route.yaml"
    file.write_text(yaml.safe_dump(with_key(name)))

    def routes(*arguments: str, text: str | None = None) -> str:
        done = run_command(
            "routes", "--uri", gateway.url, *arguments, env={"GATEWAY_API_KEY": ADMIN}, text=text
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert ADMIN not in done.stdout + done.stderr
        return done.stdout

    assert name in routes("create", str(file))
    (updated,) = json.loads(
        routes("update", name, "-", "--json", text=json.dumps({"model": {"name": "gpt-other"}}))
    )
    assert updated["model"] == {"name": "gpt-other", "provider": "openai"}
    assert name in routes("delete", name)
    assert admin.get(ROUTES + name).status_code == 404


def test_a_route_with_destinations_is_made_and_exported_on_the_command_line(
    admin: httpx.Client, name: str, gateway: Server, tmp_path: Path
) -> None:
    """People are told of the first model and how many others there are; what is exported is right."""
    model = with_key(name)["model"]
    several = {"name": name, "endpoint_type": "llm/v1/chat", "destinations": [{"model": model}] * 3}

    def routes(*arguments: str, text: str | None = None) -> str:
        command = ("routes", "--uri", gateway.url, *arguments)
        done = run_command(*command, env={"GATEWAY_API_KEY": ADMIN}, text=text)
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        return done.stdout

    shown = routes("create", "-", text=yaml.safe_dump(several))
    (listed,) = [each for each in json.loads(routes("--json")) if each["name"] == name]
    exported = routes("export", name)

    assert "gpt-mock +2" in shown
    assert [each["name"] for each in listed["destinations"]] == ["gpt-mock"] * 3
    file = tmp_path / "exported.yaml"
    file.write_text(exported)
    variables = dict.fromkeys(found_variables(yaml.safe_load(exported)), "some-key")
    assert len(variables) == 3
    checked = run_command("check", str(file), env=variables)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr


def test_of_several_routes_those_that_were_made_are_told_though_the_next_is_refused(
    admin: httpx.Client, name: str, gateway: Server
) -> None:
    """Whoever tries again knows which to leave out."""
    command = ("routes", "--uri", gateway.url, "create", "-", "--json")
    text = json.dumps({"endpoints": [chat(name), chat(name)]})

    done = run_command(*command, env={"GATEWAY_API_KEY": ADMIN}, text=text)

    assert done.returncode == 1
    assert f"there is a route {name!r}" in done.stderr
    assert [route["name"] for route in json.loads(done.stdout)] == [name]


def test_limits_are_set_and_told_on_the_command_line(admin: httpx.Client, name: str, gateway: Server) -> None:
    """In words, and as JSON."""
    made(admin.post(ROUTES, json=chat(name)))

    def limits(*arguments: str) -> str:
        done = run_command("limits", *arguments, "--uri", gateway.url, env={"GATEWAY_API_KEY": ADMIN})
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = limits("set", name, "100/minute", "10/hour/user", "50000tokens/day")
    told = json.loads(limits("get", name, "--json"))

    assert all(word in said for word in ("100 calls", "for each caller", "50000 tokens"))
    assert told == made(admin.get(LIMITS + name))
    assert [limit["renewal_period"] for limit in told["limits"]] == ["minute", "hour", "day"]
    assert limits("reset", name) == "no limits\n"


@pytest.mark.parametrize(
    ("arguments", "text", "code", "said"),
    [
        (("routes", "create", "-"), "[", 2, "neither YAML nor JSON"),
        (("routes", "create", "-"), '{"name": "x", "model": {"provider": "offline"}}', 1, "route_type"),
        (("routes", "delete", "filed"), None, 1, "configuration file"),
        (("limits", "set", "filed", "ten/minute"), None, 2, "is no limit"),
    ],
)
def test_errors_of_the_command_line(
    gateway: Server, arguments: tuple[str, ...], text: str | None, code: int, said: str
) -> None:
    """A sentence, and an exit code: 2 for what is wrong where it is written, 1 for what the gateway refuses."""
    settings = {"GATEWAY_API_KEY": ADMIN, "MLFLOW_GATEWAY_URI": gateway.url}

    done = run_command(*arguments, env=settings, text=text)

    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert ADMIN not in done.stderr
