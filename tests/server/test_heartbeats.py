"""Comments in streams that are silent: from the moment a stream is accepted until it ends, and never in its way."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from starlette.types import Message

from gateway_async import AsyncGatewayClient
from gateway_async.config_file import load_config
from gateway_async.errors import ConfigError
from gateway_server.heartbeats import HEARTBEAT, Heartbeats
from tests.server.test_leaving import call
from tests.support.configs import HELLO, Json, upstream_route
from tests.support.server import Server, running, wait_until, write_config
from tests.support.upstream import (
    CUT,
    DONE,
    GATE,
    HOLD,
    MockUpstream,
    Reply,
    Script,
    chat,
    delta,
    error,
    stream,
)

OFTEN = 0.1
"""Seconds between two heartbeats here."""

QUICK = {"connect": 10, "first_byte": 1.0, "idle": 0.6, "total": 10}
WORD = delta("One")
LAST = (delta(finish="stop"), DONE)
STREAM = {**HELLO, "stream": True}

dialects = pytest.mark.parametrize("of_openai", [False, True], ids=["documented", "openai"])


def configuration(url: str, seconds: float) -> Json:
    """A patient route and one of little patience, and so many seconds between heartbeats."""
    routes = [upstream_route("up-chat", "chat", url), upstream_route("hasty", "chat", url, timeouts=QUICK)]
    return {"endpoints": routes, "server": {"heartbeat_seconds": seconds}}


@pytest.fixture(scope="module")
def beating(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway whose heart beats often."""
    folder = tmp_path_factory.mktemp("beating")
    with running(folder, configuration(shared_upstream.url, OFTEN)) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]


class Reading:
    """What comes on a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.seen = b""

    def until(self, text: bytes, *, times: int = 1) -> bytes:
        """All that came once a text is there so many times."""
        while self.seen.count(text) < times:
            piece = self.connection.recv(65536)
            assert piece, f"no {text!r} in {self.seen!r}"
            self.seen += piece
        return self.seen


def body_of(answer: bytes) -> bytes:
    """The body of a chunked answer, whose chunks must be whole."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        assert rest[int(size, 16) :].startswith(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


@dialects
def test_a_stream_says_something_while_its_upstream_thinks(
    beating: Server, upstream: MockUpstream, of_openai: bool
) -> None:
    """The status goes out with the first comment, and the connection serves on when the stream is over."""
    upstream.reply(Reply(content_type="text/event-stream", before=GATE, script=[WORD, *LAST]))
    with beating.connect() as connection:
        for _ in range(2):
            connection.sendall(call(openai=of_openai, streamed=True))
            answer = Reading(connection)
            early = answer.until(HEARTBEAT, times=3)
            assert early.startswith(b"HTTP/1.1 200 ")
            assert b"content-type: text/event-stream" in early
            assert b"data:" not in early
            upstream.open_gate()
            body = body_of(answer.until(b"0\r\n\r\n"))
            upstream.reply(Reply(content_type="text/event-stream", before=GATE, script=[WORD, *LAST]))

            events = body.replace(HEARTBEAT, b"").split(b"\n\n")
            assert json.loads(events[0].removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "One"}
            assert events[-2:] == ([b"data: [DONE]", b""] if of_openai else [events[1], b""])


def test_a_stream_says_something_between_chunks(beating: Server, upstream: MockUpstream) -> None:
    """Its headers tell where it comes from, since there was no comment before them."""
    upstream.reply(stream(WORD, GATE, delta(" two"), *LAST))
    with beating.connect() as connection:
        connection.sendall(call(openai=True, streamed=True))
        answer = Reading(connection)
        answer.until(HEARTBEAT, times=2)
        upstream.open_gate()
        seen = answer.until(b"0\r\n\r\n")

    assert b"\r\nx-gateway-route: up-chat\r\n" in seen
    assert seen.index(b'"One"') < seen.index(HEARTBEAT) < seen.index(b'" two"')


def test_an_answer_that_is_no_stream_gets_no_comment(beating: Server, upstream: MockUpstream) -> None:
    """It has a status of its own, however late."""
    upstream.reply(chat("late", before=0.5))
    with beating.client() as http:
        answer = http.post("/gateway/up-chat/invocations", json=HELLO)

    assert answer.json()["choices"][0]["message"]["content"] == "late"
    assert answer.headers["content-type"] == "application/json"


def test_a_failure_before_the_first_comment_has_its_status(beating: Server, upstream: MockUpstream) -> None:
    """Nothing is out yet."""
    upstream.reply(error(400, "too long"))
    with beating.client() as http:
        answer = http.post("/gateway/up-chat/invocations", json=STREAM)

    assert answer.status_code == 400
    assert "too long" in answer.json()["message"]


@dialects
@pytest.mark.parametrize("begun", [False, True], ids=["before the first chunk", "within the stream"])
def test_a_caller_who_leaves_between_heartbeats_frees_the_upstream(
    beating: Server, upstream: MockUpstream, of_openai: bool, begun: bool
) -> None:
    """Though something is sent to it all the time."""
    upstream.reply(stream(WORD, HOLD) if begun else Reply(before=HOLD))
    with beating.connect() as connection:
        connection.sendall(call(openai=of_openai, streamed=True))
        Reading(connection).until(HEARTBEAT, times=2)

    assert upstream.left(upstream.request()) > 0


@pytest.mark.parametrize("reply", [error(429, "slow down", retry_after="7"), Reply(before=CUT)])
@dialects
def test_a_failure_behind_a_comment_is_an_event(
    beating: Server, upstream: MockUpstream, reply: Reply, of_openai: bool
) -> None:
    """In the caller's dialect, and the stream ends as it should: the connection serves on."""
    upstream.reply(Reply(**{**vars(reply), "before": GATE}))
    if reply.before is CUT:
        upstream.reply(Reply(content_type="text/event-stream", before=GATE, script=[CUT]))
    with beating.connect() as connection:
        connection.sendall(call(openai=of_openai, streamed=True))
        answer = Reading(connection)
        answer.until(HEARTBEAT)
        upstream.open_gate()
        body = body_of(answer.until(b"0\r\n\r\n")).replace(HEARTBEAT, b"")
        upstream.reply(stream(WORD, *LAST))
        connection.sendall(call(openai=of_openai, streamed=True))
        again = Reading(connection).until(b"0\r\n\r\n")

    told = json.loads(body.removeprefix(b"data: "))
    status = 429 if reply.status == 429 else 502
    assert body.count(b"\n\n") == 1
    if of_openai:
        assert set(told) == {"error"}
    else:
        assert told["status"] == status
    assert b'"One"' in again


def test_a_stream_that_says_nothing_ends_with_its_timeout(beating: Server, upstream: MockUpstream) -> None:
    """Our comments are no life of the upstream's."""
    upstream.reply(stream(WORD, GATE))
    with beating.connect() as connection:
        connection.sendall(call(openai=True, streamed=True, route="hasty"))
        body = body_of(Reading(connection).until(b"0\r\n\r\n"))

    assert HEARTBEAT in body
    assert b"sent nothing for 0.6 s" in body.split(b"\n\n")[-2]


def processing(times: int) -> Script:
    """An upstream that says so many times, with pauses, that it still thinks."""
    return [part for _ in range(times) for part in (b": PROCESSING\n\n", 0.2)]


def test_comments_of_the_upstream_are_no_first_token(beating: Server, upstream: MockUpstream) -> None:
    """Some providers send their own while they think: `first_byte` goes on."""
    upstream.reply(stream(*processing(30), WORD, *LAST))
    with beating.connect() as connection:
        connection.sendall(call(openai=True, streamed=True, route="hasty"))
        body = body_of(Reading(connection).until(b"0\r\n\r\n"))

    assert b"sent nothing for 1 s" in body


def test_comments_of_the_upstream_keep_a_stream_going(beating: Server, upstream: MockUpstream) -> None:
    """Between two chunks they are life: `idle` begins anew."""
    upstream.reply(stream(WORD, *processing(6), delta(" two"), *LAST))
    with beating.connect() as connection:
        connection.sendall(call(openai=True, streamed=True, route="hasty"))
        body = body_of(Reading(connection).until(b"0\r\n\r\n"))

    assert b'" two"' in body
    assert b"PROCESSING" not in body


# --- who reads them ------------------------------------------------------------------------------------------------


def test_openai_s_client_skips_them(beating: Server, upstream: MockUpstream) -> None:
    """Before the first chunk and between chunks."""
    upstream.reply(
        Reply(content_type="text/event-stream", before=0.3, script=[WORD, 0.3, delta(" two"), *LAST])
    )
    with openai.OpenAI(base_url=f"{beating.url}/v1", api_key="any", max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model="up-chat", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
        )

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["One", " two", None]


async def test_our_client_skips_them(beating: Server, upstream: MockUpstream) -> None:
    """They are no chunks."""
    upstream.reply(
        Reply(content_type="text/event-stream", before=0.3, script=[WORD, 0.3, delta(" two"), *LAST])
    )
    async with AsyncGatewayClient(beating.url) as client:
        chunks = [chunk async for chunk in client.stream_chat("up-chat", HELLO)]

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["One", " two", None]


async def test_they_are_life_for_our_client(beating: Server, upstream: MockUpstream) -> None:
    """A thought may take longer than its timeout, which is how long nothing comes."""
    upstream.reply(Reply(content_type="text/event-stream", before=1.2, script=[WORD, *LAST]))
    async with AsyncGatewayClient(beating.url, timeout=0.7, max_retries=0) as client:
        chunks = [chunk async for chunk in client.stream_chat("up-chat", HELLO)]

    assert chunks[0].choices[0].delta.content == "One"


# --- when --------------------------------------------------------------------------------------------------------


def test_how_often_may_be_changed_at_run_time(upstream: MockUpstream, tmp_path: Path) -> None:
    """And off is off."""
    path = tmp_path / "gateway.yaml"
    with running(tmp_path, write_config(path, configuration(upstream.url, 0))) as server:
        wait_until(lambda: bool(server.watching()), 60, "nobody watches the file")
        upstream.reply(Reply(content_type="text/event-stream", before=0.5, script=[WORD, *LAST]))
        with server.client() as http:
            assert b": heartbeat" not in http.post("/gateway/up-chat/invocations", json=STREAM).content
            write_config(path, configuration(upstream.url, OFTEN))
            server.wait_for_log("took up the changed configuration")
            upstream.reply(Reply(content_type="text/event-stream", before=GATE, script=[WORD, *LAST]))
            with http.stream("POST", "/gateway/up-chat/invocations", json=STREAM) as answer:
                assert next(answer.iter_bytes()) == HEARTBEAT
                upstream.open_gate()


def test_the_default_is_what_the_contract_says() -> None:
    """Fifteen seconds, and nothing below zero."""
    assert load_config({"endpoints": []}).server.heartbeat_seconds == 15
    with pytest.raises(ConfigError, match="heartbeat_seconds"):
        load_config({"endpoints": [], "server": {"heartbeat_seconds": -1}})


class Caller:
    """Who reads an answer, as fast as a test wants: each message is taken when there is a place for it."""

    def __init__(self, places: int) -> None:
        self.messages: list[Message] = []
        self.places = asyncio.Semaphore(places)
        self.sending = 0

    async def send(self, message: Message) -> None:
        """Take a message; no two at once."""
        assert not self.sending
        self.sending += 1
        try:
            await self.places.acquire()
            self.messages.append(message)
        finally:
            self.sending -= 1

    @property
    def bodies(self) -> list[bytes]:
        """What came, but for the headers."""
        return [message["body"] for message in self.messages if message["type"] == "http.response.body"]


async def beats(count: int) -> None:
    """Wait as long as so many heartbeats of `quick` take."""
    await asyncio.sleep(0.01 * count)


def quick() -> Heartbeats:
    """A heartbeat every hundredth of a second."""
    return Heartbeats(lambda: 0.01)


async def test_a_caller_who_does_not_read_gets_one_heartbeat_at_most() -> None:
    """And then what he was to get, in its order; nothing is sent beside anything else."""
    caller = Caller(0)
    out = quick().begin(caller.send)
    await beats(20)
    writing = asyncio.create_task(out.send(b"data: 1\n\n"))
    await beats(20)
    caller.places = _freed(caller.places, 3)
    await writing
    assert caller.bodies == [HEARTBEAT, b"data: 1\n\n"]
    ending = asyncio.create_task(out.end(b"data: 2\n\n"))
    await beats(20)
    caller.places = _freed(caller.places, 1)
    await ending
    await beats(20)

    assert caller.bodies == [HEARTBEAT, b"data: 1\n\n", b"data: 2\n\n"]


def _freed(places: asyncio.Semaphore, count: int) -> asyncio.Semaphore:
    for _ in range(count):
        places.release()
    return places


async def test_none_comes_while_something_else_does() -> None:
    """A stream that is never silent for so long has none."""
    caller = Caller(1000)
    out = Heartbeats(lambda: 0.3).begin(caller.send)
    await out.start(())
    for _ in range(40):
        await out.send(b"data: 1\n\n")
        await asyncio.sleep(0.02)
    await out.end(b"")

    assert HEARTBEAT not in caller.bodies


async def test_none_comes_behind_the_end() -> None:
    """Nor behind the beginning of it; and the timer stops when there are no streams."""
    caller, heartbeats = Caller(1000), quick()
    for _ in range(20):
        out = heartbeats.begin(caller.send)
        await beats(3)
        await out.end(b"the end")
    await beats(20)

    assert caller.bodies[-1] == b"the end"
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert not heartbeats.ticking


async def test_a_heartbeat_that_can_not_be_sent_harms_nobody() -> None:
    """Some servers tell by an error that the caller has left."""

    async def send(message: Message) -> None:
        raise OSError("gone")

    out = quick().begin(send)
    await beats(20)
    assert await out.settled()
