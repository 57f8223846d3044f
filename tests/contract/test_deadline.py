"""The client's timeout is the gateway's deadline too: it is told of it, keeps it, and passes it on."""

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.errors import RateLimited, RequestTimeout, UpstreamTimeout
from tests.contract.conftest import Connect
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of
from tests.support.configs import HELLO, upstream_route
from tests.support.upstream import HOLD, MockUpstream, Reply, chat, words

HEADER = "x-request-timeout"


async def test_the_gateway_is_told_how_long_the_client_waits(connect: Connect, fake: FakeGateway) -> None:
    """With each attempt what is left of it; not for a stream, which may go on for as long as it brings something."""
    client = connect(fake.url, timeout=20.0)
    fake.answer(refused(503, retry_after="0"), chat(), words("Hello"))

    await client.query("chat", HELLO)
    await all_of(client.stream("chat", HELLO))

    first, second, stream = (request.headers.get(HEADER) for request in fake.received)
    assert first is not None
    assert second is not None
    assert 0 < float(second) < float(first) <= 20.0
    assert stream is None


async def test_a_timeout_is_the_client_s_own(connect: Connect, fake: FakeGateway) -> None:
    """It names its seconds, whoever noticed first."""
    fake.answer(Reply(before=HOLD))

    with pytest.raises(RequestTimeout, match=r"timeout of 0\.5 seconds"):
        await connect(fake.url, timeout=0.5).query("chat", HELLO)


async def test_a_gateway_in_the_process_keeps_the_client_s_timeout(upstream: MockUpstream) -> None:
    """Beside its route's own, the shorter one; the provider is told of it, and let go."""
    upstream.reply(Reply(before=HOLD))
    config = {"endpoints": [upstream_route("chat", "chat", upstream.url)]}

    async with AsyncGatewayClient.local(config, timeout=0.5) as client:
        with pytest.raises(UpstreamTimeout, match=r"0\.\d+ s") as failed:
            await client.query("chat", HELLO)

    assert failed.value.status == 504
    assert 0 < float(upstream.request().headers[HEADER]) <= 0.5
    upstream.left(upstream.request())


async def test_without_a_timeout_the_provider_is_told_of_none(upstream: MockUpstream) -> None:
    """What the route allows is the gateway's own matter."""
    upstream.reply(chat())

    async with AsyncGatewayClient.local(
        {"endpoints": [upstream_route("chat", "chat", upstream.url)]}
    ) as client:
        await client.query("chat", HELLO)

    assert HEADER not in upstream.request().headers


async def test_a_wait_between_two_tries_is_not_begun_when_it_would_be_too_long(
    upstream: MockUpstream,
) -> None:
    """The caller hears at once what went wrong."""
    upstream.reply(Reply(b'{"error": {"message": "slow down"}}', 429, headers={"retry-after": "5"}))
    route = upstream_route("chat", "chat", upstream.url, retry={"attempts": 3})

    async with AsyncGatewayClient.local({"endpoints": [route]}, timeout=3) as client:
        with pytest.raises(Exception, match="slow down") as failed:
            await client.query("chat", HELLO)

    assert getattr(failed.value, "status", None) == 429
    assert not isinstance(failed.value, RateLimited)
    assert len(upstream.received) == 1
