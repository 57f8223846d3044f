"""Our connection and uvicorn's, the same bytes to both: where they differ, it is wanted."""

import json
import re
from collections.abc import Sequence

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway_server.slow import TimedConfig
from tests.support.wire import Connect, answers_of, connects, say, settle


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """What it does is in the path; by default it tells what it was asked."""

    async def answer(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
        sized = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*(headers or [sized])]})
        await send({"type": "http.response.body", "body": body})

    path = scope["path"]
    if path == "/early":
        await answer(413, b"too large")
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two"):
            await settle(3)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    elif path == "/bodiless":
        await answer(204, b"", (b"x-y", b"z"))
    elif path == "/same":
        await answer(304, b"")
    elif path == "/long":
        await answer(200, b"longer", (b"content-length", b"3"))
    elif path == "/short":
        await answer(200, b"short", (b"content-length", b"9"))
    elif path == "/bug":
        raise RuntimeError("a bug")
    elif path == "/late-bug":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("a bug")
    elif path == "/split":
        await answer(200, b"x", (b"x", b"a\r\nset-cookie: b"))
    elif path == "/silent":
        return
    elif path == "/close":
        await answer(200, b"bye", (b"content-length", b"3"), (b"connection", b"close"))
    else:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        told = {name: scope[name] for name in ("method", "path", "http_version")}
        told["query"] = scope["query_string"].decode("latin-1")
        told["headers"] = [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
        ]
        told["body"] = body.decode("latin-1") if message["type"] == "http.request" else "left"
        await answer(200, json.dumps(told).encode())


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def post(*headers: bytes, body: bytes = b"", path: bytes = b"/", version: bytes = b"1.1") -> bytes:
    """A request with a body."""
    return b"\r\n".join([b"POST %b HTTP/%b" % (path, version), b"host: a", *headers, b"", body])


def get(target: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request without one."""
    return b"\r\n".join([b"%b %b HTTP/%b" % (method, target, version), b"host: a", *headers, b"", b""])


CHUNKED = b"transfer-encoding: chunked"
FIVE = b"content-length: 5"
CONTINUE = b"expect: 100-continue"

SCRIPTS: dict[str, Sequence[bytes]] = {
    "get": [GET],
    "get twice": [GET, GET],
    "pipelined": [GET + post(FIVE, body=b"hello") + GET],
    "pipelined behind a stream": [get(b"/stream") + GET],
    "pipelined behind a body": [post(FIVE, body=b"hello") + GET],
    "a bad one behind a good one": [GET + b"\x00\x01\r\n\r\n"],
    "a bad one behind a stream": [get(b"/stream") + b"NONSENSE\r\n\r\n"],
    "a bad one after a good one": [GET, b"NONSENSE\r\n\r\n"],
    "a bad one between": [GET + b"NONSENSE\r\n\r\n" + GET],
    "a bad body behind a good one": [GET + post(CHUNKED, body=b"zz\r\n")],
    "byte by byte": [bytes([byte]) for byte in post(FIVE, b"x: y", body=b"hello") + GET],
    "length and chunks": [post(FIVE, CHUNKED, body=b"0\r\n\r\n")],
    "chunks and length": [post(CHUNKED, FIVE, body=b"0\r\n\r\n")],
    "two lengths": [post(FIVE, b"content-length: 6", body=b"hello!")],
    "two equal lengths": [post(FIVE, FIVE, body=b"hello")],
    "a length with a plus": [post(b"content-length: +5", body=b"hello")],
    "a list of lengths": [post(b"content-length: 5, 5", body=b"hello")],
    "a hex length": [post(b"content-length: 0x5", body=b"hello")],
    "an empty length": [post(b"content-length:", body=b"hello")],
    "te: two words": [post(b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n")],
    "te: chunked first": [post(b"transfer-encoding: chunked, gzip", body=b"0\r\n\r\n")],
    "te: twice": [post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")],
    "te: xchunked": [post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n")],
    "te: upper": [post(b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n")],
    "te: tab": [post(b"transfer-encoding:\tchunked", body=b"0\r\n\r\n")],
    "te: vertical tab": [post(b"transfer-encoding: \x0bchunked", body=b"0\r\n\r\n")],
    "te: space before colon": [post(b"transfer-encoding : chunked", body=b"0\r\n\r\n")],
    "te: identity": [post(b"transfer-encoding: identity", FIVE, body=b"hello")],
    "te: quoted": [post(b'transfer-encoding: "chunked"', body=b"0\r\n\r\n")],
    "te in 1.0": [post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", version=b"1.0")],
    "te in GET": [get(b"/", CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n" + GET],
    "length in GET": [get(b"/", FIVE) + b"hello" + GET],
    "obs-fold": [get(b"/", b"x: a", b" b")],
    "fold first": [get(b"/", b" x: a")],
    "bare lf": [b"GET / HTTP/1.1\nhost: a\n\n"],
    "bare cr": [b"GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n"],
    "nul in value": [get(b"/", b"x: a\x00b")],
    "no colon": [get(b"/", b"nonsense")],
    "empty name": [get(b"/", b": nonsense")],
    "space in name": [get(b"/", b"a b: c")],
    "two hosts": [get(b"/", b"host: b")],
    "no host": [b"GET / HTTP/1.1\r\n\r\n"],
    "chunk extension": [post(CHUNKED, body=b'5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n') + GET],
    "chunk extension bare lf": [post(CHUNKED, body=b"5;a\nhello\r\n0\r\n\r\n")],
    "chunk of negative size": [post(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n")],
    "chunk of huge size": [post(CHUNKED, body=b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n")],
    "chunk of 0x": [post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n")],
    "chunk too long": [post(CHUNKED, body=b"5\r\nhello world\r\n0\r\n\r\n")],
    "chunk ends in lf": [post(CHUNKED, body=b"5\r\nhello\n0\r\n\r\n")],
    "chunk size in lf": [post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n")],
    "trailers": [post(CHUNKED, body=b"5\r\nhello\r\n0\r\nx-api-key: k\r\nhost: b\r\n\r\n") + GET],
    "trailers behind another": [GET + post(CHUNKED, body=b"5\r\nhello\r\n0\r\nx-api-key: k\r\n\r\n")],
    "trailing expect": [post(CHUNKED, body=b"5\r\nhello\r\n0\r\nexpect: 100-continue\r\n\r\n") + GET],
    "absolute": [get(b"http://b/path?x")],
    "absolute without path": [get(b"http://b")],
    "absolute https": [get(b"https://b:1/p")],
    "star": [get(b"*", method=b"OPTIONS")],
    "star get": [get(b"*")],
    "options": [get(b"/", method=b"OPTIONS")],
    "connect": [get(b"b:443", method=b"CONNECT")],
    "connect path": [get(b"/", method=b"CONNECT")],
    "h2c": [get(b"/", b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: a") + GET],
    "h2c with a body": [post(b"connection: upgrade", b"upgrade: h2c", FIVE, body=b"hello") + GET],
    "h2c with a chunked body": [
        post(b"connection: upgrade", b"upgrade: h2c", CHUNKED),
        b"5\r\nhello\r\n0\r\n\r\n" + GET,
    ],
    "h2c with a body and another": [
        post(b"connection: upgrade", b"upgrade: h2c", FIVE, body=b"hello") + post(FIVE, body=b"other")
    ],
    "h2c with a bad body": [post(b"connection: upgrade", b"upgrade: h2c", CHUNKED, body=b"zz\r\n")],
    "h2c, then frames": [
        get(b"/", b"connection: upgrade", b"upgrade: h2c"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    "h2c and frames": [get(b"/stream", b"connection: upgrade", b"upgrade: h2c") + b"\x00\x00\x00\x04"],
    "websocket": [
        get(
            b"/",
            b"connection: upgrade",
            b"upgrade: websocket",
            b"sec-websocket-key: a",
            b"sec-websocket-version: 13",
        )
    ],
    "upgrade unconnected": [get(b"/", b"upgrade: h2c") + GET],
    "prior knowledge": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "1.0": [get(b"/", version=b"1.0")],
    "1.0 stays": [get(b"/", b"connection: keep-alive", version=b"1.0") + GET],
    "1.0 streams": [get(b"/stream", version=b"1.0")],
    "1.0 expects": [post(FIVE, CONTINUE, version=b"1.0"), b"hello"],
    "0.9": [b"GET /\r\n\r\n"],
    "0.9 told": [get(b"/", version=b"0.9")],
    "0.9 stays": [get(b"/stream", b"connection: keep-alive", version=b"0.9")],
    "2.0": [get(b"/", version=b"2.0")],
    "1.2": [get(b"/", version=b"1.2")],
    "lower version": [b"GET / http/1.1\r\nhost: a\r\n\r\n"],
    "lower method": [get(b"/", method=b"get")],
    "two spaces": [b"GET  /  HTTP/1.1\r\nhost: a\r\n\r\n"],
    "no target": [b"GET HTTP/1.1\r\n\r\n"],
    "nothing first": [b"\r\n\r\n" + GET],
    "fragment": [get(b"/a#b")],
    "nul in path": [get(b"/a\x00b")],
    "escaped": [get(b"/a%2Fb%00%ff%zz?%41")],
    "high path": [get(b"/\xff")],
    "high query": [get(b"/?\xff")],
    "expects": [post(FIVE, CONTINUE), b"hello"],
    "expects with its body": [post(FIVE, CONTINUE, body=b"hello") + GET],
    "expects in vain": [post(FIVE, CONTINUE, path=b"/early"), GET],
    "expects in vain with its body": [post(FIVE, CONTINUE, path=b"/early", body=b"hello"), GET],
    "expects nothing": [get(b"/", CONTINUE), GET],
    "expects miracles": [post(FIVE, b"expect: miracles", body=b"hello")],
    "head": [get(b"/", method=b"HEAD"), GET],
    "head of a stream": [get(b"/stream", method=b"HEAD") + GET],
    "bodiless": [get(b"/bodiless") + GET],
    "same": [get(b"/same") + GET],
    "early": [post(FIVE, path=b"/early"), b"hello", GET],
    "early, chunked": [post(CHUNKED, path=b"/early"), b"5\r\nhello\r\n0\r\n\r\n", GET],
    "early, then bad": [post(CHUNKED, path=b"/early"), b"zz\r\n"],
    "early and closing": [post(FIVE, b"connection: close", path=b"/early"), b"hello", GET],
    "close": [get(b"/", b"connection: close") + GET],
    "close, odd": [get(b"/", b"connection: CLOSE, x") + GET],
    "the app closes": [get(b"/close") + GET],
    "too long": [get(b"/long") + GET],
    "too short": [get(b"/short") + GET],
    "bug": [get(b"/bug") + GET],
    "late bug": [get(b"/late-bug") + GET],
    "split": [get(b"/split") + GET],
    "silent": [get(b"/silent") + GET],
    "a bad chunk": [post(CHUNKED, body=b"5\r\nhel"), b"lozz\r\n"],
}

SAME_TURN = "what is good is answered before what is bad behind it is refused"
TRAILERS = "what comes behind a body is no header: nobody who judged the headers has seen it"
OFFERED = "who offers another protocol has its body read, and what follows may be that protocol's: the connection ends"
OLD = "callers of HTTP/1.0 and before know neither chunks nor 100, and their connections end"
UNASKED = "whether what comes next is the body that was not asked for, nobody can tell: the connection ends"
ONE_EACH = "a request that was answered is not answered again"
NOTHING_OUT = "an answer that was wrong before any of it was out is 500"

DIFFERENT = {
    "a bad one behind a good one": SAME_TURN,
    "a bad one behind a stream": SAME_TURN,
    "a bad one between": SAME_TURN,
    "a bad body behind a good one": SAME_TURN,
    "trailers": TRAILERS,
    "trailers behind another": TRAILERS,
    "trailing expect": TRAILERS,
    "connect path": OFFERED,
    "h2c": OFFERED,
    "h2c with a body": OFFERED,
    "h2c with a chunked body": OFFERED,
    "h2c with a body and another": OFFERED,
    "h2c with a bad body": OFFERED,
    "h2c, then frames": OFFERED,
    "h2c and frames": OFFERED,
    "websocket": OFFERED,
    "1.0 streams": OLD,
    "1.0 expects": OLD,
    "0.9 stays": OLD,
    "expects in vain": UNASKED,
    "early, then bad": ONE_EACH,
    "too long": NOTHING_OUT,
    "too short": NOTHING_OUT,
    "split": NOTHING_OUT,
}
"""Where our answers are others than uvicorn's, and why."""

Outcome = tuple[list[tuple[int, tuple[bool, bool], bytes]], bool]
"""Each answer's status, whether it says that the connection ends and is in chunks, its body; whether it ended."""


@pytest.fixture(scope="module")
def ours() -> Connect:
    """Connections of ours."""
    return connects(
        TimedConfig("no:app", request_seconds=60, lifespan="off", ws="none", log_config=None), app
    )


@pytest.fixture(scope="module")
def theirs() -> Connect:
    """Connections of uvicorn's."""
    return connects(
        uvicorn.Config("no:app", http="httptools", lifespan="off", ws="none", log_config=None), app
    )


async def outcome(connect: Connect, script: Sequence[bytes]) -> Outcome:
    """What a script leads to."""
    wire = connect()
    await say(wire, script)
    ended = wire.ended
    wire.close()
    await settle()
    methods = [piece.partition(b" ")[0].decode("latin-1") for piece in script]
    answers = answers_of(wire.sent, methods)
    return [
        (status, (b"connection: close" in head, b"chunked" in head), REFUSALS.sub(b"refused", body))
        for status, head, body in answers
    ], ended


REFUSALS = re.compile(b"Invalid HTTP request received.|the request is not HTTP")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_same_bytes_have_the_same_answers_as_from_uvicorn(
    ours: Connect, theirs: Connect, name: str
) -> None:
    """But where a difference is wanted; and then there is one."""
    script = SCRIPTS[name]

    found, expected = await outcome(ours, script), await outcome(theirs, script)

    if name in DIFFERENT:
        assert found != expected, "the difference is gone"
    else:
        assert found == expected


WANTED = {
    "a bad one behind a stream": [200, 400],
    "a bad one between": [200, 400],
    "a bad body behind a good one": [200, 400],
    "h2c with a body and another": [200],
    "h2c with a bad body": [400],
    "websocket": [200],
    "1.0 expects": [200],
    "expects in vain": [413],
    "early, then bad": [413],
    "early and closing": [413],
    "too long": [500],
    "too short": [500],
    "split": [500],
}


@pytest.mark.parametrize("name", WANTED)
async def test_where_it_differs_each_request_has_one_answer_in_its_turn(ours: Connect, name: str) -> None:
    """And the connection ends."""
    answers, ended = await outcome(ours, SCRIPTS[name])

    assert [status for status, _, _ in answers] == WANTED[name]
    assert ended


async def test_trailers_are_no_headers(ours: Connect) -> None:
    """Also of a request that waits for its turn while they come."""
    for name in ("trailers", "trailers behind another"):
        answers, _ = await outcome(ours, SCRIPTS[name])
        assert not any(b"x-api-key" in body for _, _, body in answers)


async def test_the_body_behind_an_offer_of_http_2_is_read(ours: Connect) -> None:
    """Whole, and nothing of what follows."""
    for name in ("h2c with a body", "h2c with a chunked body", "h2c with a body and another"):
        answers, _ = await outcome(ours, SCRIPTS[name])
        assert [json.loads(body)["body"] for _, _, body in answers] == ["hello"]


async def test_an_old_caller_gets_a_stream_without_chunks(ours: Connect) -> None:
    """It ends with the connection."""
    wire = ours()
    await say(wire, SCRIPTS["1.0 streams"])

    assert b"chunked" not in wire.sent
    assert wire.sent.endswith(b"\r\n\r\nonetwo")
    assert wire.is_closing()
