"""What streams use: asked for whatever the caller asked, told when they end, and hidden from who did not ask."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from gateway_async.call import Answer, Call, Handler, Headers, StreamAnswer
from gateway_async.config import RouteType
from gateway_async.errors import GatewayError, UnsupportedParameter, UpstreamRefused
from gateway_async.policies.usage import with_usage
from gateway_async.tokens import Tokens
from tests.providers.cases import Case, each, read
from tests.support.configs import HELLO

Json = dict[str, Any]

ASKED: Json = {"stream_options": {"include_usage": True}}
USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
FRAME = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-mock"}
LAST = {**FRAME, "choices": [], "usage": USAGE}


def word(text: str, **more: Any) -> Json:
    """A chunk."""
    return {**FRAME, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}


class Batches:
    """A stream of chunks, so many at a time; then an error, if there is one."""

    headers: Headers = ()

    def __init__(self, chunks: Sequence[Json], at_once: int = 1, error: Exception | None = None) -> None:
        self._chunks = [json.dumps(chunk).encode() for chunk in chunks]
        self._at_once = at_once
        self._error = error
        self.closed = 0

    def __aiter__(self) -> "Batches":
        return self

    async def __anext__(self) -> Sequence[bytes]:
        batch, self._chunks = self._chunks[: self._at_once], self._chunks[self._at_once :]
        if batch:
            return batch
        raise self._error or StopAsyncIteration

    async def aclose(self) -> None:
        """Note it."""
        self.closed += 1


class Provider:
    """A handler that gives what it has, one thing after the other, and remembers what it was asked."""

    def __init__(self, *gives: Batches | GatewayError) -> None:
        self._gives = list(gives)
        self.asked: list[Json] = []

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        self.asked.append(call.data)
        given = self._gives.pop(0)
        if isinstance(given, GatewayError):
            raise given
        return given


class Told:
    """Calls a handler, and hears what was used."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.used: list[Tokens] = []

    async def open(self, data: Json | None = None) -> StreamAnswer:
        """A stream."""
        call = Call("r", RouteType.LLM_V1_CHAT, {**HELLO, **(data or {})}, stream=True)
        call.on_usage = (self.used.append,)
        answer = await self._handler(call)
        assert not isinstance(answer, Answer)
        return answer

    async def stream(self, data: Json | None = None) -> list[Json]:
        """All chunks of a stream."""
        answer = await self.open(data)
        try:
            return [json.loads(chunk) async for batch in answer for chunk in batch]
        finally:
            await answer.aclose()


def refusal(message: str, status: int = 400) -> UpstreamRefused:
    """A provider's refusal."""
    return UpstreamRefused(message, status=status)


@pytest.mark.parametrize("at_once", [1, 2, 10])
@pytest.mark.parametrize("asks", [False, True])
async def test_a_stream_tells_what_it_used_whether_or_not_it_was_asked(asks: bool, at_once: int) -> None:
    """Once, when it ends; only who asks gets the chunk that says it."""
    chunks = [word("Hello", usage=None), word(" there", usage=None), LAST]
    provider = Provider(Batches(chunks, at_once))
    told = Told(with_usage(provider))

    got = await told.stream(ASKED if asks else {})

    assert provider.asked[0]["stream_options"] == ASKED["stream_options"]
    assert got == chunks[: 3 if asks else 2]
    assert told.used == [Tokens(30, 12, 42)]


@pytest.mark.parametrize("at_once", [1, 2, 10])
async def test_a_usage_that_is_told_twice_is_hidden_twice(at_once: int) -> None:
    """Some tell it as they go; the last counts."""
    early = {**LAST, "usage": {**USAGE, "completion_tokens": 5, "total_tokens": 35}}
    told = Told(with_usage(Provider(Batches([word("Hello"), early, LAST], at_once))))

    assert await told.stream() == [word("Hello")]
    assert told.used == [Tokens(30, 12, 42)]


async def test_the_caller_s_own_options_go_with_ours() -> None:
    """And the call has its own data again, for whoever looks at it later."""
    provider = Provider(Batches([LAST]))
    call = Call("r", RouteType.LLM_V1_CHAT, {**HELLO, "stream_options": {"x": 1}}, stream=True)
    await with_usage(provider)(call)

    assert provider.asked[0]["stream_options"] == {"x": 1, "include_usage": True}
    assert call.data["stream_options"] == {"x": 1}


async def test_a_usage_in_another_chunk_stays_there() -> None:
    """It may have come unasked, as with some vendors."""
    chunks = [word("Hello"), word(" there", usage=USAGE)]
    told = Told(with_usage(Provider(Batches(chunks))))

    assert await told.stream() == chunks
    assert told.used == [Tokens(30, 12, 42)]


async def test_what_nobody_tells_is_estimated() -> None:
    """A token for every four bytes of prompt and answer, and said to be an estimate."""
    told = Told(with_usage(Provider(Batches([word("x" * 40), word("y" * 40)]))))
    await told.stream({"messages": [{"role": "user", "content": "y" * 400}]})

    assert told.used == [Tokens(100, 20, 120, estimated=True)]


async def test_a_stream_that_fails_or_is_left_tells_once() -> None:
    """What came until then was used."""
    broken = Batches([word("x" * 40)], error=GatewayError("broken"))
    left = Batches([word("x" * 40), word("y" * 40)])
    told = Told(with_usage(Provider(broken, left)))

    with pytest.raises(GatewayError, match="broken"):
        await told.stream()
    answer = await told.open()
    await anext(answer)
    await answer.aclose()
    await answer.aclose()

    assert [used.completion for used in told.used] == [10, 10]
    assert broken.closed == 1


async def test_a_stream_that_is_cancelled_tells_once() -> None:
    """The caller left while its next chunk was awaited."""

    class Silent(Batches):
        async def __anext__(self) -> Sequence[bytes]:
            await asyncio.Event().wait()
            raise StopAsyncIteration

    told = Told(with_usage(Provider(Silent([]))))
    reading = asyncio.create_task(told.stream())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert len(told.used) == 1


@pytest.mark.parametrize(
    "refused",
    [
        refusal("Unrecognized request argument supplied: stream_options"),
        refusal("Extra inputs are not permitted", 422),
        UnsupportedParameter.field("stream_options", "the vendor has none"),
    ],
    ids=["named", "unnamed", "ours"],
)
async def test_who_refuses_to_be_asked_is_not_asked_again(refused: GatewayError) -> None:
    """The call goes on without, as do those after it."""
    provider = Provider(refused, Batches([word("Hello")]), Batches([word("Hello")]))
    told = Told(with_usage(provider))

    assert await told.stream() == await told.stream() == [word("Hello")]
    assert ["stream_options" in data for data in provider.asked] == [True, False, False]
    assert all(used.estimated for used in told.used)


async def test_who_was_asked_before_refuses_something_else() -> None:
    """Then the refusal is the caller's; nothing is asked twice."""
    provider = Provider(Batches([LAST]), refusal("the prompt is too long"))
    told = Told(with_usage(provider))
    await told.stream()

    with pytest.raises(UpstreamRefused, match="too long"):
        await told.stream()
    assert len(provider.asked) == 2


async def test_a_request_that_is_refused_either_way_says_nothing_of_asking() -> None:
    """The next one is asked as before."""
    provider = Provider(refusal("no"), refusal("no"), Batches([LAST]))
    told = Told(with_usage(provider))
    with pytest.raises(UpstreamRefused):
        await told.stream()
    await told.stream()

    assert ["stream_options" in data for data in provider.asked] == [True, False, True]


async def test_a_whole_answer_passes() -> None:
    """It tells for itself."""

    async def provider(call: Call) -> Answer:
        return Answer(json.dumps({"usage": USAGE}).encode())

    answer = await with_usage(provider)(Call("r", RouteType.LLM_V1_CHAT, HELLO, stream=False))

    assert isinstance(answer, Answer)
    assert answer.usage == Tokens(30, 12, 42)
    assert Answer(b"{}").usage is None


@each(lambda case: case.streams and not case.fails)
async def test_every_provider_tells_what_a_stream_used(case: Case) -> None:
    """Also to callers who do not ask; those get what they would get if the gateway did not ask either."""
    unasked = {name: value for name, value in case.data().items() if name != "stream_options"}
    before = said_by(case, unasked)
    said = [
        c["usage"] for c in said_by(case, {**unasked, **ASKED}) if (c.get("usage") or {}).get("total_tokens")
    ]

    async def provider(call: Call) -> StreamAnswer:
        case.adapter().request(call.data, stream=True)
        return Batches(said_by(case, call.data))

    told = Told(with_usage(provider))
    got = await told.stream(unasked)

    assert shown(got) == shown([chunk for chunk in before if chunk["choices"] or not chunk.get("usage")])
    assert len(told.used) == 1
    if said:
        assert told.used[0].total == said[-1]["total_tokens"]
    else:
        assert told.used[0].estimated


def said_by(case: Case, data: Json) -> list[Json]:
    """The chunks that a provider's adapter makes of a recorded stream for this request."""
    found = read(case.adapter().reader(data), [case.stream_bytes()])
    assert found.error is None
    return found.chunks


def shown(chunks: Sequence[Json]) -> Any:
    """What the chunks say, without that which differs from one call to the next."""
    found = [
        {name: part for name, part in chunk.items() if name not in ("id", "created")} for chunk in chunks
    ]
    return json.loads(re.sub("call[-_][0-9a-f]{32}", "an id of ours", json.dumps(found)))
