"""What is tried again, and what must not be: a request that may have been accepted is not made twice."""

import socket
import time
from typing import Any

import pytest
from tenacity import RetryCallState

from gateway_async import GatewayError, retries
from gateway_async.errors import (
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    RateLimited,
    RequestTimeout,
    error_code,
)
from tests.contract.conftest import Connect
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import make
from tests.support.ports import closed_port
from tests.support.upstream import CUT, HOLD, Reply, chat, json_reply, words

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
OK = json_reply({"status": "OK"})
AT_ONCE = {"retry_after": "0"}


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("call", ["health", "query", "stream"])
async def test_a_failure_that_may_pass_is_tried_again(
    connect: Connect, fake: FakeGateway, status: int, call: str
) -> None:
    """As often as it takes, up to `max_retries`."""
    good = {"health": OK, "query": chat(), "stream": words("Hello")}[call]
    fake.answer(refused(status, **AT_ONCE), refused(status, **AT_ONCE), good)
    client = connect(fake.url)

    assert await make(client, call, *["chat", HELLO] * (call != "health"))
    assert fake.count == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 413, 418, 422, 501, 504, 505])
async def test_another_failure_is_not_tried_again(connect: Connect, fake: FakeGateway, status: int) -> None:
    """It would fail again, or may have been done; the error has the status, its code and the server's words."""
    fake.answer(refused(status, "the server's own words", **AT_ONCE))

    with pytest.raises(GatewayError, match="the server's own words") as failed:
        await connect(fake.url).query("chat", HELLO)

    assert fake.count == 1
    assert (failed.value.status, failed.value.error_code) == (status, error_code(status))
    assert failed.value.error_code in failed.value.message


async def test_the_last_failure_is_raised(connect: Connect, fake: FakeGateway) -> None:
    """After the first call and `max_retries` more."""
    fake.answer(refused(503, **AT_ONCE), refused(500, **AT_ONCE), refused(429, "too many", **AT_ONCE))

    with pytest.raises(RateLimited, match="too many") as failed:
        await connect(fake.url, max_retries=2).query("chat", HELLO)

    assert fake.count == 3
    assert failed.value.retry_after == 0


async def test_retries_can_be_switched_off(connect: Connect, fake: FakeGateway) -> None:
    """The first failure is raised."""
    fake.answer(refused(503, **AT_ONCE))

    with pytest.raises(GatewayError):
        await connect(fake.url, max_retries=0).health()

    assert fake.count == 1


async def test_retry_after_is_waited_for(connect: Connect, fake: FakeGateway) -> None:
    """Not less than the server asks."""
    fake.answer(refused(429, retry_after="0.4"), chat())
    began = time.monotonic()

    await connect(fake.url).query("chat", HELLO)

    assert 0.4 <= time.monotonic() - began < 20


async def test_without_retry_after_there_is_a_short_wait(
    connect: Connect, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn anew each time, and longer from time to time, so that callers do not come back all at once."""
    waits: list[float] = []
    draw = retries._backoff

    def no_wait(state: RetryCallState) -> float:
        waits.append(draw(state))
        return 0.0

    monkeypatch.setattr(retries, "_backoff", no_wait)
    fake.answer(refused(503), refused(503), refused(503), chat())

    await connect(fake.url).query("chat", HELLO)

    assert len(set(waits)) == 3
    assert all(0 <= wait <= 0.5 * 2**attempt for attempt, wait in enumerate(waits))


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2037 07:28:00 GMT", "soon", "-1", "", "²", "1e3", "1.2.3"])
async def test_a_retry_after_that_is_no_number_is_not_waited_for(
    connect: Connect, fake: FakeGateway, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks differ and servers err: then the usual wait is made."""
    monkeypatch.setattr("gateway_async.retries._backoff", lambda state: 0.0)
    fake.answer(refused(503, retry_after=header), chat())

    assert await connect(fake.url).query("chat", HELLO)


async def test_a_wait_beyond_the_timeout_is_not_begun(connect: Connect, fake: FakeGateway) -> None:
    """The caller gets the failure at once, with the time after which it may pass."""
    fake.answer(refused(429, retry_after="3600"))
    began = time.monotonic()

    with pytest.raises(RateLimited) as failed:
        await connect(fake.url, timeout=60).query("chat", HELLO)

    assert failed.value.retry_after == 3600
    assert fake.count == 1
    assert time.monotonic() - began < 30


async def test_the_time_of_the_first_attempt_counts(connect: Connect, fake: FakeGateway) -> None:
    """A wait that would end after the timeout is not begun either: the failure is told, not the timeout."""
    fake.answer(Reply(b"{}", 503, headers={"retry-after": "29.8"}, before=0.6))

    with pytest.raises(GatewayError, match="TEMPORARILY_UNAVAILABLE"):
        await connect(fake.url, timeout=30).query("chat", HELLO)

    assert fake.count == 1


@pytest.mark.parametrize("call", ["query", "stream"])
async def test_a_timeout_is_not_tried_again(connect: Connect, fake: FakeGateway, call: str) -> None:
    """The gateway may be at work on it. The error names the seconds."""
    fake.answer(Reply(before=HOLD))
    client = connect(fake.url, timeout=1.5)

    with pytest.raises(RequestTimeout, match=r"1\.5 seconds") as failed:
        await make(client, call, "chat", HELLO)

    assert (failed.value.status, failed.value.error_code) == (504, "DEADLINE_EXCEEDED")
    assert fake.count == 1


async def test_a_get_that_takes_too_long_is_not_tried_again(connect: Connect, fake: FakeGateway) -> None:
    """Somebody who is slow now is slow again."""
    fake.answer(Reply(before=HOLD))

    with pytest.raises(RequestTimeout, match=r"GET /health: .* 1\.5 seconds"):
        await connect(fake.url, timeout=1.5).health()

    assert fake.count == 1


async def test_the_timeout_holds_for_an_answer_that_trickles(connect: Connect, fake: FakeGateway) -> None:
    """The whole call has `timeout` seconds, not each piece of its answer."""
    fake.answer(Reply(script=[b" ", 0.1] * 500))
    began = time.monotonic()

    with pytest.raises(RequestTimeout, match=r"0\.5 seconds"):
        await connect(fake.url, timeout=0.5).query("chat", HELLO)

    assert time.monotonic() - began < 20


async def test_the_timeout_holds_for_all_attempts_together(connect: Connect, fake: FakeGateway) -> None:
    """However many there are."""
    fake.answer(Reply(b"{}", 503, headers={"retry-after": "0"}, before=0.2))
    began = time.monotonic()

    with pytest.raises(GatewayError):
        await connect(fake.url, timeout=0.7, max_retries=200).query("chat", HELLO)

    assert time.monotonic() - began < 20
    assert fake.count <= 5


@pytest.mark.parametrize("call", ["query", "stream", "set_limits", "create_route"])
async def test_a_post_that_was_cut_off_is_not_made_again(
    connect: Connect, fake: FakeGateway, call: str
) -> None:
    """The gateway may have taken it."""
    fake.answer(Reply(before=CUT), chat())
    client = connect(fake.url)

    with pytest.raises(ConnectionFailed, match="broke before the answer was whole"):
        await make(client, call, "chat", {"set_limits": [], "create_route": "llm/v1/chat"}.get(call, HELLO))

    assert fake.count == 1


async def test_a_post_whose_answer_was_cut_off_is_not_made_again(connect: Connect, fake: FakeGateway) -> None:
    """Half an answer is none."""
    fake.answer(Reply(b'{"id": "half', headers={"content-length": "500"}), chat())

    with pytest.raises(ConnectionFailed):
        await connect(fake.url).query("chat", HELLO)

    assert fake.count == 1


async def test_a_get_that_was_cut_off_is_made_again(
    connect: Connect, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking twice does no harm."""
    monkeypatch.setattr(retries, "_backoff", lambda state: 0.0)
    fake.answer(Reply(before=CUT), OK)

    assert await connect(fake.url).health() == {"status": "OK"}
    assert fake.count == 2


async def test_a_post_whose_answer_is_no_gateway_s_is_not_made_again(
    connect: Connect, fake: FakeGateway
) -> None:
    """Whoever answered has taken it."""
    fake.answer(Reply(b"<html>", content_type="text/html"))

    with pytest.raises(InvalidAnswer):
        await connect(fake.url).query("chat", HELLO)

    assert fake.count == 1


async def test_a_host_that_does_not_answer_is_told_with_the_seconds(connect: Connect) -> None:
    """A full queue of connections is as silent as a firewall."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))

        with pytest.raises(ClientError, match=r"0\.3 seconds"):
            await connect(f"http://127.0.0.1:{port}", timeout=0.3).query("chat", HELLO)
        for each in waiting:
            each.close()


@pytest.mark.parametrize("call", ["health", "query", "stream"])
async def test_a_refused_connection_is_tried_again(
    connect: Connect, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has taken anything. At last the error names the host and the port."""
    tries: list[RetryCallState] = []

    def no_wait(state: RetryCallState) -> float:
        tries.append(state)
        return 0.0

    monkeypatch.setattr(retries, "_backoff", no_wait)
    port = closed_port()
    client = connect(f"http://127.0.0.1:{port}", max_retries=2)

    with pytest.raises(
        ConnectionFailed, match=rf"no gateway can be reached at 127\.0\.0\.1:{port}"
    ) as failed:
        await make(client, call, *["chat", HELLO] * (call != "health"))

    assert len(tries) == 3
    assert failed.value.may_repeat
