"""A caller who leaves ends the upstream's call with it: 100 ms is the aim, and what is measured is printed."""

import json
import socket
import struct
import time

import pytest

from tests.support.configs import HELLO, Json
from tests.support.raw import chunked, request
from tests.support.server import Server
from tests.support.upstream import HOLD, MockUpstream, Reply, chat, delta, stream, words

AIM = 0.1
BOUND = 8.0
"""What a busy machine is granted; without the watching a call would go on for longer than any test waits."""


def call(*, openai: bool, streamed: bool, route: str = "up-chat") -> bytes:
    """The request of a chat."""
    body: Json = {**HELLO, **({"stream": True} if streamed else {}), **({"model": route} if openai else {})}
    path = "/v1/chat/completions" if openai else f"/gateway/{route}/invocations"
    return request(f"POST {path}", body=json.dumps(body).encode())


dialects = pytest.mark.parametrize("openai", [False, True], ids=["documented", "openai"])


def measured(upstream: MockUpstream, left_at: float) -> None:
    """Check how long the upstream's call went on."""
    took = upstream.left(upstream.request()) - left_at
    print(
        f"the upstream's call ended {took * 1000:.0f} ms after its caller left (the aim is {AIM * 1000:.0f})"
    )
    assert took < BOUND


@dialects
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_leaving_before_the_answer_ends_the_upstream_s_call(
    server: Server, upstream: MockUpstream, openai: bool, streamed: bool
) -> None:
    """While the upstream still thinks."""
    upstream.reply(Reply(before=HOLD))
    with server.connect() as connection:
        connection.sendall(call(openai=openai, streamed=streamed))
        upstream.request()
        time.sleep(0.2)
    measured(upstream, time.monotonic())


@dialects
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
def test_leaving_at_once_ends_the_upstream_s_call(
    server: Server, upstream: MockUpstream, openai: bool, streamed: bool
) -> None:
    """As soon as the upstream has the request."""
    upstream.reply(Reply(before=HOLD))
    with server.connect() as connection:
        connection.sendall(call(openai=openai, streamed=streamed))
        upstream.request()
    measured(upstream, time.monotonic())


@dialects
def test_leaving_a_stream_ends_the_upstream_s_call(
    server: Server, upstream: MockUpstream, openai: bool
) -> None:
    """After the first word, while the upstream is silent."""
    upstream.reply(stream(delta("One"), HOLD))
    with server.connect() as connection:
        connection.sendall(call(openai=openai, streamed=True))
        seen = b""
        while b"One" not in seen:
            seen += connection.recv(10_000)
    measured(upstream, time.monotonic())


@dialects
def test_leaving_a_busy_stream_ends_the_upstream_s_call(
    server: Server, upstream: MockUpstream, openai: bool
) -> None:
    """While words come all the time."""
    upstream.reply(words(*["word "] * 2000, pace=0.01))
    with server.connect() as connection:
        connection.sendall(call(openai=openai, streamed=True))
        connection.recv(1000)
        time.sleep(0.1)
    measured(upstream, time.monotonic())


def test_leaving_without_a_word_ends_the_upstream_s_call(server: Server, upstream: MockUpstream) -> None:
    """A connection that is reset, not closed."""
    upstream.reply(Reply(before=HOLD))
    with server.connect() as connection:
        connection.sendall(call(openai=True, streamed=False))
        upstream.request()
        time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    measured(upstream, time.monotonic())


def test_a_reader_who_stops_reading_stops_the_upstream(server: Server, upstream: MockUpstream) -> None:
    """A stream that nobody reads is not gathered in the gateway's memory without end; leaving ends it."""
    word = delta("x" * 10_000)
    upstream.reply(stream(*[word] * 20_000))
    with server.connect() as connection:
        connection.sendall(call(openai=True, streamed=True))
        received = upstream.request()
        time.sleep(0.5)
        assert not received.answered
    measured(upstream, time.monotonic())


def test_many_leave_at_once(server: Server, upstream: MockUpstream) -> None:
    """Every one of fifty calls ends."""
    upstream.reply(Reply(before=HOLD))
    callers = [server.connect() for _ in range(50)]
    for number, caller in enumerate(callers):
        caller.sendall(call(openai=bool(number % 2), streamed=bool(number % 3)))
    upstream.request(49)
    for caller in callers:
        caller.close()
    left_at = time.monotonic()

    took = max(upstream.left(upstream.request(index)) for index in range(50)) - left_at

    print(f"fifty calls ended within {took * 1000:.0f} ms after their callers left")
    assert took < BOUND


def test_one_who_stays_is_not_disturbed(server: Server, upstream: MockUpstream) -> None:
    """A call that is watched for long is answered all the same, and so is the next on its connection."""
    upstream.reply(chat("late", before=0.4))
    with server.client() as http:
        for _ in range(2):
            answer = http.post("/gateway/up-chat/invocations", json=HELLO)
            assert answer.json()["choices"][0]["message"]["content"] == "late"


def test_one_whose_body_came_slowly_is_not_disturbed(server: Server, upstream: MockUpstream) -> None:
    """In chunks, with pauses that are longer than the watching begins after."""
    upstream.reply(chat("late", before=0.2))
    body = json.dumps(HELLO).encode()
    head = request("POST /gateway/up-chat/invocations", b"transfer-encoding: chunked", length=False)
    with server.connect() as connection:
        connection.sendall(head)
        for at in range(0, len(body), 20):
            connection.sendall(chunked([body[at : at + 20]]).removesuffix(b"0\r\n\r\n"))
            time.sleep(0.05)
        connection.sendall(b"0\r\n\r\n")
        seen = b""
        while b"late" not in seen:
            piece = connection.recv(10_000)
            assert piece
            seen += piece


def test_a_caller_who_left_is_logged_as_one(server: Server, upstream: MockUpstream) -> None:
    """A line of the access log with 499, as nginx has it, and no error."""
    upstream.reply(Reply(before=HOLD))
    mine = b"x-request-id: one-who-left"
    with server.connect() as connection:
        data = call(openai=False, streamed=False)
        connection.sendall(data.replace(b"host: localhost", b"host: localhost\r\n" + mine))
        upstream.request()
    upstream.left(upstream.request())

    server.wait_for_log("one-who-left")
    line = next(line for line in server.log.splitlines() if "one-who-left" in line)
    assert " 499 " in line
