"""Who gets in: keys in every header and dialect, what each may do, and what is allowed without one."""

import asyncio
import hashlib
import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from gateway_async.config import GatewayConfig
from gateway_async.errors import ConfigError
from gateway_async.stores import open_store
from gateway_async.stores.base import AuditEntry
from gateway_async.stores.generation import Generation
from gateway_async.stores.places import beside
from gateway_server.middleware.auth import Unkeyed
from gateway_server.opening import settle
from tests.stores.servers import Postgres
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, offline
from tests.support.server import Server, run_command, running, wait_until

KEYS = "/api/2.0/gateway/keys/"
ROUTES = "/api/2.0/gateway/routes/"
EMBED = {"input": "Hello"}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/gateway/chat/invocations", HELLO),
    ("/endpoints/chat/invocations", HELLO),
    ("/v1/chat/completions", {**HELLO, "model": "chat"}),
    ("/v1/embeddings", {**EMBED, "model": "embeddings"}),
]
CONFIG = {
    "endpoints": [offline("chat", "chat"), offline("other", "chat"), offline("embeddings", "embeddings")],
    "keys": [{"name": "ci", "key": "configured-canary-01234", "routes": ["chat"]}],
}


def as_(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error in an answer, in either dialect."""
    body: dict[str, Any] = answer.json()
    return dict(body.get("error", body))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway of two workers with keys. When all is done, none of its keys is in its log."""
    with running(tmp_path_factory.mktemp("guarded"), CONFIG, workers=2) as server:
        yield server
    assert "gwk_" not in server.log
    assert "canary" not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


@pytest.fixture(scope="module")
def admin(guarded: Server) -> dict[str, str]:
    """The header of the first admin, whose key is where the greeting says."""
    return as_(Path(guarded.greeting["admin_key_file"]).read_text().strip())


@pytest.fixture(scope="module")
def http(guarded: Server) -> Iterator[httpx.Client]:
    """A client without a key."""
    with guarded.client() as client:
        yield client


@pytest.fixture(scope="module")
def app_key(http: httpx.Client, admin: dict[str, str]) -> str:
    """A caller's key to all routes."""
    return made(http, admin, name="app")


def made(http: httpx.Client, admin: dict[str, str], **wanted: Any) -> str:
    """A new key."""
    answer = http.post(KEYS, json=wanted, headers=admin)
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["api_key"]
    return key


# --- the first key ----------------------------------------------------------------------------------------------


def test_the_first_admin_s_key_is_in_a_file_for_its_owner_only(guarded: Server) -> None:
    """The greeting says where; nobody else can read it, and the store holds its hash alone."""
    path = Path(guarded.greeting["admin_key_file"])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text().strip()
    assert key.startswith("gwk_")
    for file in path.parent.iterdir():
        assert file == path or key.encode() not in file.read_bytes(), file


class Start:
    """A start of a gateway up to where it would listen; again and again on one store."""

    def __init__(self, folder: Path, name: str = "gateway.db") -> None:
        self.address = f"sqlite:///{folder / name}"

    async def __call__(self, host: str = "127.0.0.1") -> Path | None:
        """Where the first admin's key is."""
        config = GatewayConfig.model_validate({"endpoints": []})
        return (await settle(config, self.address, host, welcome=False)).admin_key_file

    async def names(self) -> dict[str, bytes]:
        """The keys in the store, and their hashes."""
        store = open_store(self.address)
        found = {key.name: key.digest for key in await store.keys.all()}
        await store.aclose()
        return found

    async def revoke(self, name: str) -> None:
        """Revoke a key."""
        store = open_store(self.address)
        await store.keys.revoke(name, 1.0, AuditEntry(action="key.revoke", target=name, actor="a test"))
        await store.aclose()


async def test_a_restart_makes_no_second_admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the first start stays; where the operator has one, none is made."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    start = Start(tmp_path)
    path = await start()
    assert path is not None
    key = path.read_text()

    assert await start() == path
    assert path.read_text() == key
    assert list(await start.names()) == ["admin"]

    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN)
    (tmp_path / "other").mkdir()
    other = Start(tmp_path / "other")
    assert await other() is None
    assert await other.names() == {}


async def test_a_name_of_the_file_and_of_the_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a start until the one in the store is revoked; the first admin's key takes none of the file."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    start = Start(tmp_path)
    await start()
    key = {"name": "admin", "key": "the-key-of-the-file-0123"}
    config = GatewayConfig.model_validate({"endpoints": [], "keys": [key]})
    with pytest.raises(ConfigError, match="'admin' is in the configuration and in the store"):
        await settle(config, start.address, "127.0.0.1", welcome=False)

    await start.revoke("admin")
    await settle(config, start.address, "127.0.0.1", welcome=False)
    assert set(await start.names()) == {"admin", "admin-2"}


async def test_gateways_that_start_at_once_make_one_admin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all say where its key is."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    start = Start(tmp_path)
    paths = await asyncio.gather(*(start() for _ in range(5)))

    assert len(set(paths)) == 1
    assert paths[0] is not None
    key = paths[0].read_bytes().strip()
    assert await start.names() == {"admin": hashlib.sha256(key).digest()}


async def test_who_lost_every_admin_s_key_gets_another_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name and in a file of its own: what is there is never overwritten."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    folder = tmp_path / "a[1]"
    folder.mkdir()
    start = Start(folder, "gateway[1].db")
    first = await start()
    assert first is not None
    before = first.read_text()
    await start.revoke("admin")

    second = await start()

    assert second is not None
    assert second != first
    assert first.read_text() == before
    assert set(await start.names()) == {"admin", "admin-2"}
    assert await start() == second


async def test_a_file_in_the_way_of_the_first_key_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left as it is."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    there = tmp_path / "gateway.db-admin-key"
    there.write_text("notes of mine")

    with pytest.raises(ConfigError, match="in the way"):
        await Start(tmp_path)()
    assert there.read_text() == "notes of mine"


# --- keys in every header and dialect ---------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize(("path", "body"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_key_opens_from_every_header(
    http: httpx.Client, app_key: str, path: str, body: dict[str, Any], header: str
) -> None:
    """Whichever the client's dialect uses, in every dialect."""
    value = f"Bearer {app_key}" if header == "Authorization" else app_key

    assert http.post(path, json=body, headers={header: value}).status_code == 200


@pytest.mark.parametrize("header", [None, "Authorization", "x-api-key", "api-key"])
@pytest.mark.parametrize(("path", "body"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_without_a_good_key_a_call_is_refused_in_the_caller_s_dialect(
    http: httpx.Client, app_key: str, path: str, body: dict[str, Any], header: str | None
) -> None:
    """401 with the way out, and never the key."""
    wrong = "gwk_" + "A" * 49
    value = f"bearer {wrong}" if header == "Authorization" else wrong
    answer = http.post(path, json=body, headers={} if header is None else {header: value})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" in answer.headers
    error = error_of(answer)
    assert "gateway keys create" in error["message"]
    assert wrong not in answer.text
    if path.startswith("/v1/"):
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    else:
        assert error["error_code"] == "UNAUTHENTICATED"
    if header is not None:
        assert header in error["message"]


def test_what_a_load_balancer_and_a_person_open_first_needs_no_key(http: httpx.Client, app_key: str) -> None:
    """Health and the documentation; but not the routes."""
    for path in ("/health", "/docs", "/openapi.json"):
        assert http.get(path).status_code == 200
    for path in (ROUTES, "/v1/models", ROUTES + "chat", "/nothing", KEYS):
        assert http.get(path).status_code == 401, path


def test_a_refusal_comes_before_the_body(guarded: Server, app_key: str) -> None:
    """Nobody without a key makes the gateway read."""
    with guarded.connect() as connection:
        connection.sendall(
            b"POST /gateway/chat/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9999\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")


def test_openai_s_own_client_is_let_in_and_refused(guarded: Server, app_key: str) -> None:
    """With the error of its own that it raises for a wrong key, a wrong role or a wrong route."""
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=app_key, max_retries=0) as client:
        answer = client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hi"}])
        assert answer.choices[0].message.content == "You said: Hi"
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"
    with openai.OpenAI(
        base_url=f"{guarded.url}/v1", api_key="configured-canary-01234", max_retries=0
    ) as client:
        assert [model.id for model in client.models.list()] == ["chat"]
        with pytest.raises(openai.PermissionDeniedError, match="it is for chat"):
            client.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hi"}])


def test_azure_s_client_sends_its_key_in_a_header_of_its_own(guarded: Server, app_key: str) -> None:
    """`api-key`, which is let in: what it asks for is somewhere else."""
    settings = {"azure_endpoint": guarded.url, "api_version": "2024-10-21", "max_retries": 0}
    with openai.AzureOpenAI(api_key=app_key, **settings) as client, pytest.raises(openai.NotFoundError):  # type: ignore[call-overload] # a mapping
        client.models.list()


def test_anthropic_s_client_sends_its_key_in_a_header_of_its_own(guarded: Server, app_key: str) -> None:
    """`x-api-key`: a good one comes as far as the routes, a wrong one is refused."""
    for key, expected in ((app_key, anthropic.NotFoundError), ("none", anthropic.AuthenticationError)):
        client = anthropic.Anthropic(base_url=guarded.url, api_key=key, max_retries=0)
        with client, pytest.raises(expected):
            client.messages.create(model="chat", max_tokens=5, messages=[{"role": "user", "content": "Hi"}])


# --- what a key may -----------------------------------------------------------------------------------------------


def test_a_key_bound_to_routes_calls_and_sees_only_these(http: httpx.Client, admin: dict[str, str]) -> None:
    """403 with their names, in calls and in what it reads of others; lists show its own."""
    bound = as_(made(http, admin, name="bound", routes=["chat", "later"]))

    assert http.post("/gateway/chat/invocations", json=HELLO, headers=bound).status_code == 200
    for answer in (
        http.post("/gateway/other/invocations", json=HELLO, headers=bound),
        http.post("/endpoints/other/invocations", json=HELLO, headers=bound),
        http.post("/v1/chat/completions", json={**HELLO, "model": "other"}, headers=bound),
        http.get(ROUTES + "other", headers=bound),
        http.get("/api/2.0/endpoints/other", headers=bound),
        http.get("/v1/models/other", headers=bound),
        http.get("/api/2.0/gateway/limits/other", headers=bound),
    ):
        assert answer.status_code == 403, answer.request.url
        assert "'bound' is not for the route 'other'; it is for chat, later" in error_of(answer)["message"]
    assert [route["name"] for route in http.get(ROUTES, headers=bound).json()["routes"]] == ["chat"]
    assert [model["id"] for model in http.get("/v1/models", headers=bound).json()["data"]] == ["chat"]


CHANGES = [
    ("POST", ROUTES),
    ("PATCH", ROUTES + "chat"),
    ("DELETE", ROUTES + "chat"),
    ("POST", "/api/2.0/endpoints/"),
    ("DELETE", "/api/2.0/endpoints/chat"),
    ("POST", "/api/2.0/gateway/limits/"),
    ("DELETE", "/api/2.0/gateway/limits/chat"),
    ("POST", "/api/2.0/endpoints/limits/"),
    ("POST", KEYS),
    ("GET", KEYS),
    ("DELETE", KEYS + "app"),
    ("POST", KEYS + "app/rotate"),
    ("POST", "/api/3.0/whatever/comes"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_changes_are_for_admins(http: httpx.Client, app_key: str, method: str, path: str) -> None:
    """401 without a key or with a wrong one, 403 with a caller's; before anybody looks at the body."""
    without = http.request(method, path, content=b"{")
    wrong = http.request(method, path, content=b"{", headers=as_("x" * 20))
    caller = http.request(method, path, content=b"{", headers=as_(app_key))

    assert (without.status_code, wrong.status_code, caller.status_code) == (401, 401, 403)
    assert "an admin's key" in error_of(without)["message"]
    assert "'app' is a caller's" in error_of(caller)["message"]


def changes_are_refused(http: httpx.Client) -> None:
    """Every change without a key is, and an admin's is heard."""
    for method, path in CHANGES:
        assert http.request(method, path).status_code == 401, (method, path)
    assert http.get(KEYS, headers=AS_ADMIN).status_code == 200


# --- the API of keys ----------------------------------------------------------------------------------------------


def test_a_key_is_shown_once(http: httpx.Client, admin: dict[str, str]) -> None:
    """When it is made; what is listed of it lets its owner recognise it, and nobody use it."""
    body = {"name": "once", "role": "caller", "routes": ["chat"], "expires_in": "90d"}
    answer = http.post(KEYS, json=body, headers=admin)
    key = answer.json()["api_key"]

    assert answer.headers["cache-control"] == "no-store"
    listed = http.get(KEYS, headers=admin)
    mine = next(each for each in listed.json()["keys"] if each["name"] == "once")
    assert key not in listed.text
    assert mine["hint"] == key[:8]
    assert (mine["role"], mine["routes"], mine["revoked"], mine["source"]) == (
        "caller",
        ["chat"],
        None,
        "store",
    )
    assert mine["created"] < mine["expires"]
    assert {each["source"] for each in listed.json()["keys"]} == {"file", "store"}


def test_a_revoked_key_is_refused_at_once_by_every_worker(
    http: httpx.Client, guarded: Server, admin: dict[str, str]
) -> None:
    """Also by those that have seen it before; its name stays taken."""
    key = as_(made(http, admin, name="leaver"))
    assert {asked(guarded, key) for _ in range(20)} == {200}

    assert http.delete(KEYS + "leaver", headers=admin).json()["revoked"]

    assert {asked(guarded, key) for _ in range(20)} == {401}
    assert "'leaver' was revoked" in http.get("/v1/models", headers=key).text
    assert http.post(KEYS, json={"name": "leaver"}, headers=admin).status_code == 409


def asked(server: Server, headers: dict[str, str]) -> int:
    """The status of a request on a connection of its own, which any worker may get."""
    with server.client() as http:
        return http.get("/v1/models", headers=headers).status_code


def test_after_a_rotation_the_old_key_opens_for_as_long_as_was_said(
    http: httpx.Client, guarded: Server, admin: dict[str, str]
) -> None:
    """A day if nobody says; not at all with `0s`."""
    first = made(http, admin, name="turning")
    second = http.post(KEYS + "turning/rotate", headers=admin).json()["api_key"]
    assert {asked(guarded, as_(key)) for key in (first, second) * 5} == {200}

    third = http.post(KEYS + "turning/rotate", json={"grace": "0s"}, headers=admin).json()["api_key"]
    assert {asked(guarded, as_(third)) for _ in range(10)} == {200}
    assert {asked(guarded, as_(key)) for key in (first, second) * 5} == {401}


def test_a_key_ends_when_it_expires(http: httpx.Client, admin: dict[str, str]) -> None:
    """By itself."""
    key = as_(made(http, admin, name="short", expires_in="2s"))
    assert http.get("/v1/models", headers=key).status_code == 200

    wait_until(lambda: http.get("/v1/models", headers=key).status_code == 401, 30, "it goes on")
    assert "'short' has expired" in http.get("/v1/models", headers=key).text


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "letters"),
        ({"name": "a b"}, "name", "letters"),
        ({"name": "nobody"}, "name", "audit log"),
        ({"name": "x", "role": "boss"}, "role", "admin"),
        ({"name": "x", "routes": []}, "routes", "leave routes out"),
        ({"name": "x", "routes": ["a/b"]}, "routes", "letters"),
        ({"name": "x", "routes": "chat"}, "routes", "list"),
        ({"name": "x", "role": "admin", "routes": ["chat"]}, "routes", "leave it out"),
        ({"name": "x", "expires_in": "soon"}, "expires_in", "90d"),
        ({"name": "x", "expires_in": "0d"}, "expires_in", "opens nothing"),
        ({"name": "x", "expires_in": "99999999w"}, "expires_in", "century"),
        ({"name": "x", "expires": "2001-01-01T00:00:00Z"}, "expires", "future"),
        ({"name": "x", "expires": "2031-01-01T00:00:00"}, "expires", "timezone"),
        ({"name": "x", "expires": "2031-01-01T00:00:00Z", "expires_in": "1d"}, "expires", "the same"),
        ({"name": "x", "api_key": "mine"}, "api_key", "not permitted"),
    ],
)
def test_what_is_no_key_is_refused_with_the_field(
    http: httpx.Client, admin: dict[str, str], body: dict[str, Any], field: str, said: str
) -> None:
    """422 that lists it, and says what would be right."""
    answer = http.post(KEYS, json=body, headers=admin)

    assert answer.status_code == 422
    problem = answer.json()["detail"][0]
    assert problem["loc"][:2] == ["body", field]
    assert said in problem["msg"]


def test_keys_of_the_file_are_changed_there(http: httpx.Client, admin: dict[str, str]) -> None:
    """409 that says so; their names are taken."""
    for answer in (
        http.delete(KEYS + "ci", headers=admin),
        http.post(KEYS + "ci/rotate", headers=admin),
        http.post(KEYS, json={"name": "ci"}, headers=admin),
    ):
        assert answer.status_code == 409
    assert "configuration file" in http.delete(KEYS + "ci", headers=admin).text
    assert http.delete(KEYS + "never-made", headers=admin).status_code == 404


def test_the_last_admin_stays(http: httpx.Client, admin: dict[str, str]) -> None:
    """Or nobody could change anything; a second may go."""
    assert "last key of an admin" in http.delete(KEYS + "admin", headers=admin).text

    second = as_(made(http, admin, name="second", role="admin"))
    assert http.delete(KEYS + "second", headers=second).status_code == 200
    assert http.delete(KEYS + "admin", headers=admin).status_code == 409


# --- without keys -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway on loopback without keys for callers."""
    with running(tmp_path_factory.mktemp("open"), env={"GATEWAY_ADMIN_KEY": ADMIN}) as server:
        yield server


def test_without_keys_this_machine_s_programs_are_served(open_gateway: Server) -> None:
    """Without a key, or with one that means nothing, as OpenAI's clients send it."""
    with open_gateway.client() as http:
        for headers in ({}, as_("none"), as_("gwk_" + "A" * 49), {"x-api-key": ""}, AS_ADMIN):
            answer = http.post("/gateway/chat/invocations", json=HELLO, headers=headers)
            assert answer.status_code == 200, headers
        changes_are_refused(http)


STRANGERS: list[dict[str, str]] = [
    {"Host": "evil.example"},
    {"Host": "evil.example:5000"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "evil-localhost"},
    {"Host": "localhost@evil.example"},
    {"Host": "[::1].evil.example"},
    {"Host": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://evil.example#localhost"},
    {"Origin": "http://192.168.1.7"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_web_pages_are_strangers(open_gateway: Server, headers: dict[str, str]) -> None:
    """A page in this machine's browser may send requests here, and its name may lead here: 403, unless it has a key."""
    with open_gateway.client() as http:
        refused = http.post("/gateway/chat/invocations", json=HELLO, headers=headers)
        assert refused.status_code == 403
        assert "--allow-unauthenticated" in refused.json()["message"]
        answer = http.post("/gateway/chat/invocations", json=HELLO, headers={**headers, **AS_ADMIN})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "LOCALHOST:5000"},
        {"Host": "gateway.localhost:5000"},
        {"Host": "[::1]:5000"},
        {"Host": "10.0.0.1"},
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:5000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://[::1]"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_this_machine_s_own_pages_are_not(open_gateway: Server, headers: dict[str, str]) -> None:
    """The documentation's page, an application under development, an address typed in."""
    with open_gateway.client() as http:
        assert http.post("/gateway/chat/invocations", json=HELLO, headers=headers).status_code == 200


def test_a_key_made_for_callers_closes_the_gateway(tmp_path: Path) -> None:
    """At once, from the command line too; revoking it does not open it again."""
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path, None, env=env, workers=2) as server:
        assert {asked(server, {}) for _ in range(10)} == {200}
        assert run_command("keys", "create", "--name", "boss", "--role", "admin", env=env).returncode == 0
        assert {asked(server, {}) for _ in range(10)} == {200}

        created = run_command("keys", "create", "--name", "app", env=env)
        key = as_(created.stdout.strip())
        assert {asked(server, {}) for _ in range(10)} == {401}
        assert {asked(server, key) for _ in range(10)} == {200}

        assert run_command("keys", "revoke", "app", env=env).returncode == 0
        assert {asked(server, {}) for _ in range(10)} == {401}
        assert {asked(server, key) for _ in range(10)} == {401}


# --- where it listens ---------------------------------------------------------------------------------------------


def test_an_address_that_others_reach_needs_a_key(tmp_path: Path) -> None:
    """The error says both ways out, and nothing listens."""
    done = run_command("start", "--host", "0.0.0.0", "--port", "0", "--json")

    assert done.returncode == 1
    assert done.stdout == ""
    for word in ("'0.0.0.0'", "gateway keys create", "--allow-unauthenticated"):
        assert word in done.stderr


async def test_a_key_anywhere_or_the_operator_s_word_opens_an_address_that_others_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the file, the environment or the store; or the setting."""
    monkeypatch.delenv("GATEWAY_ADMIN_KEY", raising=False)
    keys = [{"name": "ci", "key": "configured-canary-01234"}]
    for more in ({"keys": keys}, {"server": {"allow_unauthenticated": True}}):
        config = GatewayConfig.model_validate({"endpoints": [], **more})
        (folder := tmp_path / next(iter(more))).mkdir()
        opening = await settle(config, f"sqlite:///{folder / 'gateway.db'}", "::", welcome=False)
        assert opening.unkeyed is Unkeyed.REFUSED, "whom the setting welcomes, it may dismiss later"

    start = Start(tmp_path)
    with pytest.raises(ConfigError, match="no key yet"):
        await start("0.0.0.0")
    await start()
    assert await start("0.0.0.0") is not None, "the first admin's key is one"
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN)
    (tmp_path / "empty").mkdir()
    await Start(tmp_path / "empty")("gateway.example")


@pytest.mark.parametrize("welcome", [True, False])
def test_on_an_address_that_others_reach_calls_need_a_key_unless_the_operator_says_otherwise(
    tmp_path: Path, welcome: bool
) -> None:
    """Also where only an admin has one; and changes always do."""
    config = {"endpoints": [offline("chat", "chat")]}
    options = ["--allow-unauthenticated"] if welcome else []
    env = {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path, config, "--host", "0.0.0.0", *options, env=env) as server, server.client() as http:
        assert http.get("/v1/models").status_code == (200 if welcome else 401)
        assert http.get("/v1/models", headers={"Host": "x.example"}).is_success == welcome
        assert http.get("/v1/models", headers=AS_ADMIN).status_code == 200
        changes_are_refused(http)


def test_an_admin_s_key_that_can_be_guessed_stops_the_start() -> None:
    """The error does not repeat it."""
    done = run_command("start", "--port", "0", env={"GATEWAY_ADMIN_KEY": "hunter2"})

    assert done.returncode == 1
    assert "GATEWAY_ADMIN_KEY" in done.stderr
    assert "hunter2" not in done.stderr


# --- when the store is gone ---------------------------------------------------------------------------------------


def test_keys_outlive_their_store(tmp_path: Path) -> None:
    """A SQLite file that is no database any more: who was in stays in, a stranger is told to come back, none gets 401."""
    store = tmp_path / "gateway.db"
    env = {"GATEWAY_STORE": f"sqlite:///{store}", "GATEWAY_ADMIN_KEY": ADMIN}
    config = {"endpoints": [offline("chat", "chat")]}
    with running(tmp_path, config, env=env) as server, server.client() as http:
        seen, unseen = (made(http, AS_ADMIN, name=name) for name in ("seen", "unseen"))
        assert http.get("/v1/models", headers=as_(seen)).status_code == 200
        for file in tmp_path.glob("gateway.db*"):
            if file.name in ("gateway.db", "gateway.db-wal", "gateway.db-shm"):
                with file.open("r+b") as broken:
                    broken.write(os.urandom(file.stat().st_size))
        _somebody_changes(store)

        for _ in range(5):
            assert http.get("/v1/models", headers=as_(seen)).status_code == 200
            answer = http.get("/v1/models", headers=as_(unseen))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert error_of(answer)["code"] == "temporarily_unavailable"
        assert http.get("/v1/models", headers=AS_ADMIN).status_code == 200
        assert http.get("/v1/models").status_code == 401, "it is known to be closed"


def test_keys_outlive_a_database_server(tmp_path: Path, postgres: Postgres) -> None:
    """PostgreSQL that is paused, or gone: who was in stays in, a stranger is told to come back; until it answers again."""
    config = {"endpoints": [offline("chat", "chat")]}
    env = {"GATEWAY_STORE": postgres.new_address(), "GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path, config, env=env) as server, server.client() as http:
        seen, *unseen = (as_(made(http, AS_ADMIN, name=name)) for name in ("seen", "one", "two"))
        assert http.get("/v1/models", headers=seen).status_code == 200

        for stop, go_on, stranger in (
            (postgres.pause, postgres.resume, unseen[0]),
            (postgres.stop, postgres.start, unseen[1]),
        ):
            stop()
            try:
                for _ in range(3):
                    assert http.get("/v1/models", headers=seen).status_code == 200
                    assert http.get("/v1/models", headers=stranger).status_code == 503
            finally:  # other tests use it too
                go_on()
            wait_until(
                lambda key=stranger: http.get("/v1/models", headers=key).status_code == 200,  # type: ignore[misc] # its own
                30,
                "the key stays unknown",
            )


def _somebody_changes(store: Path) -> None:
    """What a process of this machine does after a change: the others ask the store again."""
    generation = Generation(beside(f"sqlite:///{store}", "-revision"))
    generation.bump()
    generation.close()


# --- the audit log ------------------------------------------------------------------------------------------------


def test_refusals_are_in_the_audit_log(tmp_path: Path) -> None:
    """Who, from where, what and why, the same within a moment as one line; at the latest when the gateway ends."""
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path, CONFIG, env=env) as server, server.client() as http:
        for _ in range(3):
            http.post("/gateway/chat/invocations", json=HELLO, headers=as_("wrong-canary"))
        http.delete(ROUTES + "chat", headers=as_("configured-canary-01234"))
        http.post(
            "/v1/chat/completions", json={**HELLO, "model": "other"}, headers=as_("configured-canary-01234")
        )
        http.post(KEYS, json={"name": "a b"}, headers=AS_ADMIN)
        http.post(KEYS, json={"name": "good"}, headers={**AS_ADMIN, "x-request-id": "the-good-one"})
        http.get("/gateway/nothing", headers=AS_ADMIN)
        server.signal(signal.SIGTERM)
        server.wait()
    told = run_command("audit", "--json", env=env)
    lines = json.loads(told.stdout)
    found = {(line["action"], line["target"], line["actor"], line["outcome"]) for line in lines}

    assert found == {
        ("call", "chat", "nobody", "refused"),
        ("route.delete", "chat", "ci", "refused"),
        ("call", "", "ci", "refused"),
        ("key.create", "", "GATEWAY_ADMIN_KEY", "refused"),
        ("key.create", "good", "GATEWAY_ADMIN_KEY", "done"),
    }
    assert sum(line["count"] for line in lines if line["actor"] == "nobody") == 3
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert next(line for line in lines if line["outcome"] == "done")["request_id"] == "the-good-one"
    assert "canary" not in told.stdout + server.log
    assert "refused route.delete chat by ci from 127.0.0.1" in server.log
    for line in run_command("audit", "--limit", "2", env=env).stdout.splitlines():
        assert " refused " in line or " done " in line
