"""HTTP that can't be right, or hardly: an answer or a closed connection, never a 500, never a hang."""

import http.client
import json
from typing import BinaryIO

import pytest

from tests.support.configs import ADMIN, HELLO
from tests.support.raw import RawAnswer, exchange, request
from tests.support.server import Server

BODY = json.dumps(HELLO).encode()
CALL = "POST /gateway/chat/invocations"
V1 = json.dumps({**HELLO, "model": "chat"}).encode()

FINE: dict[str, bytes] = {
    "an old version": b"GET /health HTTP/1.0\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "an odd host": b"GET /health HTTP/1.1\r\nhost: [::\r\n\r\n",
    "an absolute address": request("GET http://elsewhere/health"),
    "5000 headers": request(CALL, *(b"x-%d: y" % number for number in range(5000)), body=BODY),
    "a header of a megabyte": request(CALL, b"x: " + b"y" * 2**20, body=BODY),
    "a header in no encoding": request(CALL, b"x: \xff\xfe\x80", body=BODY),
    "another content type": request(CALL, b"content-type: text/xml; charset=ebcdic", body=BODY),
    "a question before the body": request(CALL, b"expect: 100-continue", body=BODY),
    "an unknown expectation": request(CALL, b"expect: miracles", body=BODY),
    "an upgrade": request(
        "GET /health", b"connection: upgrade", b"upgrade: websocket", b"sec-websocket-key: x"
    ),
    "an upgrade to HTTP/2": request("GET /health", b"connection: upgrade, http2-settings", b"upgrade: h2c"),
    "a body where none is read": request("GET /health", body=b"x" * 100_000),
}


@pytest.mark.parametrize("data", FINE.values(), ids=FINE)
def test_what_is_odd_but_allowed_is_answered(server: Server, data: bytes) -> None:
    """Nobody's header or version is a reason to fail."""
    assert exchange(server, data).status == 200


BROKEN: dict[str, bytes] = {
    "a negative length": request(CALL, b"content-length: -5", body=BODY, length=False),
    "a length of words": request(CALL, b"content-length: much", body=BODY, length=False),
    "two lengths": request(CALL, b"content-length: 5", body=BODY),
    "an endless length": request(CALL, b"content-length: " + b"9" * 40, length=False),
    "a length and chunks": request(
        CALL, b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n", length=False
    ),
    "a chunk of no size": request(CALL, b"transfer-encoding: chunked", body=b"zz\r\n", length=False),
    "an unknown encoding": request(CALL, b"transfer-encoding: gzip", body=BODY, length=False),
    "a null in a header": request(CALL, b"x: \x00", body=BODY),
    "a path in no encoding": request("GET /\xff"),
    "a query in no encoding": request("GET /nothing?\xff"),
    "a path of a megabyte": request("GET /" + "a" * 2**20),
    "an unknown method": request("FOO /health"),
    "a tunnel": request("CONNECT elsewhere:443"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "zeros": b"\x00" * 1000,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_not_http_is_refused(server: Server, data: bytes) -> None:
    """400 and the end of the connection, before it is known which dialect the caller speaks."""
    answer = exchange(server, data)

    assert answer.status == 400
    assert answer.headers["connection"] == "close"


NAMES = [
    "%00",
    "%0a",
    "%0d%0aX-Evil:%20yes",
    "%ff",
    "%ed%a0%80",
    "a%2Fb",
    "..",
    "%2e%2e",
    "%",
    "a%20b",
    "é",
    "%C3%A9",
    "*",
    "{name}",
]


@pytest.mark.parametrize("name", [*NAMES, "a" * 50_000], ids=lambda name: name[:20])
@pytest.mark.parametrize(
    "line",
    [
        "POST /gateway/{}/invocations",
        "POST /endpoints/{}/invocations",
        "GET /api/2.0/gateway/routes/{}x",
        "GET /api/2.0/endpoints/{}x",
        "GET /v1/models/{}x",
        "GET /{}x",
    ],
)
def test_an_absurd_path_is_404(server: Server, line: str, name: str) -> None:
    """In the dialect of its beginning; no header is made of it."""
    text = line.replace("{}", name).encode().decode("latin-1")
    if not text.isascii():
        text = line.replace("{}", "%C3%A9")
    answer = exchange(server, request(text, body=BODY if line.startswith("POST") else b""))

    assert answer.status == 404
    assert answer.headers["x-evil"] is None
    assert len(answer.body) < 200_000
    assert _message(answer)


def test_a_path_that_lacks_its_slash_leads_to_the_right_one(server: Server) -> None:
    """Also where the host header is nonsense, from somebody with a key."""
    key = b"\r\nx-api-key: " + ADMIN.encode()
    for host in (b"host: test", b"host: [::", b"host: a b", b"host:", b"x: y"):
        answer = exchange(server, b"GET /api/2.0/gateway/routes HTTP/1.1\r\n" + host + key + b"\r\n\r\n")
        assert answer.status == 307
        assert answer.headers["location"].endswith("/api/2.0/gateway/routes/")


def test_two_requests_at_once_on_one_connection_are_answered_in_turn(server: Server) -> None:
    """Pipelining, which nobody should use."""
    with server.connect() as connection:
        connection.sendall(
            request(CALL, body=BODY) + request("POST /v1/chat/completions", body=V1) + request("GET /health")
        )
        with connection.makefile("rb") as answers:
            bodies = [_next(answers) for _ in range(3)]

    assert [body.get("object", body.get("status")) for body in bodies] == [
        "chat.completion",
        "chat.completion",
        "OK",
    ]


def test_a_caller_who_stops_in_the_middle_of_a_body_keeps_nobody_waiting(server: Server) -> None:
    """Others are answered meanwhile, and when the caller leaves no error is logged."""
    before = server.log.count("ERROR")
    with server.connect() as connection:
        connection.sendall(request(CALL, b"x-request-id: one-who-stopped", body=BODY)[:-5])
        assert exchange(server, request("GET /health")).status == 200

    assert exchange(server, request("GET /health")).status == 200
    server.wait_for_log("one-who-stopped")  # a line of the access log, which is written last of all
    assert server.log.count("ERROR") == before


def test_a_connection_that_says_nothing_keeps_nobody_waiting(server: Server) -> None:
    """A hundred of them."""
    silent = [server.connect() for _ in range(100)]
    try:
        assert exchange(server, request("GET /health")).status == 200
    finally:
        for connection in silent:
            connection.close()


def _message(answer: RawAnswer) -> str:
    body = answer.json
    return str(body["error"]["message"] if "error" in body else body["message"])


def _next(answers: BinaryIO) -> dict[str, str]:
    assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
    headers = http.client.parse_headers(answers)
    body: dict[str, str] = json.loads(answers.read(int(headers["content-length"])))
    return body
