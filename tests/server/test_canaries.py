"""No key shows: not in a log, an error, an answer, a dump or a file, whatever happens.

Every secret here has the same odd word in it. Whatever a gateway says or leaves behind is searched for that word, and for
the keys that it made itself: as they are, and as base64, hexadecimal digits or a part of an address.
"""

import asyncio
import json
import signal
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from gateway_async import GatewayError
from gateway_async.config_file import load_config
from gateway_async.keys.key import make_key
from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_server import create_app
from tests.stores.redis_server import RedisServer, redis_server
from tests.stores.servers import PASSWORD, Postgres, postgres_server
from tests.support.configs import HELLO, Json, offline
from tests.support.server import Server, run_command, running, write_config
from tests.support.upstream import CUT, MockUpstream, Reply, chat, delta, error, event, stream

ROUTES, KEYS, LIMITS = (f"/api/2.0/gateway/{kind}/" for kind in ("routes", "keys", "limits"))
ODD = "cAnArY9f3xQ"


def secret(name: str) -> str:
    """A secret that is found wherever it gets."""
    return f"sk-{name}-{ODD}"


ADMIN, CI, FROM_ENV, FROM_FILE = (secret(name) for name in ("admin", "ci", "variable", "file"))
IN_CONFIG, LOGIN, REDIS, TYPED = (
    secret(name) for name in ("configured", "login", "redis", "typed-in-the-wrong-place")
)
VAULT = f"{ODD}{'k' * (42 - len(ODD))}A="
"""A key of Fernet's: 32 bytes in base64."""

AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}


def disguises(text: str) -> Iterator[bytes]:
    """A text as it may stand among other bytes."""
    raw = text.encode()
    yield from {raw, quote(text, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode()}
    for shift in range(3):
        whole = b64encode(bytes(shift) + raw)
        core = whole[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        yield from {core, core.translate(bytes.maketrans(b"+/", b"-_"))}


@dataclass
class Witness:
    """What was said, and what must not be in it."""

    secrets: list[str] = field(default_factory=lambda: [ODD, PASSWORD])
    said: list[tuple[str, bytes]] = field(default_factory=list)

    def hears(self, where: str, what: str | bytes) -> None:
        """Keep something to be searched."""
        self.said.append((where, what.encode(errors="replace") if isinstance(what, str) else what))

    def answered(self, answer: httpx.Response) -> None:
        """Keep an answer. A key that it shows is shown this once, and is a secret from now on."""
        body = answer.read()
        if answer.request.url.path.startswith(KEYS) and b'"api_key"' in body:
            body = self.shown_once(json.loads(body)["api_key"], body)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.hears(
            f"{answer.request.method} {answer.request.url.path} {answer.status_code}", head.encode() + body
        )

    def shown_once(self, key: str, body: bytes) -> bytes:
        """What shows a new key, without it."""
        self.secrets.append(key)
        assert body.count(key.encode()) == 1
        return body.replace(key.encode(), b"")

    def read(self, paths: Iterable[Path]) -> None:
        """Keep what is in files, byte by byte."""
        for path in paths:
            if path.is_file():
                self.hears(str(path), path.read_bytes())

    def found(self) -> list[str]:
        """Where there is a secret, and what stands around it."""
        needles = [needle for each in self.secrets for needle in disguises(each)]
        return [
            f"{where}: {what[max(at - 150, 0) : at + 50]!r}"
            for where, what in self.said
            for needle in needles
            if (at := what.find(needle)) >= 0
        ]

    def client(self, server: Server, **headers: str) -> httpx.Client:
        """A client whose answers are all kept."""
        return server.client(headers=headers, event_hooks={"response": [self.answered]})


def config_of(url: str, store: str, counters: str, key_file: Path) -> Json:
    """A configuration with a secret wherever there can be one."""

    def openai(name: str, key: str, base: str = "/v1", **more: Any) -> Json:
        config = {"openai_api_key": key, "openai_api_base": base if "://" in base else url + base}
        return {
            "name": name,
            "endpoint_type": "llm/v1/chat",
            "model": {"provider": "openai", "name": "m", "config": config},
            **more,
        }

    login = {"hf_server_url": url.replace("//", f"//somebody:{LOGIN}@")}
    return {
        "store": store,
        "counters": counters,
        "upstream": {"allow_networks": ["127.0.0.1"]},
        "keys": [{"name": "ci", "key": CI}, {"name": "ci-2", "key": "$CANARY_VARIABLE"}],
        "server": {"max_body_mb": 0.05},
        "endpoints": [
            openai("in-config", IN_CONFIG),
            openai("from-variable", "$CANARY_VARIABLE"),
            openai("from-file", str(key_file)),
            openai("crash", IN_CONFIG, "/crash/v1"),
            openai("nowhere", IN_CONFIG, "http://127.0.0.1:9/v1"),
            {"name": "in-destinations", "endpoint_type": "llm/v1/chat", "destinations": [{"model": openai("", IN_CONFIG)["model"], "weight": weight} for weight in (1, 2)]},
            {"name": "login", "endpoint_type": "llm/v1/completions", "model": {"provider": "huggingface-text-generation-inference", "name": "m", "config": login}},
            {**offline("limited", "chat"), "limit": {"calls": 2, "renewal_period": "hour"}, "on_store_failure": "deny"},
        ],
    }  # fmt: skip


def settings_of(provider: str, url: str) -> Json:
    """A provider's settings, a secret in every one that takes a secret."""
    fields = PROVIDER_CONFIGS[provider].model_fields
    config: Json = {
        name: secret(f"{provider}-{name}") for name in fields if name.endswith(("_key", "_token"))
    }
    config |= {
        name: url.replace("//", f"//me:{LOGIN}@") for name in fields if name.endswith(("_base", "_url"))
    }
    if "aws_config" in fields:
        pair = {
            name: secret(f"{provider}-{name}")
            for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        }
        config["aws_config"] = {**pair, "aws_region": "us-east-1"}
    return config


OPEN = sorted(PROVIDER_CONFIGS.keys() - {"databricks", "databricks-model-serving", "offline", "azure"})


def routes_are_made(http: httpx.Client, url: str) -> None:
    """By every provider, right and wrong; told, changed, exported, called and deleted."""
    for provider in OPEN:
        config = settings_of(provider, url)
        kind = "completions" if provider in ("ai21labs", "mosaicml", "palm") else "chat"
        model: Json = {"provider": provider, "name": "j2-ultra", "config": config}
        body = {"name": provider, "route_type": f"llm/v1/{kind}", "model": model}
        made = http.post(ROUTES, json=body)
        assert made.status_code == 200 or provider in ("bedrock", "amazon-bedrock"), made.text
        http.get(ROUTES + provider)
        http.get(f"/api/2.0/endpoints/{provider}/export")
        http.get(f"/v1/models/{provider}")
        http.patch(ROUTES + provider, json={"model": {"name": "j2-mid"}})
        http.patch(ROUTES + provider, json={"model": {"config": {**config, "api_kee": TYPED}}})
        http.patch(ROUTES + provider, json={"model": {"config": dict.fromkeys(config, 7)}})
        for wrong in (
            {**body, "model": {**model, "config": TYPED}},
            {**body, "limit": TYPED},
            {**body, "endpoint_type": [TYPED]},
        ):
            assert 400 <= http.post(ROUTES, json={**wrong, "name": "wrong"}).status_code < 500
        for name, value in config.items():
            if isinstance(value, str):
                bent = {**config, name: f"{value}\r\nx: {TYPED}"}
                assert (
                    http.post(
                        ROUTES, json={**body, "name": "wrong", "model": {**model, "config": bent}}
                    ).status_code
                    == 422
                )
                assert (
                    http.post(
                        ROUTES,
                        json={
                            **body,
                            "name": "wrong",
                            "model": {**model, "config": {**config, name: [value]}},
                        },
                    ).status_code
                    == 422
                )
        assert http.post(ROUTES, json=body).status_code in (409, 422)
        http.post(f"/gateway/{provider}/invocations", json=HELLO if kind == "chat" else {"prompt": "Hello"})
    several_are_made(http, url)
    http.get(ROUTES)
    http.delete(ROUTES + "mistral")


def several_are_made(http: httpx.Client, url: str) -> None:
    """A route with a secret in each of its destinations, right and wrong; told, changed, exported and called."""
    models: list[Json] = [
        {"provider": provider, "name": "m", "config": settings_of(provider, url)}
        for provider in ("openai", "anthropic", "cohere", "vertex-ai")
    ]
    body = {
        "name": "several",
        "route_type": "llm/v1/chat",
        "destinations": [{"model": model} for model in models],
    }
    assert http.post(ROUTES, json=body).status_code == 200
    for path in (ROUTES + "several", ROUTES + "several/export", "/api/2.0/endpoints/several"):
        assert http.get(path).status_code == 200
    for wrong in (
        {"destinations": TYPED},
        {"destinations": [TYPED]},
        {"destinations": [{"model": TYPED}]},
        {"destinations": [{"model": {**models[0], "config": TYPED}}]},
        {"destinations": [{"model": {**models[0], "config": {**models[0]["config"], "more": TYPED}}}]},
        {"destinations": [{"model": models[0]}, {"model": models[1], "weight": TYPED}]},
        {"destinations": [{"model": models[0]}] * 33},
        {"destinations": [{"model": models[0]}], "model": models[1]},
        {"model": {"name": TYPED}},
        {"balance": TYPED},
        {"retry": {"attempts": TYPED}},
    ):
        assert http.patch(ROUTES + "several", json=wrong).status_code == 422
        assert http.post(ROUTES, json={**body, **wrong, "name": "wrong"}).status_code == 422
    assert (
        http.patch(ROUTES + "several", json={"destinations": body["destinations"][::-1]}).status_code == 200
    )
    http.post("/gateway/several/invocations", json=HELLO)
    assert http.patch(ROUTES + "several", json={"model": models[0]}).status_code == 200
    assert http.patch(ROUTES + "several", json={"destinations": body["destinations"]}).status_code == 200


def keys_are_made(http: httpx.Client) -> None:
    """Rotated, revoked and listed; and wanted wrongly."""
    for name in ("one", "two", "three"):
        assert http.post(KEYS, json={"name": name}).status_code == 200
    assert http.post(KEYS + "two/rotate").status_code == 200
    assert http.delete(KEYS + "three").status_code == 200
    http.get(KEYS)
    for wrong in (
        {"name": "one"},
        {"name": TYPED * 9},
        {"name": "x", "key": TYPED},
        {"name": "x", "expires": TYPED},
        {"name": "x", "routes": [TYPED + "/"]},
    ):
        assert 400 <= http.post(KEYS, json=wrong).status_code < 500
    http.post(KEYS + "one/rotate", json={"grace": TYPED})
    http.post(LIMITS, json={"route": "limited", "limits": TYPED})
    http.post(
        LIMITS, json={"route": "limited", "limits": [{"calls": TYPED, "renewal_period": TYPED, "key": TYPED}]}
    )


def doors_are_tried(witness: Witness, server: Server) -> None:
    """With right keys in wrong places, wrong ones in right places, bodies that are none."""
    half = ADMIN[:-1]
    with witness.client(server) as http:
        for key in (CI, FROM_ENV, ADMIN, half, make_key() + ODD, "gwk_" + ODD):
            for headers in (
                {"Authorization": f"Bearer {key}"},
                {"x-api-key": key},
                {"api-key": key},
                {"Authorization": key},
                {"x-request-id": "x"},
            ):
                http.get(ROUTES, headers=headers)
                http.post("/v1/chat/completions", json={**HELLO, "model": "limited"}, headers=headers)
                http.request("PUT", KEYS, headers=headers)
    with witness.client(server, **AS_ADMIN) as http:
        for path in (
            "/",
            "/docs",
            "/openapi.json",
            "/health",
            "/nothing",
            "/v1/models",
            LIMITS + "limited",
            "/v1/models/nothing",
        ):
            http.get(path)
        for path in (
            "/gateway/in-config/invocations",
            "/endpoints/in-config/invocations",
            "/v1/chat/completions",
            "/v1/embeddings",
            ROUTES,
            KEYS,
        ):
            for body in (
                b"",
                b"{",
                b"[]",
                b'{"messages": 7}',
                json.dumps(
                    {"messages": [{"role": TYPED, "content": [TYPED]}], "temperature": TYPED}
                ).encode(),
                b"a" * 60_000,
            ):
                http.post(path, content=body)


ECHOED = {
    "in-config": IN_CONFIG,
    "in-destinations": IN_CONFIG,
    "from-variable": FROM_ENV,
    "from-file": FROM_FILE,
    "login": LOGIN,
}


def upstreams_tell(http: httpx.Client, upstream: MockUpstream) -> None:
    """Providers that say our key back: in errors of every form, whole and in streams, and that break off."""
    for route, key in ECHOED.items():
        pair = b64encode(f"somebody:{LOGIN}".encode()).decode() if route == "login" else key
        plain = Reply(f"no access for {key}".encode(), 403, "text/plain")
        replies = [
            error(status, f"wrong key: {key} ({pair})", retry_after="1")
            for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)
        ]
        replies += [
            plain,
            Reply(b'{"detail": [{"msg": "' + key.encode() + b'"}]}', 500),
            Reply(key.encode()),
            Reply(status=302, headers={"location": f"http://{key}/"}),
        ]
        replies += [
            stream(delta("a"), event({"error": {"message": f"key {key}", "code": 401}})),
            stream(event({"error": {"message": key}})),
            stream(delta("a"), CUT),
            stream(b"data: " + key.encode() + b"\n\n"),
        ]
        body: Json = HELLO if route != "login" else {"prompt": "Hello"}
        for reply in replies:
            upstream.reply(reply)
            http.post(f"/gateway/{route}/invocations", json=body)
            http.post(f"/gateway/{route}/invocations", json={**body, "stream": True})
    upstream.reply(chat())
    assert http.post("/gateway/in-config/invocations", json=HELLO).status_code == 200
    assert http.post("/gateway/nowhere/invocations", json=HELLO).status_code >= 500
    # uvicorn closes the connection of a request that met a bug
    assert (
        http.post("/gateway/crash/invocations", json=HELLO, headers={"connection": "close"}).status_code
        == 500
    )


def counters_go_away(http: httpx.Client, redis: RedisServer) -> None:
    """And a limit that can't be counted closes its route."""
    assert {http.post("/gateway/limited/invocations", json=HELLO).status_code for _ in range(3)} <= {200, 429}
    redis.stop()
    assert http.post("/gateway/limited/invocations", json=HELLO).status_code == 503
    redis.start()


def bad_configurations(good: Json) -> list[str]:
    """Configurations with a secret where something is wrong."""
    route = good["endpoints"][0]

    def with_model(**model: Any) -> Json:
        return {**good, "endpoints": [{**route, "model": {**route["model"], **model}}]}

    settings = route["model"]["config"]
    bad: list[Any] = [
        *({**good, "store": f"mysql://a:{TYPED}@b/c"}, {**good, "store": f"postgresql://a:{TYPED}@[b/c"}, {**good, "store": {"address": TYPED}}),
        *({**good, "counters": f"reddis://:{TYPED}@b"}, {**good, "counters": [TYPED]}, {**good, "keys": TYPED}, {**good, "keys": [TYPED]}),
        *({**good, "keys": [{"name": "x", "key": [TYPED]}]}, {**good, "keys": [{"name": "x", "key": TYPED, "role": TYPED}]}),
        *({**good, "keys": [{"name": "x", "key": TYPED + "é"}]}, {**good, "keys": [{"name": "x", "key": TYPED}, {"name": "y", "key": TYPED}]}),
        *({**good, "keys": [{"name": TYPED + " ", "key": TYPED}]}, {**good, "upstream": {"allow_networks": [[TYPED]]}}),
        *(with_model(config=TYPED), with_model(config=[TYPED]), with_model(config={**settings, "openai_api_key": {"a": TYPED}})),
        *(with_model(config={**settings, "openai_api_key": TYPED + "\n\u00e9"}), with_model(config={**settings, "openai_api_base": f"htp://a:{TYPED}@b"})),
        *(with_model(config={**settings, "openai_api_type": [TYPED]}), with_model(config={**settings, "more": TYPED}), with_model(provider=[TYPED])),
        {**good, "endpoints": [{**route, "limit": TYPED}]},
        {**good, "endpoints": [{**route, "timeouts": {"total": TYPED}}]},
        *({**good, "endpoints": [{"name": "x", "endpoint_type": "llm/v1/chat", "destinations": wrong}]} for wrong in (TYPED, [TYPED], [{"model": TYPED}])),
        *({**good, "endpoints": [{**good["endpoints"][0], "destinations": [{"model": route["model"]}]}]}, {**good, "endpoints": [{"name": "x", "endpoint_type": "llm/v1/chat", "destinations": [{"model": route["model"], "weight": TYPED}]}]}),
        {**good, "endpoints": TYPED},
        TYPED,
        [TYPED],
    ]  # fmt: skip
    yaml = [
        f"endpoints:\n  - name: a\n    key: {TYPED}: {TYPED}\n",
        f"keys:\n - {{name: x, key: '{TYPED}\n",
        f"a: &{TYPED}\nb: *{TYPED}x",
        f"\t{TYPED}: 1",
        f"k: !!python/name:{TYPED} 1",
    ]
    return [*map(json.dumps, bad), *yaml]


def is_said_in_this_process(witness: Witness, file: Path, good: Json) -> None:
    """What objects say of themselves, and what is said of configurations that are wrong."""
    config = load_config(file)
    witness.hears("the configuration", f"{config!r} {config} {[vars(route) for route in config.routes]}")
    witness.hears(
        "its dump",
        f"{[route.model_dump() for route in config.routes]} {[route.model_dump_json() for route in config.routes]}",
    )
    app = create_app(file)
    for each in (app, app.keys, app.gateway, app.live, app.changes, *app.keys.own):
        witness.hears("objects", f"{each!r}")
    witness.hears("the keys", f"{vars(app.keys)}")
    for text in bad_configurations(good):
        wrong = file.with_name("wrong.yaml")
        wrong.write_text(text)
        try:
            load_config(wrong)
        except GatewayError as said:
            witness.hears(
                "a wrong configuration",
                f"{said} {said!r} {said.detail} {said.__cause__!r}",
            )


def commands_are_run(witness: Witness, server: Server, folder: Path, env: dict[str, str]) -> None:
    """Every command, for people and for machines, right and wrong."""
    config, wrong = folder / "gateway.yaml", folder / "wrong-for-commands.yaml"
    wrong.write_text(
        f"store: mysql://a:{TYPED}@b/c\nkeys: [{TYPED}]\nendpoints: [{{name: x, limit: {TYPED}}}]\n"
    )
    model = {"provider": "openai", "name": "m", "config": {"openai_api_key": secret("by-command")}}
    route = write_config(
        folder / "route.json", {"name": "by-command", "endpoint_type": "llm/v1/chat", "model": model}
    )
    spoilt = folder / "route.yaml"
    spoilt.write_text(f"name: x\nmodel: {TYPED}: {TYPED}\n")
    env = {**env, "MLFLOW_GATEWAY_URI": server.url, "GATEWAY_API_KEY": ADMIN}
    of_store = ("--config-path", str(config))
    commands = [
        *(("check", str(config)), ("check", str(config), "--json"), ("check", str(wrong)), ("start", "--config-path", str(wrong))),
        *(("routes",), ("routes", "--json"), ("routes", "create", str(route)), ("routes", "create", str(spoilt)), ("routes", "export", "openai", "several")),
        *(("limits", "get", "limited"), ("limits", "set", "limited", "100/minute", "--json"), ("query", "in-config", "Hello")),
        *(("keys", "create", "--name", "by-command", *of_store), ("keys", "create", "--name", "by-json", "--json", *of_store)),
        *(("keys", "list", *of_store), ("keys", "list", "--json", *of_store), ("keys", "rotate", "one", *of_store), ("keys", "revoke", "two", *of_store)),
        *(("audit", *of_store), ("audit", "--json", *of_store), ("keys", "list", "--store", f"postgresql://a:{TYPED}@127.0.0.1:1/x")),
    ]  # fmt: skip
    for arguments, done in zip(commands, run_commands(commands, env), strict=True):
        stdout = done.stdout.encode()
        if arguments[:2] in (("keys", "create"), ("keys", "rotate")):
            assert done.returncode == 0, done.stderr
            key = json.loads(stdout)["api_key"] if "--json" in arguments else done.stdout.strip()
            stdout = witness.shown_once(key, stdout)
        witness.hears(" ".join(arguments[:2]), stdout + done.stderr.encode())


def run_commands(commands: Sequence[Sequence[str]], env: dict[str, str]) -> list[CompletedProcess[str]]:
    """Run commands to their ends, some at a time."""
    with ThreadPoolExecutor(3) as runners:
        return list(runners.map(lambda each: run_command(*each, env=env), commands))


def processes_are_looked_at(witness: Witness, server: Server) -> None:
    """The command lines, which everybody on the machine can read."""
    for pid in (server.process.pid, *server.workers()):
        witness.read([Path(f"/proc/{pid}/cmdline")])


def reloads(server: Server, folder: Path, good: Json) -> None:
    """A wrong configuration is refused, and the next right one taken."""
    for number, text in enumerate(bad_configurations(good)[5:8], 1):
        (folder / "gateway.yaml").write_text(text)
        server.wait_for_log("the changed configuration is ignored", times=number)
    write_config(
        folder / "gateway.yaml", {**good, "endpoints": [*good["endpoints"], offline("more", "chat")]}
    )
    server.wait_for_log("took up the changed configuration")


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of the gateway and its commands."""
    own = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_SECRET_KEY": VAULT, "CANARY_VARIABLE": FROM_ENV}
    return {**own, "XDG_STATE_HOME": str(folder / "state")}


CRASHING = (str(Path(__file__).with_name("launch_crashing.py")),)


def test_no_secret_is_left_or_said(
    tmp_path: Path, upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of its own: SQLite, counters in Redis, and a kill in the end."""
    env, witness, kept = environment_of(tmp_path), Witness(), tmp_path / "kept"
    key_file = tmp_path / "key.txt"
    key_file.write_text(FROM_FILE)
    with redis_server(tmp_path, REDIS) as redis:
        good = config_of(upstream.url, f"sqlite:///{kept / 'gateway.db'}", redis.address, key_file)
        with running(tmp_path, good, env=env, program=CRASHING) as server:
            with witness.client(server, **AS_ADMIN) as http:
                routes_are_made(http, upstream.url)
                keys_are_made(http)
                upstreams_tell(http, upstream)
                counters_go_away(http, redis)
            doors_are_tried(witness, server)
            commands_are_run(witness, server, tmp_path, env)
            reloads(server, tmp_path, good)
            processes_are_looked_at(witness, server)
            server.signal(signal.SIGKILL)
            server.wait()
            witness.read([*kept.rglob("*"), *(tmp_path / "state").rglob("*")])
            witness.hears("the log", server.log)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        is_said_in_this_process(witness, write_config(tmp_path / "gateway.yaml", good), good)

    assert "\n".join(witness.found()) == ""
    assert len(witness.said) > 300


def test_no_secret_is_left_in_a_database_server(tmp_path: Path, upstream: MockUpstream) -> None:
    """PostgreSQL: its tables, its files, and what is said while it is gone."""
    env, witness = environment_of(tmp_path), Witness()
    key_file = tmp_path / "key.txt"
    key_file.write_text(FROM_FILE)
    with postgres_server() as database:
        address = database.new_address()
        good = config_of(upstream.url, address, "memory://", key_file)
        with (
            running(tmp_path, good, env=env, workers=2) as server,
            witness.client(server, **AS_ADMIN) as http,
        ):
            routes_are_made(http, upstream.url)
            keys_are_made(http)
            processes_are_looked_at(witness, server)
            asyncio.run(_dumped(witness, address))
            database.stop()
            assert http.post(KEYS, json={"name": "late"}).status_code == 503
            http.get(KEYS)
            http.delete(ROUTES + "openai")
            http.get(ROUTES, headers={"Authorization": f"Bearer {make_key()}"})
            config = ("--config-path", str(tmp_path / "gateway.yaml"))
            commands = [
                (*command, *config)
                for command in (("keys", "list"), ("audit", "--json"), ("start", "--port", "0"))
            ]
            for command, told in zip(commands, run_commands(commands, env), strict=True):
                witness.hears(command[0], told.stdout + told.stderr)
                assert told.returncode != 0
        witness.read((tmp_path / "state").rglob("*"))
        witness.read(_files_of(database))
        witness.hears("the log", server.log)

    assert "\n".join(witness.found()) == ""


async def _dumped(witness: Witness, address: str) -> None:
    """Every table of the store, as text."""
    place, _, schema = address.partition("?search_path=")
    connection = await asyncpg.connect(place, server_settings={"search_path": schema})
    try:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = $1", schema)
        assert len(tables) >= 5
        for (table,) in tables:
            rows = await connection.fetch(f'select t::text from "{table}" t')
            witness.hears(f"table {table}", "\n".join(row[0] for row in rows))
    finally:
        await connection.close()


def _files_of(database: Postgres) -> Iterator[Path]:
    """The files in which its data are."""
    return (database._folder / "data").rglob("*")
