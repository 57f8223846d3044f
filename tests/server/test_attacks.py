"""What an admin's key is not good for: reaching the operator's network, reading the server's keys and files.

Nor those of other admins. What strangers try stands in `test_attacks_from_outside.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

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


# --- names that change their meaning, and proxies -----------------------------------------------------------------


def test_a_name_that_changes_its_meaning_leads_nowhere(
    files: Path, settings: dict[str, str], upstream: MockUpstream
) -> None:
    """What was public when the route was made, and is not when it is called, is not dialled; every time anew."""
    names = files / "names.json"
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{files / 'names.db'}", "RESOLVER": str(names)}
    program = (str(Path(__file__).with_name("launch_resolving.py")),)
    names.write_text(json.dumps({"rebind.example": "93.184.215.14", "inside.example": "127.0.0.1"}))
    with running(files, {"endpoints": []}, env=env, program=program) as server:
        port = upstream.url.rpartition(":")[2]
        base = f"http://rebind.example:{port}/v1"
        assert (
            made(
                server, name="inside", openai_api_key=KEY, openai_api_base=f"http://inside.example:{port}/v1"
            ).status_code
            == 422
        )
        assert made(server, openai_api_key=KEY, openai_api_base=base).status_code == 200
        for address in ("127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0"):
            names.write_text(json.dumps({"rebind.example": address}))
            with server.client(headers=AS_ADMIN) as http:
                answer = http.post("/gateway/mine/invocations", json=HELLO)
            assert answer.status_code == 502
            assert "rebind.example leads to" in answer.json()["message"]
            assert address not in answer.text
    assert upstream.received == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_dials_for_a_route_of_the_api(
    files: Path, settings: dict[str, str], upstream: MockUpstream, variable: str
) -> None:
    """Since it, and not the gateway, would see what a name means."""
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{files / 'proxied.db'}", variable: upstream.url}
    with running(files, {"endpoints": []}, env=env) as server, server.client(headers=AS_ADMIN) as http:
        assert (
            made(
                server, name=f"by-{variable}", openai_api_key=KEY, openai_api_base="http://93.184.215.14/v1"
            ).status_code
            == 200
        )
        answer = http.post(f"/gateway/by-{variable}/invocations", json=HELLO)
        server.wait_for_log("93.184.215.14 leads to the proxy of the environment")

    assert answer.status_code == 502
    assert "NO_PROXY" in answer.json()["message"]
    assert upstream.received == []


# --- the keys of others, and words that mean something elsewhere --------------------------------------------------


@pytest.fixture(scope="module")
def loose(files: Path, settings: dict[str, str], shared_upstream: MockUpstream) -> Iterator[Server]:
    """A gateway that may reach this machine, where the attacker has a server too."""
    env = {**settings, "GATEWAY_STORE": f"sqlite:///{files / 'loose.db'}"}
    with running(files, {"endpoints": [], "upstream": {"allow_networks": ["127.0.0.1"]}}, env=env) as server:
        yield server
    assert "canary" not in server.log
    assert "Traceback" not in server.log, server.log[-5000:]


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"config": {"openai_api_base": "{evil}"}}},
        {"model": {"openai_config": {"openai_api_base": "{evil}"}}},
        {"model": {"config": None, "openai_config": {"openai_api_base": "{evil}"}}},
        {"model": {"config": {"openai_api_key": "", "openai_api_base": "{evil}"}}},
        {"model": {"config": {"openai_api_key": "**********", "openai_api_base": "{evil}"}}},
        {"model": {"config": {"openai_api_key": None, "openai_api_base": "{evil}"}}},
        {"model": {"config": {"openai_api_type": "azure", "openai_deployment_name": "d", "openai_api_version": "v", "openai_api_base": "{evil}"}}},
        {"model": {"provider": "openai-compatible", "config": {"api_base": "{evil}"}}},
        {"model": {"provider": "openai-compatible", "openai_compatible_config": {"api_base": "{evil}"}}},
        {"model": {"provider": "openai-compatible", "api_base": "{evil}"}},
        {"model": {"provider": "mistral"}},
        {"model": {"provider": None}},
        {"model": {"name": "../../../evil"}},
        {"model": {"name": "{evil}"}},
        {"model": {"name": "x?y=z#"}},
        {"model": None},
        {"model": []},
        {"model": {"config": [["openai_api_base", "{evil}"]]}},
        {"config": {"openai_api_base": "{evil}"}},
        {"name": "other"},
        {"sealed": "", "revision": 0},
        {"endpoint_type": "llm/v1/embeddings"},
    ],
)  # fmt: skip
def test_no_change_of_a_route_sends_its_key_elsewhere(
    loose: Server, upstream: MockUpstream, change: Json
) -> None:
    """Whoever may change a route, and does not know its key, does not get it."""
    evil = f"{upstream.url}/evil/v1"
    with loose.client(headers=AS_ADMIN) as http:
        http.delete(ROUTES + "kept")
        config = upstream_route("kept", "chat", upstream.url)["model"]["config"]
        assert made(loose, name="kept", **config).status_code == 200
        answer = http.patch(ROUTES + "kept", json=json.loads(json.dumps(change).replace("{evil}", evil)))
        assert answer.status_code < 500
        told = answer.text + http.get(ROUTES + "kept").text + http.get(ROUTES + "kept/export").text
        called = [
            http.post("/gateway/kept/invocations", json=body).text
            for body in (HELLO, {"input": "Hello"}, {**HELLO, "stream": True})
        ]
    assert KEY not in told + "".join(called)
    for received in upstream.received:
        if received.path not in ("/v1/chat/completions", "/v1/embeddings"):
            assert KEY not in f"{received.headers} {received.body!r}", received.path


def test_no_setting_names_what_the_server_knows(loose: Server, files: Path, upstream: MockUpstream) -> None:
    """A variable's name or a path is a word like others, wherever no key is expected, and goes out as such."""
    for word in (
        "$A_KEY_OF_THE_SERVER",
        "${A_KEY_OF_THE_SERVER}",
        "%(A_KEY_OF_THE_SERVER)s",
        f"{files}/key.txt",
        "{{A_KEY_OF_THE_SERVER}}",
    ):
        with loose.client(headers=AS_ADMIN) as http:
            http.delete(ROUTES + "words")
            config = {
                "openai_api_key": KEY,
                "openai_api_base": f"{upstream.url}/v1",
                "openai_organization": word,
            }
            body = {
                "name": "words",
                "route_type": "llm/v1/chat",
                "model": {"provider": "openai", "name": word, "config": config},
            }
            assert http.post(ROUTES, json=body).status_code == 200
            assert http.post("/gateway/words/invocations", json=HELLO).status_code == 200
    assert {received.json["model"][:1] for received in upstream.received} == {"$", "%", "/", "{"}
    assert SERVERS not in "".join(
        f"{received.headers} {received.path} {received.body!r}" for received in upstream.received
    )


@pytest.mark.parametrize(
    ("provider", "config"),
    [
        ("databricks", {}),
        ("databricks", {"databricks_api_base": "http://127.0.0.1:9"}),
        ("bedrock", {"aws_config": {"aws_region": "us-east-1"}}),
        ("bedrock", {"aws_config": {"aws_role_arn": "arn:aws:iam::1:role/x", "aws_region": "us-east-1"}}),
        ("bedrock", {"aws_config": {"aws_region": "us-east-1"}, "bedrock_api_base": "http://127.0.0.1:9"}),
        ("vertex-ai", {"project": "p", "location": "global"}),
        ("vertex-ai", {"api_base": "http://127.0.0.1:9"}),
        ("vertex-ai", {"project": "p", "location": "global", "credentials": "{files}/key.txt"}),
        ("vertex-ai", {"project": "p", "location": "evil.example/", "api_key": "k"}),
        ("vertex-ai", {"project": "../x", "location": "global", "api_key": "k"}),
        ("openai", {"openai_api_key": "k", "openai_api_base": "file:///etc/passwd"}),
        ("openai", {"openai_api_key": "k", "openai_api_base": "unix:///run/x.sock"}),
        ("openai", {"openai_api_key": "k", "openai_api_base": "gopher://127.0.0.1:9/_x"}),
        ("openai", {"openai_api_key": "k", "openai_api_base": "http://127.0.0.1\r\nx: y/"}),
        ("openai", {"openai_api_key": "k\r\nx: y"}),
        ("openai", {"openai_api_key": "k\x00"}),
        ("openai", {"openai_api_key": "k\r\n x: y"}),
        ("openai", {"openai_api_key": "file:{files}/key.txt"}),
        ("openai", {"openai_api_key": "~/.config/key"}),
        ("openai", {"openai_api_key": "\u0000$A_KEY_OF_THE_SERVER"}),
        ("openai", {"openai_api_key": ["$A_KEY_OF_THE_SERVER"]}),
    ],
)  # fmt: skip
def test_no_provider_s_settings_reach_the_server_s_own(
    loose: Server, files: Path, upstream: MockUpstream, provider: str, config: Json
) -> None:
    """Its credentials of AWS, Google and Databricks, its files, its sockets; nor do they split a header."""
    written = json.loads(json.dumps(config).replace("{files}", str(files)))
    answer = made(loose, provider, name="reaching", **written)

    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"][:2] == ["body", "model"]
    assert SERVERS not in answer.text
    assert upstream.received == []


def test_nobody_learns_what_is_there(loose: Server, files: Path) -> None:
    """Of a variable or a file, in a new route or a changed one: the same answer, byte for byte, as if it were not."""
    with loose.client(headers=AS_ADMIN) as http:
        http.delete(ROUTES + "oracle")
        assert made(loose, name="oracle", openai_api_key=KEY).status_code == 200
        for there, absent in (
            ("$A_KEY_OF_THE_SERVER", "$B_KEY_OF_THE_SERVER"),
            ("$PATH", "$NOTHING"),
            (f"{files}/key.txt", f"{files}/nokey.txt"),
            ("/etc/passwd", "/etc/nothing"),
            ("/root", "/"),
            ("./gateway.yaml", "./nothing.yaml"),
        ):
            answers = [
                {
                    made(loose, name="new", openai_api_key=key).text,
                    http.patch(ROUTES + "oracle", json={"model": {"config": {"openai_api_key": key}}}).text,
                    made(
                        loose, "vertex-ai", name="new", project="p", location="global", credentials=key
                    ).text.replace(key, "…"),
                }
                for key in (there, absent)
            ]
            assert answers[0] == answers[1]


# --- bodies that nobody means -------------------------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            True,
            0,
            -1,
            2**31,
            2**63,
            2**64,
            1e308,
            -0.0,
            "",
            " ",
            "\x00",
            "\n",
            "é" * 300,
            "\u202e",
            "\U0001f600",
        ),
        *([], {}, [[]], {"": ""}, ["x"] * 300, {"a": {"b": {"c": [1, {"d": None}]}}}, "x" * 5000, "1" * 400),
        *(
            "llm/v1/chat",
            "minute",
            "9" * 6 + " years",
            "999999 centuries",
            "0 minute",
            "1/minute;2/hour",
            "user",
            "$HOME",
        ),
        *(
            "http://[",
            "http://x:99999999/",
            "http://%00/",
            "http://é漢.example/",
            "http://" + "a" * 300 + ".example",
        ),
        *("2999-01-01T00:00:00Z", "0s", "999999999999w", "-1d", "1e9", "٣d", "9999-12-31T23:59:59-23:59"),
    ]
)
DEEP = st.sampled_from(
    ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 100_000, '"\\ud800"', "1e999", "nan"]
)
BODIES: list[tuple[str, Json]] = [
    (ROUTES, {"name": "fuzzed", "route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "x", "config": {"openai_api_key": "k", "openai_api_base": "http://127.0.0.1:9/v1", "openai_api_type": "openai", "openai_organization": "o"}}, "limit": {"calls": 1, "renewal_period": "minute", "key": "user"}, "limits": [], "timeouts": {"connect": 1, "total": 3}, "on_store_failure": "deny", "drop_unsupported": True}),
    (ROUTES, {"name": "fuzzed", "route_type": "llm/v1/chat", "model": {"provider": "bedrock", "name": "anthropic.claude-v2", "config": {"aws_config": {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region": "us-east-1"}}}}),
    ("/api/2.0/gateway/limits/", {"route": "steady", "limits": [{"calls": 5, "renewal_period": "minute", "key": "user", "tokens": 9}]}),
    ("/api/2.0/gateway/keys/", {"name": "fuzzed", "role": "caller", "routes": ["steady"], "expires_in": "1d"}),
    ("/api/2.0/gateway/keys/steady/rotate", {"grace": "1h"}),
]  # fmt: skip


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a body something can stand."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, within in inner:
        yield from _places(within, (*at, key))


def _with(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    """The body with something odd at a place."""
    if not at:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = _with(copy[at[0]], at[1:], odd)
    return copy


@given(st.data())
@settings_of_hypothesis(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_an_admin_sends_is_taken_or_refused_by_its_field(loose: Server, data: st.DataObject) -> None:
    """It is never a failure of the gateway, and what it served it goes on serving; the fixture looks at the log."""
    path, body = data.draw(st.sampled_from(BODIES))
    at = data.draw(st.sampled_from(list(_places(body))))
    text = json.dumps(_with(body, at, "ODD"))
    content = text.replace('"ODD"', data.draw(ODD.map(json.dumps) | DEEP), 1)
    with loose.client(headers=AS_ADMIN) as http:
        answer = http.post(path, content=content.encode())
        changed = http.patch(f"{ROUTES}fuzzed", content=content.encode()) if path == ROUTES else answer
        called = http.post("/gateway/fuzzed/invocations", json=HELLO) if answer.status_code == 200 else None
        http.delete(f"{ROUTES}fuzzed")
    for said in (answer, changed):
        assert said.status_code in (200, 400, 404, 409, 413, 422), (content[:500], said.text)
        if said.status_code == 422:
            assert isinstance(said.json()["detail"], list), said.text
            assert all(entry["loc"][0] == "body" and entry["msg"] for entry in said.json()["detail"])
            assert len(said.content) < 64_000
    if called is not None and path == ROUTES:
        assert called.status_code in (404, 422, 429, 502, 503, 504), called.text
