"""A kept connection that the upstream closes just as the next request is on its way."""

from collections.abc import AsyncIterator

import pytest

from gateway_async.errors import UpstreamUnavailable
from gateway_async.gateway import Gateway
from tests.policies.destined import ask, asked, gateway_of, open_stream, read_text, text_of, through, told
from tests.support.upstream import CUT, MockUpstream, Reply, chat, stream, words

SWALLOWED = Reply(before=CUT)
"""The connection is closed without a byte."""


@pytest.fixture
async def gateway(upstream: MockUpstream) -> AsyncIterator[Gateway]:
    """A gateway that has a connection to the upstream, without a request on it."""
    async with gateway_of(through(upstream)) as gateway:
        await ask(gateway)
        upstream.received.clear()
        yield gateway


async def test_a_request_that_a_closing_connection_swallowed_is_sent_once_more(
    gateway: Gateway, upstream: MockUpstream
) -> None:
    """On a new connection, and nobody is told: it never came to the provider."""
    for _ in range(3):
        made = upstream.connections
        upstream.first(SWALLOWED)
        answer = await ask(gateway)
        assert text_of(answer) == "Hello there"
        assert told(answer) == ("openai/m0", 1)
        assert upstream.connections == made + 1
    one, other, *_ = upstream.received
    assert (one.path, one.body) == (other.path, other.body)

    upstream.reply(words("Hi"))
    upstream.first(SWALLOWED)
    assert await read_text(await open_stream(gateway)) == "Hi"


async def test_a_new_connection_that_swallows_it_has_failed(gateway: Gateway, upstream: MockUpstream) -> None:
    """It is not sent a third time, nor a second time where none was kept."""
    upstream.first(SWALLOWED, SWALLOWED)
    with pytest.raises(UpstreamUnavailable, match="broke the connection off"):
        await ask(gateway)
    assert asked(upstream) == [2]

    upstream.first(SWALLOWED)
    with pytest.raises(UpstreamUnavailable, match="broke the connection off"):
        await ask(gateway)
    assert asked(upstream) == [3]


async def test_an_answer_that_has_begun_is_not_asked_for_again(
    gateway: Gateway, upstream: MockUpstream
) -> None:
    """Whoever sends a byte has the request."""
    upstream.first(stream(CUT))
    with pytest.raises(UpstreamUnavailable, match="broke the connection off"):
        await ask(gateway)
    assert asked(upstream) == [1]


async def test_who_thinks_for_a_while_had_the_request(
    gateway: Gateway, upstream: MockUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is closed later than at once was not closed before the request came."""
    monkeypatch.setattr("gateway_async.http1.pool.STALE_SECONDS", -1.0)
    upstream.first(SWALLOWED)
    with pytest.raises(UpstreamUnavailable, match="broke the connection off"):
        await ask(gateway)
    assert asked(upstream) == [1]
    upstream.reply(chat())
    assert text_of(await ask(gateway))
