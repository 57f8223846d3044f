"""OpenAI's own client, unmodified, against `/v1`: blocking and async."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

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

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Is it warm in Bern?"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Basel", "Bern"]}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The blocking client, which sends once only."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    """The async client, which sends once only."""
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """The text that the chunks add up to."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


class TestOffline:
    """With the provider that needs no key."""

    def test_chat(self, client: openai.OpenAI) -> None:
        """A typed answer, with the usage."""
        answer = client.chat.completions.create(model="chat", messages=HI)

        assert answer.choices[0].message.content == "You said: Is it warm in Bern?"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    async def test_chat_async(self, async_client: openai.AsyncOpenAI) -> None:
        """The same with await."""
        answer = await async_client.chat.completions.create(model="chat", messages=HI, n=2)

        assert {choice.message.content for choice in answer.choices} == {"You said: Is it warm in Bern?"}

    def test_stream(self, client: openai.OpenAI) -> None:
        """Word by word, the usage at the end where it is asked for."""
        chunks = list(
            client.chat.completions.create(
                model="chat", messages=HI, stream=True, stream_options={"include_usage": True}
            )
        )

        assert text_of(chunks) == "You said: Is it warm in Bern?"
        assert chunks[-1].usage is not None
        assert chunks[-2].choices[0].finish_reason == "stop"

    async def test_stream_async(self, async_client: openai.AsyncOpenAI) -> None:
        """The same with async for."""
        chunks = [
            chunk
            async for chunk in await async_client.chat.completions.create(
                model="chat", messages=HI, stream=True
            )
        ]

        assert text_of(chunks) == "You said: Is it warm in Bern?"

    def test_tools(self, client: openai.OpenAI) -> None:
        """A call, and the answer once it is told what the call brought."""
        first = client.chat.completions.create(model="chat", messages=HI, tools=[WEATHER]).choices[0]
        assert first.finish_reason == "tool_calls"
        assert first.message.tool_calls is not None
        call = first.message.tool_calls[0]
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Bern"})

        said: Any = first.message.model_dump(exclude_none=True)
        told: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "warm"}
        second = client.chat.completions.create(model="chat", messages=[*HI, said, told], tools=[WEATHER])

        assert second.choices[0].message.content == "The tool answered: warm"

    def test_streamed_tools(self, client: openai.OpenAI) -> None:
        """The SDK puts the pieces together."""
        with client.chat.completions.stream(model="chat", messages=HI, tools=[WEATHER]) as running:
            choice = running.get_final_completion().choices[0]

        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Bern"}
        assert choice.message.tool_calls[0].id.startswith("call_")

    async def test_streamed_tools_async(self, async_client: openai.AsyncOpenAI) -> None:
        """The same with await."""
        async with async_client.chat.completions.stream(
            model="chat", messages=HI, tools=[WEATHER]
        ) as running:
            choice = (await running.get_final_completion()).choices[0]

        assert choice.message.tool_calls is not None
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Bern"}

    def test_embeddings(self, client: openai.OpenAI) -> None:
        """The SDK asks for base64 by itself, and gives back numbers."""
        packed = client.embeddings.create(model="embeddings", input=["one", "two"])
        plain = client.embeddings.create(model="embeddings", input=["one", "two"], encoding_format="float")

        for one, other in zip(packed.data, plain.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert len(packed.data[0].embedding) == 256

    async def test_embeddings_async(self, async_client: openai.AsyncOpenAI) -> None:
        """Of tokens, and of another length."""
        answer = await async_client.embeddings.create(model="embeddings", input=[[1, 2], [3]], dimensions=8)

        assert [len(row.embedding) for row in answer.data] == [8, 8]

    def test_completions(self, client: openai.OpenAI) -> None:
        """The older call, whole and streamed."""
        whole = client.completions.create(model="completions", prompt="Once upon")
        pieces = client.completions.create(model="completions", prompt="Once upon", stream=True)

        assert "from “Once upon”" in whole.choices[0].text
        assert "".join(chunk.choices[0].text for chunk in pieces) == whole.choices[0].text

    async def test_models(self, async_client: openai.AsyncOpenAI) -> None:
        """Listed, and looked up."""
        listed = [model.id async for model in async_client.models.list()]

        assert {"chat", "up-chat"} <= set(listed)
        assert (await async_client.models.retrieve("chat")).owned_by == "offline"

    def test_structured_answers(self, client: openai.OpenAI) -> None:
        """`response_format` with a schema."""
        schema: Any = {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"properties": {"city": {}}}},
        }
        answer = client.chat.completions.create(model="chat", messages=HI, response_format=schema)

        assert json.loads(answer.choices[0].message.content or "") == {"city": "Is it warm in Bern?"}


class TestUpstream:
    """With a provider behind the gateway."""

    def test_chat_brings_what_the_upstream_adds(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """A field that no schema knows reaches the caller, and the caller's reach the upstream."""
        upstream.reply(chat("Hi", system_fingerprint="fp_1", vendor={"a": [1, None]}))

        answer = client.chat.completions.create(
            model="up-chat", messages=HI, temperature=0.5, extra_body={"vendor": {"b": None}}
        )

        assert (answer.choices[0].message.content, answer.system_fingerprint) == ("Hi", "fp_1")
        assert answer.model_dump()["vendor"] == {"a": [1, None]}
        assert upstream.request().json == {
            "model": "gpt-mock",
            "messages": HI,
            "temperature": 0.5,
            "vendor": {"b": None},
        }

    def test_stream(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """Each word as it comes."""
        upstream.reply(words("One ", "two ", "three"))

        assert (
            text_of(list(client.chat.completions.create(model="up-chat", messages=HI, stream=True)))
            == "One two three"
        )

    async def test_a_stream_arrives_piece_by_piece(
        self, async_client: openai.AsyncOpenAI, upstream: MockUpstream
    ) -> None:
        """The first word is there while the upstream still holds the second back."""
        upstream.reply(stream(delta("One"), HOLD))

        async with await async_client.chat.completions.create(
            model="up-chat", messages=HI, stream=True
        ) as chunks:
            first = await anext(aiter(chunks))

        assert first.choices[0].delta.content == "One"

    def test_streamed_tools(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """Two calls whose pieces come mixed."""

        def piece(index: int, arguments: str, **more: Any) -> bytes:
            return delta(
                tool_calls=[
                    {"index": index, "function": {"arguments": arguments, **more.pop("function", {})}, **more}
                ]
            )

        upstream.reply(
            stream(
                piece(0, "", id="c0", type="function", function={"name": "weather"}),
                piece(0, '{"city"'),
                piece(1, '{"city": "Basel"}', id="c1", type="function", function={"name": "weather"}),
                piece(0, ': "Bern"}'),
                delta(finish="tool_calls"),
                DONE,
            )
        )
        with client.chat.completions.stream(model="up-chat", messages=HI, tools=[WEATHER]) as running:
            calls = running.get_final_completion().choices[0].message.tool_calls

        assert calls is not None
        assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Bern", "Basel"]

    def test_embeddings(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """As numbers and in base64, as the upstream gives them."""
        packed = base64.b64encode(b"\x00\x00\x80\x3f\x00\x00\x00\x40").decode()
        for row in ([1.0, 2.0], packed):
            data = [{"object": "embedding", "index": 0, "embedding": row}]
            upstream.reply(
                json_reply(
                    {
                        "object": "list",
                        "data": data,
                        "model": "m",
                        "usage": {"prompt_tokens": 1, "total_tokens": 1},
                    }
                )
            )
            assert client.embeddings.create(model="up-embeddings", input="a").data[0].embedding == [1.0, 2.0]
            assert upstream.request().json["encoding_format"] == "base64"

    def test_completions(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """The older call."""
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
        upstream.reply(
            json_reply({**head, "choices": [{"index": 0, "text": "there", "finish_reason": "stop"}]})
        )

        assert client.completions.create(model="up-completions", prompt="Once").choices[0].text == "there"


class TestErrors:
    """The SDK's typed errors, with messages that say what to do."""

    def test_an_unknown_model(self, client: openai.OpenAI) -> None:
        """Its NotFoundError, for every call."""
        for call in (
            lambda: client.chat.completions.create(model="nobody", messages=HI),
            lambda: client.chat.completions.create(model="nobody", messages=HI, stream=True),
            lambda: client.embeddings.create(model="nobody", input="a"),
            lambda: client.completions.create(model="nobody", prompt="a"),
            lambda: client.models.retrieve("nobody"),
        ):
            with pytest.raises(openai.NotFoundError, match="there is no route 'nobody'") as raised:
                call()
            assert (raised.value.code, raised.value.param) == ("model_not_found", "model")

    async def test_an_unknown_model_async(self, async_client: openai.AsyncOpenAI) -> None:
        """The same with await."""
        with pytest.raises(openai.NotFoundError, match="there is no route 'nobody'"):
            await async_client.chat.completions.create(model="nobody", messages=HI)

    def test_a_wrong_field(self, client: openai.OpenAI) -> None:
        """Its BadRequestError, which names the field."""
        with pytest.raises(openai.BadRequestError, match="temperature") as raised:
            client.chat.completions.create(model="chat", messages=HI, temperature=7)

        assert (raised.value.status_code, raised.value.param) == (400, "temperature")
        assert raised.value.type == "invalid_request_error"

    def test_a_wrong_type_of_route(self, client: openai.OpenAI) -> None:
        """Its BadRequestError too."""
        with pytest.raises(openai.BadRequestError, match="serves llm/v1/embeddings, not llm/v1/chat"):
            client.chat.completions.create(model="embeddings", messages=HI)

    def test_a_rate_limit_upstream(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """Its RateLimitError, with the seconds to wait in the header that it reads."""
        upstream.reply(error(429, "slow down", retry_after="7"))

        with pytest.raises(openai.RateLimitError, match="slow down") as raised:
            client.chat.completions.create(model="up-chat", messages=HI)

        assert raised.value.response.headers["retry-after"] == "7"
        assert raised.value.type == "rate_limit_error"

    def test_the_client_waits_and_tries_again(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """With the retries that the SDK has by itself."""
        upstream.reply(error(429, "slow down", retry_after="0"))

        with pytest.raises(openai.RateLimitError):
            client.with_options(max_retries=1).chat.completions.create(model="up-chat", messages=HI)

        assert len(upstream.received) == 2

    @pytest.mark.parametrize(
        ("status", "expected"), [(500, 502), (502, 502), (401, 502), (503, 503), (529, 503), (504, 504)]
    )
    def test_a_failure_upstream(
        self, client: openai.OpenAI, upstream: MockUpstream, status: int, expected: int
    ) -> None:
        """An APIStatusError with the upstream's words; ours in place of its own where our key is at fault."""
        upstream.reply(error(status, "the GPUs are on fire"))

        with pytest.raises(openai.APIStatusError, match="the GPUs are on fire") as raised:
            client.chat.completions.create(model="up-chat", messages=HI)

        assert raised.value.status_code == expected
        assert not isinstance(raised.value, openai.AuthenticationError)

    @pytest.mark.parametrize(
        "broken",
        [
            stream(delta("One"), CUT),
            stream(delta("One")),
            stream(delta("One"), event({"error": {"message": "the GPUs are on fire"}})),
            stream(delta("One"), b"data: {\n\n"),
        ],
        ids=["cut", "silent", "reported", "garbled"],
    )
    async def test_a_stream_that_fails(
        self, async_client: openai.AsyncOpenAI, client: openai.OpenAI, upstream: MockUpstream, broken: Reply
    ) -> None:
        """An APIError after the words that came, blocking and async; never just an end."""
        upstream.reply(broken)
        came: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError) as first:
            came.extend(client.chat.completions.create(model="up-chat", messages=HI, stream=True))
        answer = await async_client.chat.completions.create(model="up-chat", messages=HI, stream=True)
        came.append(await anext(answer))
        with pytest.raises(openai.APIError) as second:
            await anext(answer)

        assert text_of(came) == "OneOne"
        assert first.value.message == second.value.message
        assert len(second.value.message) > 20

    def test_a_stream_that_fails_first(self, client: openai.OpenAI, upstream: MockUpstream) -> None:
        """A failure before the first word is a status, not a stream."""
        upstream.reply(stream(event({"error": {"message": "the GPUs are on fire"}})))

        with pytest.raises(openai.APIStatusError, match="the GPUs are on fire") as raised:
            client.chat.completions.create(model="up-chat", messages=HI, stream=True)

        assert raised.value.status_code == 502
