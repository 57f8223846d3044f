"""What becomes of an upstream's failures: the status, the shape, the words, and never a key."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.support.configs import HELLO, KEY, Json
from tests.support.server import Server
from tests.support.upstream import (
    CUT,
    DONE,
    HOLD,
    MockUpstream,
    Reply,
    chat,
    delta,
    error,
    event,
    json_reply,
    stream,
    words,
)


@dataclass(frozen=True)
class Way:
    """A dialect, whole or streamed."""

    openai: bool
    stream: bool

    def post(self, http: httpx.Client, route: str = "up-chat") -> httpx.Response:
        """Ask a route for a chat."""
        body: Json = {**HELLO, **({"stream": True} if self.stream else {})}
        if self.openai:
            return http.post("/v1/chat/completions", json={**body, "model": route})
        return http.post(f"/gateway/{route}/invocations", json=body)

    def message(self, body: Json) -> str:
        """The message of an error, which must have this dialect's shape."""
        if self.openai:
            assert set(body) == {"error"}
            assert set(body["error"]) == {"message", "type", "param", "code"}
            return str(body["error"]["message"])
        assert set(body) - {"status"} == {"detail", "error_code", "message"}
        return str(body["message"])


ways = pytest.mark.parametrize(
    "way",
    [Way(openai, streamed) for openai in (False, True) for streamed in (False, True)],
    ids=["documented", "documented stream", "openai", "openai stream"],
)
streams = pytest.mark.parametrize("way", [Way(False, True), Way(True, True)], ids=["documented", "openai"])
wholes = pytest.mark.parametrize("way", [Way(False, False), Way(True, False)], ids=["documented", "openai"])

STATUSES = {
    400: 400,
    401: 502,
    402: 502,
    403: 502,
    404: 404,
    405: 502,
    407: 502,
    408: 408,
    413: 413,
    422: 422,
    429: 429,
    500: 502,
    501: 502,
    502: 502,
    503: 503,
    504: 504,
    529: 503,
    301: 502,
    307: 502,
    600: 502,
}


@ways
@pytest.mark.parametrize(("theirs", "ours"), STATUSES.items())
def test_a_status_is_the_callers_or_the_upstreams_fault(
    http: httpx.Client, upstream: MockUpstream, way: Way, theirs: int, ours: int
) -> None:
    """The caller's faults keep their status; our key's faults and the upstream's own are 502, 503 or 504."""
    upstream.reply(error(theirs, f"no to {KEY}", retry_after="7", location="http://127.0.0.1:9/"))

    answer = way.post(http)

    assert answer.status_code == (400 if way.openai and ours == 422 else ours)
    assert answer.headers["content-type"] == "application/json"
    message = way.message(answer.json())
    assert str(theirs) in message
    assert "no to *" in message or theirs < 400
    # Neither our account nor a request that is too long is better after a while.
    assert answer.headers.get("retry-after") == (None if theirs in (401, 402, 403, 407, 413) else "7")


@ways
@pytest.mark.parametrize(
    ("header", "ours"),
    [
        ("0", "0"),
        ("1.2", "2"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "0"),
        ("-5", None),
        ("9" * 50, None),
        ("soon", None),
    ],
)
def test_only_seconds_to_wait_are_passed_on(
    http: httpx.Client, upstream: MockUpstream, way: Way, header: str, ours: str | None
) -> None:
    """Whole ones, also where it was told as a date."""
    upstream.reply(error(429, retry_after=header))

    assert way.post(http).headers.get("retry-after") == ours


NOT_AN_ANSWER: dict[str, Reply] = {
    "a page": Reply(b"<html>Welcome</html>", content_type="text/html"),
    "nothing": Reply(b""),
    "a list": json_reply([1]),
    "a number": Reply(b"5"),
    "not UTF-8": Reply(b'{"choices": "\xff"}'),
    "no choices": json_reply({"id": "1"}),
    "no list of choices": json_reply({"choices": {"0": {}}}),
    "odd choices": json_reply({"choices": ["hello", 5]}),
    "an error in a success": json_reply({"error": {"message": "no"}}),
    "no content": Reply(b"", 204),
    "half of it": Reply(b'{"choices":', headers={"content-length": "100"}),
    "a broken connection": Reply(before=CUT),
    "a broken chunk": Reply(b"zz\r\n", headers={"transfer-encoding": "chunked"}),
    "not compressed": Reply(b"{}", headers={"content-encoding": "gzip"}),
    "a key": Reply(KEY.encode()),
}


@ways
@pytest.mark.parametrize("reply", NOT_AN_ANSWER.values(), ids=NOT_AN_ANSWER)
def test_what_is_no_answer_is_502_with_the_reason(
    http: httpx.Client, upstream: MockUpstream, way: Way, reply: Reply
) -> None:
    """Whatever an upstream sends; streamed, as long as nothing is out yet."""
    upstream.reply(reply)

    answer = way.post(http)

    assert answer.status_code == 502
    assert len(way.message(answer.json())) > 10
    assert KEY not in answer.text


@ways
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<h1>Bad gateway</h1>", "Bad gateway"),
        (b"", "no message"),
        (b"\xff" * 5000, "…"),
        (b'{"detail": [{"msg": "x"}]}', "msg"),
    ],
)
def test_an_error_in_any_shape_is_told(
    http: httpx.Client, upstream: MockUpstream, way: Way, body: bytes, said: str
) -> None:
    """The upstream's own words, however it has them."""
    upstream.reply(Reply(body, 500, "text/html"))

    assert said in way.message(way.post(http).json())


@ways
def test_an_upstream_that_is_not_there_is_503(http: httpx.Client, way: Way) -> None:
    """The error names the host."""
    answer = way.post(http, "dead")

    assert answer.status_code == 503
    assert "127.0.0.1:9 can't be reached" in way.message(answer.json())


@ways
def test_an_upstream_that_says_nothing_is_504(http: httpx.Client, upstream: MockUpstream, way: Way) -> None:
    """After as long as the route waits, and its connection is closed."""
    upstream.reply(Reply(before=HOLD))

    answer = way.post(http, "impatient")

    assert answer.status_code == 504
    assert 1.4 < answer.elapsed.total_seconds() < 15
    upstream.left(upstream.request())


@wholes
def test_an_upstream_that_never_ends_its_answer_is_504(
    http: httpx.Client, upstream: MockUpstream, way: Way
) -> None:
    """Though it sends something all the time: the whole must be there in time."""
    upstream.reply(Reply(script=[part for _ in range(100) for part in (b" ", 0.1)]))

    assert way.post(http, "impatient").status_code == 504
    upstream.left(upstream.request())


# --- within a stream --------------------------------------------------------------------------------------------


BREAKS: dict[str, tuple[Reply, str]] = {
    "the connection broke": (stream(delta("One"), CUT), ""),
    "the stream ended": (stream(delta("One")), "broke off"),
    "an error came": (stream(delta("One"), event({"error": {"message": f"no to {KEY}"}})), "no to *"),
    "an error in words came": (stream(delta("One"), event({"error": f"no to {KEY}"})), "no to *"),
    "garbage came": (stream(delta("One"), f"data: {KEY}\n\n".encode()), "not a JSON object"),
    "a list came": (stream(delta("One"), event([1])), "not a JSON object"),
    "odd choices came": (stream(delta("One"), event({"choices": ["a"]})), "choice"),
    "half a character came": (stream(delta("One"), b'data: {"choices":[{"delta":{"content":"\xc3', CUT), ""),
    "the stream ended within a character": (
        stream(delta("One"), b'data: {"choices":[{"delta":{"content":"\xc3'),
        "not a JSON object",
    ),
    "no UTF-8 came": (stream(delta("One"), b"data: \xff\xfe\n\n"), "not a JSON object"),
    "nothing came": (stream(delta("One"), HOLD), "sent nothing"),
}


@streams
@pytest.mark.parametrize("paced", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(("reply", "said"), BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_ends_with_an_error(
    http: httpx.Client, upstream: MockUpstream, way: Way, reply: Reply, said: str, paced: bool
) -> None:
    """After all that came, an event in the caller's dialect; no mark of a good end, and no key."""
    assert reply.script is not None
    first, *rest = reply.script
    upstream.reply(stream(first, 0.05, *rest) if paced else reply)

    answer = way.post(http, "impatient" if HOLD in rest else "up-chat")

    assert answer.status_code == 200
    assert KEY not in answer.text
    assert "[DONE]" not in answer.text
    *chunks, last = [json.loads(item.removeprefix("data: ")) for item in answer.text.split("\n\n") if item]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["One"]
    assert said in way.message(last)
    if not way.openai:
        assert last["status"] in (502, 504)


@streams
@pytest.mark.parametrize(
    "reply", [BREAKS["the connection broke"][0], BREAKS["an error came"][0]], ids=["cut", "error"]
)
def test_the_connection_serves_on_when_a_stream_has_broken(
    server: Server, upstream: MockUpstream, way: Way, reply: Reply
) -> None:
    """The answer has its proper end, though the stream had none."""
    with server.client() as http:
        ports = []
        for what in (reply, chat("Hello"), reply):
            upstream.reply(what)
            answer = (way if what is reply else Way(way.openai, False)).post(http)
            assert answer.status_code == 200
            ports.append(answer.extensions["network_stream"].get_extra_info("client_addr"))

    assert len(set(ports)) == 1


@streams
def test_an_error_in_place_of_the_first_chunk_has_a_status(
    http: httpx.Client, upstream: MockUpstream, way: Way
) -> None:
    """Nothing is out yet, though the upstream has said 200 and a comment."""
    told = event({"error": {"message": "slow down", "code": 429}})
    upstream.reply(stream(b": PROCESSING\n\n", 0.05, told))

    answer = way.post(http)

    assert answer.status_code == 429
    assert "slow down" in way.message(answer.json())


@streams
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"], ids=repr)
def test_a_stream_may_end_without_its_mark(
    http: httpx.Client, upstream: MockUpstream, way: Way, end: bytes
) -> None:
    """Some servers close after the finish reason."""
    upstream.reply(stream(delta("One"), delta(finish="stop").rstrip() + end))

    answer = way.post(http)

    assert "error" not in answer.text
    assert answer.text.endswith("[DONE]\n\n") == way.openai


@streams
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=repr)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_may_be_cut_anywhere(
    http: httpx.Client, upstream: MockUpstream, way: Way, line_end: bytes, size: int
) -> None:
    """Within a line end, within a character; comments and other fields are passed over."""
    text = (
        b": hello\n\nid: 1\nretry: 5\n"
        + delta("Zürich 漢字")
        + b"event: x\n"
        + delta("!", finish="stop")
        + DONE
    )
    data = text.replace(b"\n", line_end)
    upstream.reply(stream(*(data[at : at + size] for at in range(0, len(data), size))))

    answer = way.post(http)

    chunks = [json.loads(item[6:]) for item in answer.text.split("\n\n") if item and "[DONE]" not in item]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Zürich 漢字!"


@streams
def test_an_upstream_that_answers_whole_where_a_stream_is_asked_for_is_502(
    http: httpx.Client, upstream: MockUpstream, way: Way
) -> None:
    """It does not do what it promises."""
    upstream.reply(chat())

    assert way.post(http).status_code == 502


# --- what passes between ----------------------------------------------------------------------------------------


@ways
@pytest.mark.parametrize("make", [chat, lambda: error(500)], ids=["answer", "error"])
def test_connections_to_the_upstream_go_on_being_used(
    server: Server, upstream: MockUpstream, way: Way, make: Callable[[], Reply]
) -> None:
    """One for calls in turn, also after an error of the upstream."""
    upstream.reply(words("One") if way.stream and make is chat else make())
    with server.client() as http:
        way.post(http)
        before = upstream.connections
        for _ in range(5):
            way.post(http)

    assert upstream.connections - before <= 1


def test_the_caller_s_own_headers_stay_here(http: httpx.Client, upstream: MockUpstream) -> None:
    """No cookie, key or trace of a caller goes to a provider, and none of the provider's comes back."""
    upstream.reply(chat())
    headers = {
        "Cookie": "a=b",
        "Authorization": "Bearer mine",
        "X-Api-Key": "mine",
        "X-Forwarded-For": "1.2.3.4",
    }

    http.post("/gateway/up-chat/invocations", json=HELLO, headers=headers)

    sent = upstream.request().headers
    assert sent["authorization"] == f"Bearer {KEY}"
    assert not {"cookie", "x-api-key", "x-forwarded-for"} & set(sent)


def test_headers_of_the_upstream_stay_there(http: httpx.Client, upstream: MockUpstream) -> None:
    """Above all those that would change how the answer is read."""
    reply = chat()
    upstream.reply(
        Reply(reply.body, headers={"set-cookie": "a=b", "x-secret": "1", "content-disposition": "attachment"})
    )

    answer = http.post("/gateway/up-chat/invocations", json=HELLO)

    assert answer.status_code == 200
    assert not {"set-cookie", "x-secret", "content-disposition"} & set(answer.headers)
