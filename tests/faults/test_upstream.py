"""Both ways to a provider, direct and through a proxy: the same behaviour, and the same errors."""

import asyncio
import functools
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from gateway_async import upstream as upstream_module
from gateway_async import upstream_proxy
from gateway_async.config import TimeoutsConfig
from gateway_async.errors import UpstreamError, UpstreamInvalid, UpstreamTimeout, UpstreamUnavailable
from gateway_async.providers._base import UpstreamRequest, UpstreamResponse
from gateway_async.upstream import Direct, Transport, Upstream, UpstreamStream
from gateway_async.upstream_proxy import Proxied
from tests.faults.chaos import (
    CHUNKED,
    END,
    PATIENCE,
    SOON,
    Chaos,
    Peer,
    answer,
    answering,
    chaos,
    chunk,
    full_backlog,
    once,
    stalled,
    until,
)
from tests.faults.proxy import Proxy, proxy
from tests.support.ports import closed_port

Start = Callable[..., Awaitable[Chaos]]
Certified = Callable[..., ssl.SSLContext]

OK = b"HTTP/1.1 200 OK\r\n"
KEY = "sk-secret-0815"
PATIENT = TimeoutsConfig(connect=PATIENCE, first_byte=PATIENCE, idle=PATIENCE, total=PATIENCE)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests does not count."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def forwarding(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that the environment names."""
    async with proxy() as started:
        monkeypatch.setenv("http_proxy", started.url)
        monkeypatch.setenv("https_proxy", started.url)
        yield started


@pytest.fixture(params=["direct", "proxied"])
async def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Transport]:
    """Each of the two, one after the other."""
    if request.param == "direct":
        direct = Direct()
        yield direct
        await direct.aclose()
        return
    async with proxy() as started:
        monkeypatch.setenv("http_proxy", started.url)
        monkeypatch.setenv("https_proxy", started.url)
        proxied = Proxied()
        yield proxied
        await proxied.aclose()


@pytest.fixture(params=["send", "open"])
def ask(request: pytest.FixtureRequest, transport: Transport) -> Callable[..., Awaitable[UpstreamResponse]]:
    """A whole answer: asked for as one, or as a stream that is read to its end."""

    async def send(url: str, timeouts: TimeoutsConfig = PATIENT, **settings: Any) -> UpstreamResponse:
        return await transport.send(post(url, **settings), timeouts)

    async def opened(url: str, timeouts: TimeoutsConfig = PATIENT, **settings: Any) -> UpstreamResponse:
        stream = await transport.open(post(url, **settings), timeouts)
        try:
            body = await drain(stream)
        except BaseException:
            await stream.aclose()
            raise
        await stream.aclose(finished=True)
        return UpstreamResponse(stream.status, stream.headers, body)

    return send if request.param == "send" else opened


Ask = Callable[..., Awaitable[UpstreamResponse]]


def post(url: str, body: bytes = b"ping", **headers: str) -> UpstreamRequest:
    """A request with a key in its headers and another in its path."""
    return UpstreamRequest(f"{url}/{KEY}", {"Authorization": f"Bearer {KEY}", **headers}, body)


async def drain(stream: UpstreamStream) -> bytes:
    """All of a stream."""
    pieces = []
    while data := await stream.read():
        pieces.append(data)
    return b"".join(pieces)


def limits(**seconds: float) -> TimeoutsConfig:
    """Patience in all but these."""
    return PATIENT.model_copy(update=seconds)


# What works.


async def test_an_answer_comes_with_status_headers_and_body(ask: Ask, upstream: Start) -> None:
    """Headers by their small names, a repeated one with a comma; the request went out as it was given."""
    server = await upstream(answering(answer(b"no", status="418 Teapot", headers=b"X-A: 1\r\nX-A: 2\r\n")))

    response = await ask(server.url, body=b"x" * 100_000)

    assert (response.status, response.body) == (418, b"no")
    assert response.headers["x-a"] == "1, 2"
    (asked,) = server.asked
    assert asked.target.endswith(f"/{KEY}")
    assert asked.body == b"x" * 100_000
    for name, value in {
        "authorization": f"Bearer {KEY}",
        "accept-encoding": "identity",
        "content-length": "100000",
        "user-agent": "ai-gateway-sdk",
        "host": f"127.0.0.1:{server.port}",
    }.items():
        assert asked.header(name) == [value]


@pytest.mark.parametrize(
    "data",
    [
        answer(),
        CHUNKED + b"2;x\r\nhe\r\n" + chunk(b"llo") + b"0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    ],
    ids=["length", "chunks", "continue"],
)
async def test_connections_serve_again(data: bytes, ask: Ask, upstream: Start) -> None:
    """One after the other needs one connection only."""
    server = await upstream(answering(data))

    for _ in range(5):
        assert (await ask(server.url)).body == b"hello"
    assert server.connections == 1


@pytest.mark.parametrize(
    "data", [OK + b"\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", answer(headers=b"Connection: close\r\n")]
)
async def test_an_answer_may_end_with_its_connection(data: bytes, ask: Ask, upstream: Start) -> None:
    """The next request takes another one."""
    server = await upstream(once(data, then="close"))

    for _ in range(2):
        assert (await ask(server.url)).body == b"hello"
    assert server.connections == 2


async def test_a_redirect_is_an_answer(ask: Ask, upstream: Start) -> None:
    """It is not followed: the key would go to somebody else."""
    server = await upstream(
        answering(answer(status="307 Away", headers=b"Location: http://127.0.0.1:1/\r\n"))
    )

    assert (await ask(server.url)).status == 307
    assert len(server.asked) == 1


async def test_cookies_are_not_kept(ask: Ask, upstream: Start) -> None:
    """One caller's cookie is not another's."""
    server = await upstream(answering(answer(headers=b"Set-Cookie: a=b\r\n")))

    for _ in range(2):
        await ask(server.url)
    assert not any(asked.header("cookie") for asked in server.asked)


async def test_a_long_header_is_read(ask: Ask, upstream: Start) -> None:
    """Some providers put much into one."""
    server = await upstream(answering(answer(headers=b"X-Long: " + b"y" * 30_000 + b"\r\n")))

    assert (await ask(server.url)).headers["x-long"] == "y" * 30_000


async def test_the_address_of_a_server_may_hold_a_name_and_a_password(ask: Ask, upstream: Start) -> None:
    """They are not sent beside a key that the provider's settings give."""
    server = await upstream(answering(answer()))

    assert (await ask(server.url.replace("//", "//me:pass@"))).body == b"hello"
    assert server.asked[0].header("authorization") == [f"Bearer {KEY}"]
    assert "pass" not in server.asked[0].target


# What breaks.


async def test_a_dead_upstream_is_unavailable(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a dead proxy."""
    for name in ("http_proxy", "https_proxy"):
        if isinstance(transport, Proxied):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for scheme in ("http", "https"):
        with pytest.raises(UpstreamUnavailable, match=r"can't be reached: (Connection refused|the proxy)"):
            await transport.send(post(f"{scheme}://127.0.0.1:{closed_port()}"), PATIENT)


async def test_a_connection_that_is_not_made_in_time_is_a_timeout(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`connect` bounds it, and of a whole answer `total` and the deadline do too."""
    with full_backlog() as port:
        url = f"http://127.0.0.1:{port}"
        if isinstance(transport, Proxied):
            monkeypatch.setenv("http_proxy", url)
        for timeouts, seconds in ((limits(connect=0.1), None), (limits(total=0.1), None), (PATIENT, 0.1)):
            began = time.monotonic()
            with pytest.raises(UpstreamTimeout):
                await transport.send(post(url), timeouts, None if seconds is None else began + seconds)
            assert 0.09 < time.monotonic() - began < SOON
        with pytest.raises(UpstreamTimeout, match=r"could not be reached within 0\.1 s"):
            await transport.open(post(url), limits(connect=0.1))


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"X-",
        OK + b"Content-Length: 9\r\n\r\nhello",
        CHUNKED + chunk(b"a"),
        CHUNKED + b"5\r\nhe",
    ],
    ids=["nothing", "status", "headers", "length", "chunks", "chunk"],
)
async def test_an_answer_that_breaks_off_is_unavailable(
    data: bytes, then: str, ask: Ask, upstream: Start
) -> None:
    """Wherever it breaks, and never half an answer."""
    server = await upstream(once(data, then=then))

    with pytest.raises(UpstreamUnavailable, match="broke the connection off") as failed:
        await ask(server.url)
    assert failed.value.status == 502


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00 what is this\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
        OK + b"X-\0: 1\r\n\r\n",
        OK + b"X-Long: " + b"y" * 2**18,
        answer(headers=b"a:b\r\n" * 20_000),
    ],
    ids=["bytes", "SSH", "status", "negative", "two lengths", "smuggling", "NUL", "long", "flood"],
)
async def test_what_is_not_http_is_invalid(data: bytes, ask: Ask, upstream: Start) -> None:
    """At once, though the upstream holds the connection open."""
    server = await upstream(once(data))

    with pytest.raises(UpstreamInvalid, match=r"127\.0\.0\.1"):
        await ask(server.url)


@pytest.mark.parametrize(
    "data", [b"zz\r\nhello\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloX\r\n", b"f" * 40 + b"\r\n"]
)
async def test_a_chunk_that_is_none_is_invalid(data: bytes, ask: Ask, upstream: Start) -> None:
    """Also behind chunks that were right."""
    server = await upstream(once(CHUNKED + chunk(b"hello") + data))

    with pytest.raises(UpstreamError):
        await ask(server.url)


async def test_a_compressed_answer_is_refused(ask: Ask, upstream: Start) -> None:
    """Nobody asked for it, and a few bytes could fill the memory."""
    bomb = gzip.compress(b"\0" * 2**24)
    server = await upstream(answering(answer(bomb, headers=b"Content-Encoding: gzip\r\n")))

    with pytest.raises(UpstreamInvalid, match="compressed"):
        await ask(server.url)


async def test_an_answer_that_is_too_large_is_refused(
    transport: Transport, upstream: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No upstream can fill the memory with an answer that is read whole; also not with the words of an error."""
    monkeypatch.setattr(upstream_module, "MAX_ANSWER_BYTES", 10_000)
    monkeypatch.setattr(upstream_proxy, "MAX_ANSWER_BYTES", 10_000)
    server = await upstream(answering(answer(b"x" * 100_000), CHUNKED + 1000 * chunk(b"x" * 100) + END))

    for _ in range(2):
        with pytest.raises(UpstreamInvalid, match=r"(more|larger) than 10000 bytes"):
            await transport.send(post(server.url), PATIENT)
        stream = await transport.open(post(server.url), PATIENT)
        with pytest.raises(UpstreamInvalid, match="larger than 10000 bytes"):
            await stream.read_all()
        await stream.aclose()


# Time.


@pytest.mark.parametrize("data", [b"", OK + b"X-"])
async def test_an_upstream_that_stays_silent_is_left_after_first_byte(
    data: bytes, ask: Ask, upstream: Start
) -> None:
    """And sees it."""
    server = await upstream(once(data))
    began = time.monotonic()

    with pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.5 s"):
        await ask(server.url, limits(first_byte=0.5))
    assert 0.49 < time.monotonic() - began < SOON
    await server.peers[0].gone()


async def test_headers_that_trickle_are_left_after_first_byte(ask: Ask, upstream: Start) -> None:
    """A byte now and then does not put it off."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.drip(OK + b"X: " + b"y" * 10_000, pause=0.01)

    server = await upstream(script)

    with pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.1 s"):
        await ask(server.url, limits(first_byte=0.1))


async def test_headers_and_first_token_have_their_time_together(
    transport: Transport, upstream: Start
) -> None:
    """An upstream that sends its headers at once has not answered yet."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(1.5)
        await peer.send(CHUNKED)
        await peer.gone()

    server = await upstream(script)
    began = time.monotonic()
    stream = await transport.open(post(server.url), limits(first_byte=3))
    headers_at = time.monotonic()

    with pytest.raises(UpstreamTimeout, match=r"sent nothing for 3 s"):
        await stream.read()
    assert time.monotonic() - began > 2.99
    assert time.monotonic() - headers_at < 2.9
    await stream.aclose()


async def test_a_stream_that_pauses_is_left_after_idle(transport: Transport, upstream: Start) -> None:
    """What came before was given."""
    server = await upstream(once(CHUNKED + chunk(b"one")))
    stream = await transport.open(post(server.url), limits(idle=0.1))
    assert await stream.read() == b"one"
    began = time.monotonic()

    with pytest.raises(UpstreamTimeout, match=r"sent nothing for 0\.1 s"):
        await stream.read()
    assert 0.09 < time.monotonic() - began < SOON
    await stream.aclose()
    await server.peers[0].gone()


async def test_a_stream_may_pause_longer_than_its_first_byte_took(
    transport: Transport, upstream: Start
) -> None:
    """Each time has its own limit."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one"))
        await asyncio.sleep(1.3)
        await peer.send(chunk(b"two") + END)
        await peer.gone()

    server = await upstream(script)
    stream = await transport.open(post(server.url), limits(first_byte=1))

    assert await drain(stream) == b"onetwo"
    await stream.aclose(finished=True)


async def test_a_slow_reader_does_not_lose_its_stream(transport: Transport, upstream: Start) -> None:
    """The times count while somebody waits, not while they are busy."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"one"))
        await asyncio.sleep(1.2)
        await peer.send(chunk(b"two") + END)
        await peer.gone()

    server = await upstream(script)
    stream = await transport.open(post(server.url), limits(first_byte=1, idle=1))

    assert await stream.read() == b"one"
    await asyncio.sleep(1.4)
    assert await drain(stream) == b"two"
    await stream.aclose(finished=True)


@pytest.mark.parametrize("by", ["total", "deadline"])
async def test_an_answer_that_trickles_is_left_after_total(
    by: str, transport: Transport, upstream: Start
) -> None:
    """However often it sends something; a deadline counts if it is nearer."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 10000\r\n\r\n")
        await peer.drip(b"y" * 10_000, pause=0.01)

    server = await upstream(script)
    began = time.monotonic()

    timeouts = limits(total=1.5, first_byte=1, idle=0.05) if by == "total" else PATIENT
    deadline = began + 1.5 if by == "deadline" else None

    with pytest.raises(UpstreamTimeout, match=r"did not finish it within 1\.\d+ s"):
        await transport.send(post(server.url), timeouts, deadline)
    assert 1.49 < time.monotonic() - began < SOON
    await server.peers[0].gone()


async def test_an_answer_whose_body_pauses_is_waited_for(transport: Transport, upstream: Start) -> None:
    """`idle` is for streams; an answer that is read whole has its total."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Length: 5\r\n\r\nhel")
        await asyncio.sleep(1.3)
        await peer.send(b"lo")
        await peer.gone()

    server = await upstream(script)

    assert (await transport.send(post(server.url), limits(first_byte=1, idle=0.1))).body == b"hello"


async def test_the_words_of_an_error_have_a_limit_too(transport: Transport, upstream: Start) -> None:
    """An error in place of a stream is read whole, in no more than an answer's time."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 10000\r\n\r\n")
        await peer.drip(b"y" * 10_000, pause=0.01)

    server = await upstream(script)
    stream = await transport.open(post(server.url), limits(total=1))
    assert stream.status == 500
    began = time.monotonic()

    with pytest.raises(UpstreamTimeout):
        await stream.read_all()
    assert 0.99 < time.monotonic() - began < SOON
    await stream.aclose()


async def test_a_deadline_in_the_past_is_a_timeout(transport: Transport, upstream: Start) -> None:
    """Nobody waits for such an answer."""
    server = await upstream(once(b""))

    with pytest.raises(UpstreamTimeout):
        await transport.send(post(server.url), PATIENT, time.monotonic() - 1)


# Letting go.


async def test_a_stream_that_is_let_go_frees_its_upstream(transport: Transport, upstream: Start) -> None:
    """At once; closing again does nothing."""
    server = await upstream(once(CHUNKED + chunk(b"one")))
    stream = await transport.open(post(server.url), PATIENT)
    assert await stream.read() == b"one"

    await stream.aclose()

    assert await server.peers[0].gone() < SOON
    await stream.aclose()
    await stream.aclose(finished=True)


async def test_a_request_that_is_cancelled_frees_its_upstream(transport: Transport, upstream: Start) -> None:
    """Whether the answer has begun or not."""
    server = await upstream(once(OK + b"Content-Length: 9\r\n\r\nhello"))
    silent = await upstream(once(b""))
    for one in (server, silent):
        request = asyncio.create_task(transport.send(post(one.url), PATIENT))
        await until(functools.partial(getattr, one, "asked"))
        await asyncio.sleep(0.05)

        request.cancel()

        with pytest.raises(asyncio.CancelledError):
            await request
        assert await one.peers[0].gone() < SOON


async def test_an_unfinished_stream_is_not_used_again(transport: Transport, upstream: Start) -> None:
    """Its rest would be taken for the next answer; a finished one is used again."""
    server = await upstream(answering(CHUNKED + chunk(b"one") + END))
    endless = await upstream(answering(CHUNKED + chunk(b"one")))
    for _ in range(2):
        stream = await transport.open(post(endless.url), PATIENT)
        assert await stream.read() == b"one"
        await stream.aclose()
    assert endless.connections == 2

    for _ in range(2):
        stream = await transport.open(post(server.url), PATIENT)
        assert await stream.read() == b"one"
        assert await stream.read() == b""
        await stream.aclose(finished=True)
    assert server.connections == 1


async def test_a_slow_reader_slows_its_upstream(transport: Transport, upstream: Start) -> None:
    """What waits between the two is bounded."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\n")
        while True:
            await peer.send(b"x" * 2**16)

    server = await upstream(script)
    stream = await transport.open(post(server.url), PATIENT)

    await stalled(server.peers[0], below=2**25)  # the kernel's buffers, with a proxy those of two connections

    assert await stream.read()
    await stream.aclose()
    assert await server.peers[0].gone() < SOON


async def test_closing_closes_every_connection(transport: Transport, upstream: Start) -> None:
    """Those that wait and those that are busy; afterwards new ones are opened."""
    server = await upstream(answering(answer()))
    streaming = await upstream(once(CHUNKED + chunk(b"one")))
    await transport.send(post(server.url), PATIENT)
    stream = await transport.open(post(streaming.url), PATIENT)
    assert await stream.read() == b"one"

    await transport.aclose()

    await server.peers[0].gone()
    await streaming.peers[0].gone()
    with pytest.raises(UpstreamUnavailable):
        await stream.read()
    assert (await transport.send(post(server.url), PATIENT)).body == b"hello"
    await stream.aclose()


def test_each_loop_has_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that calls `asyncio.run` more than once need not build its client anew."""
    direct, proxied = Direct(), Proxied()

    async def once_more() -> None:
        async with chaos(answering(answer())) as server, proxy() as forwarding:
            assert (await direct.send(post(server.url), PATIENT)).body == b"hello"
            monkeypatch.setenv("http_proxy", forwarding.url)
            assert (await proxied.send(post(server.url), PATIENT)).body == b"hello"
            monkeypatch.delenv("http_proxy")
            await direct.aclose()
            await proxied.aclose()

    for _ in range(3):
        asyncio.run(once_more())


# TLS.


async def test_a_certificate_that_is_in_order_is_accepted(
    ask: Ask, upstream: Start, certified: Certified, trusted: None
) -> None:
    """Directly, and through the proxy's tunnel."""
    server = await upstream(answering(answer()), tls=certified("127.0.0.1"))

    for _ in range(2):
        assert (await ask(server.url)).body == b"hello"
    assert server.connections == 1


async def test_certificates_that_are_wrong_are_refused_and_said_to_be(
    transport: Transport, upstream: Start, certified: Certified, trusted: None
) -> None:
    """Before the key goes out."""
    past = datetime.now(UTC) - timedelta(days=1)
    cases = {
        "unable to get local issuer|self.signed": certified("127.0.0.1", by=trustme.CA()),
        "expired": certified("127.0.0.1", not_before=past - timedelta(days=1), not_after=past),
        "mismatch|not valid for": certified("other.example"),
    }
    for words, context in cases.items():
        server = await upstream(answering(answer()), tls=context)
        for asking in (transport.send(post(server.url), PATIENT), transport.open(post(server.url), PATIENT)):
            with pytest.raises(
                UpstreamUnavailable, match=f"can't be reached: .*certificate is not valid: .*({words})"
            ):
                await asking
        assert not server.asked


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_handshake_that_breaks_off_is_unavailable(
    how: str, transport: Transport, upstream: Start, trusted: None
) -> None:
    """Like every connection that is not made."""

    async def script(peer: Peer) -> None:
        await peer.reader.read(10)
        await getattr(peer, how)()

    server = await upstream(script)

    with pytest.raises(UpstreamUnavailable):
        await transport.send(post(server.url.replace("http:", "https:")), PATIENT)
    await asyncio.sleep(0.05)


# What errors say.


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://a b.example",
        "ftp://a.example",
        "no address",
        "http://a.example:99999",
        "http://a..example",
        "",
    ],
)
async def test_an_address_that_is_none_is_an_upstream_error(url: str, transport: Transport) -> None:
    """A wrong configuration is not an internal error of the gateway."""
    for call in (transport.send, transport.open):
        with pytest.raises(UpstreamUnavailable) as failed:
            await call(post(url), PATIENT)
        assert KEY not in str(failed.value)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "“quoted”"])
async def test_a_header_that_can_not_be_sent_is_an_upstream_error(
    value: str, transport: Transport, upstream: Start
) -> None:
    """Nothing is sent, and the message says which header it was."""
    server = await upstream(answering(answer()))

    with pytest.raises(UpstreamUnavailable, match="the header X-Key holds") as failed:
        await transport.send(UpstreamRequest(server.url, {"X-Key": KEY + value}, b""), PATIENT)
    assert KEY not in str(failed.value)
    assert not server.connections


async def test_errors_name_the_host_and_never_the_key(ask: Ask, upstream: Start) -> None:
    """Neither what stands before an @, nor a path, nor a header."""
    for data in (b"", b"HTTP/1.1 200", b"garbage\r\n\r\n"):
        server = await upstream(once(data, then="close"))
        with pytest.raises(UpstreamError) as failed:
            await ask(server.url.replace("//", f"//me:{KEY}@"))
        assert KEY not in str(failed.value)
        assert f"127.0.0.1:{server.port}" in str(failed.value)


# Which way is taken.


async def test_the_environment_decides_which_way_is_taken(
    upstream: Start, forwarding: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the proxy where one is named for the scheme, and not to hosts that it is not for."""
    server = await upstream(answering(answer()))
    async with Upstream() as both:
        for expected in (1, 1):
            assert (await both.send(post(server.url), PATIENT)).body == b"hello"
            stream = await both.open(post(server.url), PATIENT)
            assert await drain(stream) == b"hello"
            await stream.aclose(finished=True)
            assert len(forwarding.lines) == expected
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await both.send(post(server.url), PATIENT)).body == b"hello"
        assert len(forwarding.lines) == 1
        with pytest.raises(UpstreamUnavailable):
            await both.send(post("http://[::1"), PATIENT)
    for peer in server.peers:
        await peer.gone()


async def test_a_proxy_that_finds_no_way_is_unavailable(forwarding: Proxy) -> None:
    """Its own refusal is not an answer of the provider."""
    async with Upstream() as both:
        with pytest.raises(UpstreamUnavailable, match="the proxy of the environment"):
            await both.send(post(f"https://127.0.0.1:{closed_port()}"), PATIENT)
        assert (await both.send(post(f"http://127.0.0.1:{closed_port()}"), PATIENT)).status == 502
    assert forwarding.lines[0].startswith("CONNECT ")
