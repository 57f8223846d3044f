"""What strangers, and callers whose keys are no admin's, try at the gateway's door: none of it changes anything.

What an admin's key is not good for stands in `test_attacks.py`.
"""

import itertools
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from gateway_async.keys.key import make_key
from gateway_server import create_app
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, KEY, Json, offline, upstream_route
from tests.support.raw import chunked, request
from tests.support.server import Server, run_command, running, wait_until, write_config
from tests.support.upstream import MockUpstream

ROUTES, KEYS, LIMITS = (f"/api/2.0/gateway/{kind}/" for kind in ("routes", "keys", "limits"))
CONFIGURED = "configured-canary-01234"


def config_of(upstream_url: str, **more: Any) -> Json:
    """A gateway whose callers need keys, and one of whose routes costs its owner money."""
    return {
        "endpoints": [
            offline("chat", "chat"),
            upstream_route("up", "chat", upstream_url),
            upstream_route(
                "twice", "chat", upstream_url, limits=[{"calls": 2, "renewal_period": "hour", "key": "user"}]
            ),
        ],
        "keys": [{"name": "ci", "key": CONFIGURED, "routes": ["chat"]}],
        "server": {"max_body_mb": 0.01},
        **more,
    }


@dataclass(frozen=True)
class Gateway:
    """A gateway, and the keys that don't open its admin's doors: what they are → the headers that carry them."""

    server: Server
    keys: dict[str, dict[bytes, bytes]]

    def state(self) -> Any:
        """Everything that a change would change."""
        with self.server.client(headers=AS_ADMIN) as http:
            keys, routes = http.get(KEYS).json(), http.get(ROUTES).json()
            return keys, routes, [http.get(LIMITS + name).json() for name in ("chat", "up", "mine")]


@pytest.fixture(scope="module")
def gateway(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway. When all is done, its log holds no key, no forged line and no error that nobody expected."""
    folder, env = tmp_path_factory.mktemp("attacked"), {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(folder, config_of(shared_upstream.url), env=env) as server:
        with server.client(headers=AS_ADMIN) as http:
            wanted: dict[str, Json] = {
                "caller": {},
                "bound": {"routes": ["chat"]},
                "expired": {"expires_in": "1s"},
                "revoked": {},
                "replaced": {},
            }
            made = {
                name: http.post(KEYS, json={"name": name, **more}).json()["api_key"]
                for name, more in wanted.items()
            }
            mine = {
                "name": "mine",
                "route_type": "llm/v1/chat",
                "model": {"provider": "offline", "name": "echo"},
            }
            assert http.post(ROUTES, json=mine).status_code == 200
            assert http.delete(KEYS + "revoked").status_code == 200
            assert http.post(KEYS + "replaced/rotate", json={"grace": "0s"}).status_code == 200
            expired = {"Authorization": f"Bearer {made['expired']}"}
            wait_until(lambda: http.get(ROUTES, headers=expired).status_code == 401, 30, "it does not expire")
        keys = {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}
        keys |= {
            "none": {},
            "of the file": {"x-api-key": CONFIGURED},
            "made up": {"api-key": make_key()},
            "beginning": {"Authorization": f"Bearer {ADMIN[:-1]}"},
            "longer": {"Authorization": f"Bearer {ADMIN}x"},
            "upper case": {"Authorization": f"Bearer {ADMIN.upper()}"},
            "hash of one": {"Authorization": "Bearer " + "0" * 64},
            "no scheme": {"Authorization": ADMIN},
            "basic": {"Authorization": f"Basic {ADMIN}"},
            "empty": {"Authorization": "Bearer"},
            "sql": {"x-api-key": "' or '1'='1"},
            "long": {"x-api-key": "gwk_" + "a" * 9_000},
            "bytes": {"x-api-key": "gwk_\xff\xfe"},
        }
        yield Gateway(
            server,
            {name: {k.encode(): v.encode("latin-1") for k, v in of.items()} for name, of in keys.items()},
        )
    log = server.log
    assert "Traceback" not in log, log[-5000:]
    for secret in (KEY, ADMIN, CONFIGURED, *made.values()):
        assert secret not in log
    assert "FORGED" not in [line[:6] for line in log.splitlines()]
    assert "\x1b" not in log


def doors() -> list[tuple[str, str]]:
    """Every method and path of the gateway that is an admin's, as the app itself has them."""
    app = create_app({"endpoints": []})
    found = [
        (method, route.path.replace("{name}", "mine"))
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in sorted(route.methods or ())
        if method not in ("GET", "HEAD") or "keys" in route.path or "export" in route.path
    ]
    assert len(found) >= 19
    return found


BODY = json.dumps(
    {
        "name": "evil",
        "route_type": "llm/v1/chat",
        "model": {"provider": "offline", "name": "echo"},
        "route": "chat",
        "limits": [{"calls": 0, "renewal_period": "hour"}],
        "role": "admin",
    }
).encode()


def test_no_key_but_an_admin_s_opens_an_admin_s_door(gateway: Gateway) -> None:
    """On every path, by every method, for every kind of key that is none, or none for this."""
    before = gateway.state()
    with gateway.server.client() as http:
        for (method, path), (kind, key) in itertools.product(doors(), gateway.keys.items()):
            answer = http.request(method, path, content=BODY, headers=key)

            expected = 403 if kind in ("caller", "bound", "of the file") else 401
            assert answer.status_code == expected, (method, path, kind, answer.text)
    assert gateway.state() == before


SPELLINGS = [
    *("{base}/{kind}/mine", "{base}/{kind}", "/{base}/{kind}/mine", "{base}//{kind}/mine", "{base}/{kind}//mine"),
    *("{base}/{kind}/mine/", "{base}/{kind}/mine//", "{base}/{kind}/./mine", "{base}/x/../{kind}/mine"),
    *("{base}/{kind}/%6dine", "{base}/{kind}%2fmine", "{base}%2f{kind}/mine", "{base}/x/%2e%2e/{kind}/mine"),
    *("/%61pi/2.0/gateway/{kind}/mine", "/api%2f2.0/gateway/{kind}/mine", "/%2fapi/2.0/gateway/{kind}/mine"),
    *("{base}/{kind}/mine;x=1", "{base}/{kind};/mine", "{base}/{kind}/mine%00", "{base}/{kind}/mine%0d%0a"),
    *("{base}/{kind}/mine?x=/docs", "{base}/{kind}/mine%3f", "{base}/{kind}/mine%23", "/docs/..{base}/{kind}/mine"),
    *("/docs%2f..{base}/{kind}/mine", "/health/..{base}/{kind}/mine", "{base}/{kind}/%ef%bd%8dine", "\\api\\2.0"),
    *("/API/2.0/gateway/{kind}/mine", "/api/2.0/GATEWAY/{kind}/mine", "{base}/%c0%af{kind}/mine", "/v1/..{base}/{kind}/mine"),
    *("http://evil.example{base}/{kind}/mine", "http://evil.example:99{base}/{kind}/mine?x", "http://x@y{base}/{kind}/mine"),
]  # fmt: skip


def test_no_spelling_of_a_path_leads_around_the_door(gateway: Gateway) -> None:
    """Slashes, dots, per cents, capitals, other hosts: a caller's key, and none, change and read nothing."""
    before = gateway.state()
    bases = [(base, kind) for base in ("/api/2.0/gateway",) for kind in ("routes", "keys", "limits")]
    bases += [("/api/2.0", "endpoints"), ("/api/2.0/endpoints", "limits")]
    caller = b"authorization: " + gateway.keys["caller"][b"Authorization"]
    for spelling, (base, kind), method in itertools.product(SPELLINGS, bases, ("DELETE", "PATCH", "POST")):
        path = spelling.format(base=base, kind=kind)
        statuses = _statuses(
            gateway.server,
            *(request(f"{method} {path}", *with_key, body=BODY) for with_key in ([caller], [])),
        )
        assert not statuses & {200, 201, 204, 500, 502}, (method, path, statuses)
    assert gateway.state() == before


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"])  # fmt: skip
def test_no_header_says_another_method_or_path(gateway: Gateway, name: str) -> None:
    """A request is what its first line says."""
    before = gateway.state()
    with gateway.server.client(headers=gateway.keys["caller"]) as http:
        for value in ("DELETE", ROUTES + "mine"):
            assert http.get(ROUTES + "mine", headers={name: value}).status_code == 200
            assert (
                http.get(ROUTES + "mine", headers={name: value}, params={"_method": value}).status_code == 200
            )
            assert (
                http.post(ROUTES + "mine", headers={name: value}, data={"_method": value}).status_code == 403
            )
    assert gateway.state() == before


def test_who_may_only_look_learns_nothing_that_is_an_admin_s(gateway: Gateway) -> None:
    """By HEAD or OPTIONS neither."""
    with gateway.server.client() as http:
        for method, path in itertools.product(
            ("HEAD", "OPTIONS"), (KEYS, KEYS + "caller", ROUTES + "mine/export")
        ):
            for key in ("none", "caller", "bound"):
                answer = http.request(method, path, headers=gateway.keys[key])
                assert answer.status_code in (401, 403, 404, 405), (method, path, key)


@pytest.mark.parametrize(
    "prefix", ["/gw", "/api", "", "/gw/gw", "/api/api", "/gw/%2e%2e", "/gw%2f", "/api/2.0"]
)
async def test_no_mount_moves_the_door(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway in somebody's service asks for an admin's key wherever it is mounted, and however that is written."""
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", ADMIN)
    config = {"endpoints": [offline("mine", "chat")], "keys": [{"name": "ci", "key": CONFIGURED}]}
    inner = create_app(config)
    host = Starlette(routes=[Mount(at, app=inner) for at in ("/gw", "/api/2.0", "/api", "/")])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://host") as http:
        for (method, path), key in itertools.product(doors(), ({}, {"x-api-key": CONFIGURED})):
            answer = await http.request(method, prefix + path, content=BODY, headers=key)
            assert answer.status_code in (401, 403, 404, 405), (method, path, answer.text)
    await inner.aclose()


# --- guessing keys ------------------------------------------------------------------------------------------------


def test_every_guess_gets_the_same_answer(gateway: Gateway) -> None:
    """However near it is to a key: only the form of our own keys is told apart, which everybody can check alone."""
    with gateway.server.client() as http:
        answers = {
            http.get(ROUTES, headers={"x-api-key": guess}).text
            for guess in (
                ADMIN[:-1],
                f"{ADMIN}0",
                ADMIN.upper(),
                CONFIGURED[:-1],
                "x",
                make_key(),
                "' or 1=1 --",
            )
        }
    assert len(answers) == 1


def test_a_flood_of_guesses_keeps_nobody_out_and_fills_no_log(gateway: Gateway) -> None:
    """While a thousand guesses in our keys' own form come in, those whose key nobody has seen yet are let in."""
    refusals = gateway.server.log.count("WARNING refused call")
    with ThreadPoolExecutor(20) as guessers, gateway.server.client() as http:
        guesses = [guessers.submit(_guess, gateway.server, 50) for _ in range(20)]
        for number in range(5):
            made = http.post(KEYS, json={"name": f"new-{number}"}, headers=AS_ADMIN)
            new = {"api-key": made.json()["api_key"]}
            answer = http.post("/gateway/chat/invocations", json=HELLO, headers=new)
            assert answer.status_code == 200, answer.text
        assert {guess.result() for guess in guesses} == {50}
    assert gateway.server.log.count("WARNING refused call") - refusals < 400


def _guess(server: Server, count: int) -> int:
    """How many of so many made-up keys are refused with 401."""
    calls = [
        request("POST /gateway/up/invocations", b"x-api-key: " + make_key().encode())
        for _ in range(count - 1)
    ]
    last = request("POST /gateway/up/invocations", b"connection: close", b"x-api-key: " + make_key().encode())
    with server.connect() as connection:
        connection.sendall(b"".join([*calls, last]))
        return b"".join(iter(lambda: connection.recv(65536), b"")).count(b"HTTP/1.1 401 ")


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["x-request-id", "x-api-key", "authorization", "x-request-timeout", "host", "origin"]
)
@pytest.mark.parametrize(
    "value",
    [
        *(
            b"a\r\n FORGED: 1",
            b"a\r\n\tFORGED: 1",
            b"a\nFORGED: 1",
            b"a\rFORGED: 1",
            b"a\x00FORGED",
            b"a\x1b[31m",
        ),
        *(b"a\xc2\x85FORGED", b"a\xe2\x80\xa8FORGED", b"%0d%0aFORGED: 1", b"a" * 5000),
    ],
)
def test_no_header_forges_another(gateway: Gateway, upstream: MockUpstream, name: str, value: bytes) -> None:
    """Nor a line of the log, in the answer as little as in what goes to the provider."""
    with_key = b"api-key: " + gateway.keys["caller"][b"Authorization"][7:]
    head = name.encode() + b": " + value
    for path in ("/gateway/up/invocations", "/gateway/a%0aFORGED%1b%5b31m/invocations", "/nothing%0aFORGED"):
        data = request(f"POST {path}", with_key, head, body=json.dumps(HELLO).encode())
        answer = _sent(gateway.server, data)
        assert b"\nFORGED" not in answer
        assert b"\rFORGED" not in answer
        assert b"\x1b" not in answer
        assert int(answer[9:12] or b"400") < 500, answer
    for received in upstream.received:
        assert "FORGED" not in f"{received.headers} {received.path}".upper()


def test_whoever_makes_up_names_forges_no_line_of_the_log(gateway: Gateway) -> None:
    """Names of fields are the sender's too; the fixture looks at the log."""
    with gateway.server.client(headers=AS_ADMIN) as http:
        for path, name in itertools.product(
            (ROUTES, KEYS, LIMITS), ("x\nFORGED", "\x1b[31m", "x\u2028FORGED")
        ):
            answer = http.post(path, json={name: 1, "name": name, "route": name})
            assert 400 <= answer.status_code < 500
        assert http.post(f"{ROUTES}x%0aFORGED%1b").status_code in (404, 405)
    gateway.server.wait_for_log("FORGED")


@pytest.mark.parametrize(
    "path", [ROUTES[:-1], "/docs/", "/health/", "/v1/models/", ROUTES[:-1] + "?page_token=a%0d%0ab"]
)
def test_no_host_header_leads_a_caller_elsewhere(gateway: Gateway, path: str) -> None:
    """Who forgot a slash is sent to the same server, by the same scheme: its key goes along."""
    key = b"api-key: " + gateway.keys["caller"][b"Authorization"][7:]
    for host in (
        b"host: evil.example",
        b"host: evil.example/x?",
        b"x-forwarded-host: evil.example",
        b"x-forwarded-proto: ftp",
    ):
        answer = _sent(gateway.server, request(f"GET {path}", key, host))
        other = path.partition("?")[0]
        meant = other[:-1] if other.endswith("/") else f"{other}/"
        assert answer.startswith(b"HTTP/1.1 307 "), answer
        assert b"\r\nlocation: %b%b\r\n" % (meant.encode(), path[len(other) :].encode()) in answer
    for double in ("//evil.example/docs/", "//evil.example", "/%2fevil.example/docs/", "/\\evil.example/"):
        assert b"location" not in _sent(gateway.server, request(f"GET {double}", key))


# --- more than one request in one ---------------------------------------------------------------------------------

HIDDEN = request("DELETE /api/2.0/gateway/routes/mine", b"authorization: Bearer " + ADMIN.encode())
"""A request that a proxy in front would have taken for the body of another."""


@pytest.mark.parametrize(
    "lines",
    [
        [b"content-length: 0", b"content-length: %d"],
        [b"content-length: %d", b"content-length: 0"],
        [b"content-length: 0, %d"],
        [b"content-length: +%d"],
        [b"content-length: 0x%x"],
        [b"content-length: -1"],
        [b"content-length: %d 0"],
        [b"content-length : %d"],
        [b"content-length: %d", b"transfer-encoding: chunked"],
        [b"transfer-encoding: chunked", b"content-length: %d"],
        [b"transfer-encoding: xchunked", b"content-length: %d"],
        [b"transfer-encoding: chunked, identity", b"content-length: %d"],
        [b"transfer-encoding : chunked", b"content-length: %d"],
        [b"transfer-encoding:\x0bchunked", b"content-length: %d"],
        [b"transfer-encoding: identity", b"transfer-encoding: chunked", b"content-length: %d"],
        [b"x: y\r\n transfer-encoding: chunked", b"content-length: %d"],
    ],
)
def test_a_length_that_says_two_things_hides_no_request(gateway: Gateway, lines: list[bytes]) -> None:
    """What a proxy may have read otherwise is refused, or read as a body; never as a second request."""
    before = gateway.state()
    hidden = b"0\r\n\r\n" + HIDDEN
    head = [line % len(hidden) if b"%" in line else line for line in lines]
    answer = _sent(
        gateway.server, request("POST /gateway/chat/invocations", *head, length=False) + hidden, patience=0.5
    )

    assert gateway.state() == before
    assert answer.count(b"HTTP/1.1 ") <= 1 or b"HTTP/1.1 400" in answer, answer


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"0;x\n\n" + HIDDEN,
            b"0\n\n" + HIDDEN,
            b"00000000000000000000000\n\r\n" + HIDDEN,
            b"-0\r\n\r\n" + HIDDEN,
        ),
        *(b"fffffffffffffffff0\r\n" + HIDDEN, b"0x0\r\n\r\n" + HIDDEN, b"1\r\naX0\r\n\r\n" + HIDDEN),
    ],
)
def test_a_chunk_that_is_none_hides_no_request(gateway: Gateway, body: bytes) -> None:
    """A line end that is half of one, a size that is no number: nothing after it is looked at."""
    before = gateway.state()
    data = request("POST /gateway/chat/invocations", b"transfer-encoding: chunked", length=False) + body
    _sent(gateway.server, data, patience=0.5)

    assert gateway.state() == before


# --- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ROUTES, KEYS, LIMITS, "/api/2.0/endpoints/"])
def test_a_body_too_large_is_refused_by_every_door(gateway: Gateway, path: str) -> None:
    """Whether its length is said, is not, or is absurd; and nothing is asked for more."""
    admin = f"authorization: Bearer {ADMIN}".encode()
    large = b'{"name": "' + b"a" * 20_000 + b'"}'
    for data in (
        request(f"POST {path}", admin, body=large),
        request(f"POST {path}", admin, b"content-length: 999999999999999999", length=False),
        request(f"POST {path}", admin, b"transfer-encoding: chunked", length=False) + chunked([large, large]),
    ):
        assert _statuses(gateway.server, data) == {413}


def test_a_body_that_ends_before_its_length_changes_nothing(gateway: Gateway) -> None:
    """Half a change is none."""
    before = gateway.state()
    admin = f"authorization: Bearer {ADMIN}".encode()
    for path in (ROUTES, KEYS, LIMITS):
        _sent(
            gateway.server,
            request(f"POST {path}", admin, b"content-length: 5000", body=BODY, length=False),
            patience=0.2,
        )
    assert gateway.state() == before


# --- more than one's share ----------------------------------------------------------------------------------------


def test_no_header_makes_another_caller_of_one(gateway: Gateway, upstream: MockUpstream) -> None:
    """A limit for each caller counts the key, whatever address a header claims."""
    claims = [
        {"x-forwarded-for": "8.8.8.8"},
        {"forwarded": "for=9.9.9.9"},
        {"x-real-ip": "8.8.4.4", "true-client-ip": "8.8.4.4", "cf-connecting-ip": "8.8.4.4"},
        {"x-forwarded-for": "1.1.1.1, 2.2.2.2"},
    ]
    with gateway.server.client(headers=gateway.keys["caller"]) as http:
        calls = [http.post("/gateway/twice/invocations", json=HELLO, headers=claim) for claim in claims]

    assert [call.status_code for call in calls] == [200, 200, 429, 429]
    assert len(upstream.received) == 2


def test_made_up_keys_make_no_other_callers(
    shared_upstream: MockUpstream, upstream: MockUpstream, tmp_path: Any
) -> None:
    """Where none is needed, whoever calls with keys that nobody knows is counted by the address."""
    config = {**config_of(shared_upstream.url), "keys": []}
    with running(tmp_path, config) as server, server.client() as http:
        calls = [
            http.post("/gateway/twice/invocations", json=HELLO, headers={"x-api-key": make_key(), "x-forwarded-for": f"8.8.8.{n}"})
            for n in range(4)
        ]  # fmt: skip
    assert [call.status_code for call in calls] == [200, 200, 429, 429]
    assert len(upstream.received) == 2


# --- while the configuration changes ------------------------------------------------------------------------------


def test_a_reload_leaves_no_door_open(
    shared_upstream: MockUpstream, upstream: MockUpstream, tmp_path: Any
) -> None:
    """Not for a moment: keys of the file come and go, and nobody without one is let in."""
    env = {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(tmp_path, config_of(shared_upstream.url), env=env) as server, server.client() as http:
        statuses: set[tuple[int, int, int]] = set()
        for number in range(1, 4):
            before = time.monotonic()
            more = [{"name": f"k{number}", "key": f"another-canary-{number}"}] if number % 2 else []
            config = config_of(shared_upstream.url)
            config["keys"] += more
            write_config(tmp_path / "gateway.yaml", config)
            while server.log.count("took up the changed configuration") < number:
                assert time.monotonic() - before < 30
                stranger = http.post("/gateway/up/invocations", json=HELLO)
                bound = http.post("/gateway/up/invocations", json=HELLO, headers={"x-api-key": CONFIGURED})
                change = http.delete(ROUTES + "up", headers={"x-api-key": CONFIGURED})
                statuses.add((stranger.status_code, bound.status_code, change.status_code))
    assert statuses == {(401, 403, 403)}
    assert upstream.received == []


# --- what is left behind ------------------------------------------------------------------------------------------


def test_sql_is_text_wherever_it_stands(gateway: Gateway) -> None:
    """In names, in bodies, in tokens of pages."""
    before = gateway.state()
    with gateway.server.client(headers=AS_ADMIN) as http:
        for said in (
            "' OR '1'='1",
            "'; DROP TABLE gateway_routes;--",
            "%",
            "%_",
            "mine'--",
            '" OR ""="',
            "mine\\",
            "*",
        ):
            path = quote(said, safe="")
            for method, base in itertools.product(
                ("DELETE", "PATCH", "GET"), (ROUTES, "/api/2.0/endpoints/", LIMITS)
            ):
                answer = http.request(method, base + path, content=b'{"limit": null}')
                assert answer.status_code in (404, 405), (method, base, said, answer.text)
            assert http.delete(KEYS + path).status_code == 404
            assert http.post(f"{KEYS}{path}/rotate").status_code == 404
            assert http.post(KEYS, json={"name": said}).status_code == 422
            assert http.post(KEYS, json={"name": "x", "routes": [said]}).status_code == 422
            assert http.get(ROUTES, params={"page_token": said}).status_code == 400
            assert http.post(ROUTES, json={**json.loads(BODY), "name": said}).status_code == 422
            assert http.post(LIMITS, json={"route": said, "limits": []}).status_code == 404
    assert gateway.state() == before


def test_the_audit_log_shows_what_was_tried_in_lines_of_its_own(tmp_path: Any) -> None:
    """On a terminal too: what somebody made up moves no cursor and makes no line."""
    env = {"GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_STORE": f"sqlite:///{tmp_path / 'gateway.db'}"}
    with running(tmp_path, {"endpoints": []}, env=env) as server, server.client(headers=AS_ADMIN) as http:
        http.post(ROUTES, json={"x\nFORGED\x1b[31m": 1})
        odd = {"provider": "offline", "name": "x\nFORGED\x1b[31m"}
        assert (
            http.post(ROUTES, json={"name": "odd", "route_type": "llm/v1/chat", "model": odd}).status_code
            == 200
        )
    told = run_command("audit", env=env).stdout

    assert "FORGED" in told
    assert "\nFORGED" not in told
    assert "\x1b" not in told


def _sent(server: Server, data: bytes, *, patience: float = 10.0) -> bytes:
    """Everything that is answered to these bytes.

    Args:
        server: Who answers.
        data: What is sent.
        patience: So long the beginning of an answer is waited for; then, and after it, nothing more is sent.
    """
    with server.connect() as connection:
        try:
            connection.sendall(data)
            connection.settimeout(patience)
            try:
                first = connection.recv(65536)
            except TimeoutError:
                first = b""
            connection.settimeout(20)
            connection.shutdown(socket.SHUT_WR)
            return first + b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


def _statuses(server: Server, *requests: bytes) -> set[int]:
    """The status of the answer to each, where there is one."""
    return {int(answer[9:12]) for data in requests if (answer := _sent(server, data))}
