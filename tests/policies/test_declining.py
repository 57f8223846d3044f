"""A filter of the provider's took the answer: another destination is asked, where the route says so."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway_async.call import Answer
from gateway_async.config_file import load_config
from gateway_async.errors import UpstreamRefused
from gateway_async.gateway import Gateway
from tests.support.configs import HELLO, upstream_route
from tests.support.upstream import (
    DONE,
    MockUpstream,
    Reply,
    chat,
    delta,
    error,
    json_reply,
    mock_upstream,
    stream,
    words,
)


@pytest.fixture(scope="module")
def second_upstream() -> Iterator[MockUpstream]:
    """Another provider."""
    with mock_upstream() as upstream:
        yield upstream


def filtered() -> Reply:
    """An answer that the filter has taken."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}
    return json_reply(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    )


def both(first: MockUpstream, second: MockUpstream, **more: Any) -> Gateway:
    """A gateway whose route asks the first, and the second when that can't answer."""
    models = [upstream_route("x", "chat", upstream.url)["model"] for upstream in (first, second)]
    destinations = [{"model": model, "priority": number} for number, model in enumerate(models, 1)]
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "destinations": destinations, **more}
    return Gateway(load_config({"endpoints": [route]}))


FALLS = {"fallback_on": ["content_policy"]}


async def ask(gateway: Gateway, **more: Any) -> tuple[bytes, dict[str, str]]:
    """All of an answer, and its headers."""
    answer = await gateway.handle(gateway.find("chat"), {**HELLO, **more})
    if isinstance(answer, Answer):
        return answer.body, dict(answer.headers)
    chunks = [chunk async for batch in answer for chunk in batch]
    await answer.aclose()
    return b"\n".join(chunks), dict(answer.headers)


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_next_destination_answers(
    upstream: MockUpstream, second_upstream: MockUpstream, streamed: bool
) -> None:
    """A whole answer and a stream alike; the stream of the first is let go."""
    upstream.reply(stream(delta(finish="content_filter"), DONE) if streamed else filtered())
    second_upstream.reply(words("gladly") if streamed else chat("gladly"))

    async with both(upstream, second_upstream, **FALLS) as gateway:
        body, headers = await ask(gateway, stream=streamed)

    assert b"gladly" in body
    assert headers["x-gateway-attempts"] == "2"
    assert (len(upstream.received), len(second_upstream.received)) == (1, 1)


async def test_what_is_left_of_the_answer_is_the_caller_s_when_nobody_has_another(
    upstream: MockUpstream, second_upstream: MockUpstream
) -> None:
    """And not the failure of the one that was asked after it."""
    upstream.reply(filtered())
    second_upstream.reply(error(500))

    async with both(upstream, second_upstream, **FALLS) as gateway:
        body, headers = await ask(gateway)

    assert b'"content_filter"' in body
    assert headers["x-gateway-attempts"] == "2"


async def test_a_stream_that_all_decline_is_a_refusal(
    upstream: MockUpstream, second_upstream: MockUpstream
) -> None:
    """It was given up for the next one, and can't be had back."""
    for each in (upstream, second_upstream):
        each.reply(stream(delta(finish="content_filter"), DONE))

    async with both(upstream, second_upstream, **FALLS) as gateway:
        with pytest.raises(UpstreamRefused, match="content filter") as refused:
            await ask(gateway, stream=True)

    assert refused.value.status == 400


async def test_a_route_that_does_not_ask_for_it_gives_the_answer_as_it_is(
    upstream: MockUpstream, second_upstream: MockUpstream
) -> None:
    """The caller sees why the answer ends."""
    upstream.reply(filtered())
    second_upstream.reply(chat())

    async with both(upstream, second_upstream) as gateway:
        body, _ = await ask(gateway)

    assert b'"content_filter"' in body
    assert not second_upstream.received


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_ordinary_answer_is_not_touched(
    upstream: MockUpstream, second_upstream: MockUpstream, streamed: bool
) -> None:
    """Every chunk of a stream is there once, in order."""
    upstream.reply(words("one", "two", "three") if streamed else chat("one two three"))

    async with both(upstream, second_upstream, **FALLS) as gateway:
        body, headers = await ask(gateway, stream=streamed)

    assert [word for word in (b"one", b"two", b"three") if body.count(word) == 1] == [
        b"one",
        b"two",
        b"three",
    ]
    assert headers["x-gateway-attempts"] == "1"
