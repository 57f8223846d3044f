"""The offline model: the same request gets the same answer, and a real model's bookkeeping is kept."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_async import (
    AsyncGatewayClient,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionResponse,
)
from gateway_async.config_file import load_config
from gateway_async.providers.offline.embeddings import DIMENSIONS
from gateway_async.providers.offline.text import tokens

USER = {"role": "user", "content": "What is the best day of the week?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}
OTHER = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def model() -> AsyncGatewayClient:
    """The engine in this process; the offline model needs no connections, so that every loop may use it."""
    return AsyncGatewayClient.local(load_config(None))


async def chat(model: AsyncGatewayClient, **data: Any) -> dict[str, Any]:
    """A chat's answer."""
    return await model.query("chat", {"messages": [USER], **data})


def stable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its id and its time."""
    return {key: value for key, value in answer.items() if key not in ("id", "created")}


async def test_the_same_request_gets_the_same_answer(model: AsyncGatewayClient) -> None:
    """But for its id and its time."""
    first, second = await chat(model), await chat(model)

    assert stable(first) == stable(second)
    assert first["id"] != second["id"]


async def test_the_answer_reflects_what_the_user_said(model: AsyncGatewayClient) -> None:
    """The last that the user said, in text and in parts."""
    parts = [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
    conversation = [
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "Friday"},
    ]
    for messages, said in (
        ([USER], "What is the best day of the week?"),
        ([*conversation, {"role": "user", "content": "Why?"}], "Why?"),
        ([{"role": "user", "content": parts}], "Look: [image_url]"),
        (conversation, "What is the best day of the week?"),
    ):
        answer = await model.query("chat", {"messages": messages})
        assert answer["choices"][0]["message"]["content"] == f"You said: {said}"


def test_tokens_joined_give_the_text() -> None:
    """Words with the blank before them, and every other sign for itself."""
    assert tokens("Hello, world!  Bye\n") == ["Hello", ",", " world", "!", "  Bye", "\n"]
    assert tokens("") == []


@given(text=st.text(max_size=200))
def test_no_part_of_a_text_is_lost_in_tokens(text: str) -> None:
    """Of any writing."""
    assert "".join(tokens(text)) == text


async def test_tokens_are_counted(model: AsyncGatewayClient) -> None:
    """Of all messages, of tools, and of the answer, for each of its choices."""
    usage = (await chat(model, messages=[{"role": "system", "content": "One two."}, USER]))["usage"]
    assert usage == {"prompt_tokens": 3 + 9, "completion_tokens": 3 + 9, "total_tokens": 24}

    assert (await chat(model, n=3))["usage"]["completion_tokens"] == 3 * 12
    assert (await chat(model, tools=[TOOL], tool_choice="none"))["usage"]["prompt_tokens"] > 9
    assert (await chat(model, max_tokens=4))["usage"]["completion_tokens"] == 4

    usage = (await model.query("completions", {"prompt": ["One two", "three"]}))["usage"]
    assert usage["prompt_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert (await model.query("completions", {"prompt": [1, 2, 3, 4]}))["usage"]["prompt_tokens"] == 4
    assert (await model.query("completions", {"prompt": [[1, 2], [3]]}))["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("most", "text", "why"),
    [(1, "You", "length"), (3, "You said:", "length"), (12, None, "stop"), (99, None, "stop")],
)
async def test_an_answer_has_as_many_tokens_as_it_may(
    model: AsyncGatewayClient, key: str, most: int, text: str | None, why: str
) -> None:
    """And says whether it was cut."""
    (choice,) = (await chat(model, **{key: most}))["choices"]

    assert choice["finish_reason"] == why
    assert choice["message"]["content"] == (text or f"You said: {USER['content']}")


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (" best", "You said: What is the"),
        ([" best"], "You said: What is the"),
        (["day", "is", "nowhere"], "You said: What "),
        ("You", ""),
        ("nowhere", f"You said: {USER['content']}"),
        ("", f"You said: {USER['content']}"),
        ([], f"You said: {USER['content']}"),
    ],
)  # fmt: skip
async def test_an_answer_ends_before_a_stop(model: AsyncGatewayClient, stop: Any, text: str) -> None:
    """The first that comes; it is no part of the answer."""
    (choice,) = (await chat(model, stop=stop))["choices"]

    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "stop")


async def test_as_many_answers_are_drawn_as_asked(model: AsyncGatewayClient) -> None:
    """With indices from 0."""
    for route, data in (("chat", {"messages": [USER]}), ("completions", {"prompt": "Once"})):
        answer = await model.query(route, {**data, "n": 3})
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]


async def test_a_tool_is_called_with_arguments_of_its_schema(model: AsyncGatewayClient) -> None:
    """The content is null, the reason says so, and the call's id is the same each time."""
    messages = [{"role": "user", "content": "The weather in Bern for 3 days"}]
    first = await chat(model, messages=messages, tools=[TOOL])
    second = await chat(model, messages=messages, tools=[TOOL])
    (choice,) = first["choices"]
    (call,) = choice["message"]["tool_calls"]

    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert call["id"].startswith("call_")
    assert json.loads(call["function"]["arguments"]) == {"city": messages[0]["content"], "days": 3}
    assert stable(first) == stable(second)


@pytest.mark.parametrize(
    ("said", "choice", "called"),
    [
        ("Hello", "auto", "get_weather"),
        ("Hello", "required", "get_weather"),
        ("What does get_time give?", "auto", "get_time"),
        ("Hello", {"type": "function", "function": {"name": "get_time"}}, "get_time"),
        ("get_weather", {"type": "function", "function": {"name": "get_time"}}, "get_time"),
        ("Hello", "none", None),
    ],
)  # fmt: skip
async def test_a_caller_can_choose_the_tool(
    model: AsyncGatewayClient, said: str, choice: Any, called: str | None
) -> None:
    """By name, in the text, or none."""
    answer = await chat(
        model, messages=[{"role": "user", "content": said}], tools=[TOOL, OTHER], tool_choice=choice
    )
    calls = answer["choices"][0]["message"].get("tool_calls") or []

    assert [call["function"]["name"] for call in calls] == ([called] if called else [])


async def test_a_tool_s_answer_ends_the_calling(model: AsyncGatewayClient) -> None:
    """Else an agent would go round for ever."""
    first = await chat(model, tools=[TOOL])
    message = first["choices"][0]["message"]
    answered = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "Sunny"}
    (choice,) = (await chat(model, messages=[USER, message, answered], tools=[TOOL]))["choices"]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("The tool answered: Sunny", "stop")


async def test_an_answer_can_be_json(model: AsyncGatewayClient) -> None:
    """Of a schema, or just an object."""
    schema = {"type": "object", "properties": {"day": {"enum": ["Monday", "week"]}}, "required": ["day"]}
    formats = (
        ({"type": "json_object"}, {"you_said": USER["content"]}),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, {"day": "week"}),
    )
    for form, expected in formats:
        answer = await chat(model, response_format=form)
        assert json.loads(answer["choices"][0]["message"]["content"]) == expected
    assert (await chat(model, response_format={"type": "text"}))["choices"][0]["message"][
        "content"
    ].startswith("You said")


async def test_a_completion_goes_on_from_its_prompt(model: AsyncGatewayClient) -> None:
    """And repeats it where that is asked for."""
    plain = await model.query("completions", {"prompt": "Once"})
    echo = await model.query("completions", {"prompt": "Once", "echo": True})

    assert "Once" in plain["choices"][0]["text"]
    assert echo["choices"][0]["text"] == f"Once{plain['choices'][0]['text']}"


async def embed(model: AsyncGatewayClient, given_: Any, **more: Any) -> list[Any]:
    """The vectors of texts."""
    return [row["embedding"] for row in (await model.query("embeddings", {"input": given_, **more}))["data"]]


async def test_embeddings_are_unit_vectors_and_equal_for_equal_text(model: AsyncGatewayClient) -> None:
    """So that a similarity is a product."""
    first, second, other = await embed(model, ["I like spaghetti", "I like spaghetti", "Nothing of that"])

    assert len(first) == DIMENSIONS
    assert first == second == (await embed(model, "I like spaghetti"))[0]
    assert first != other
    assert [math.isclose(math.hypot(*vector), 1) for vector in (first, other)] == [True, True]


async def test_texts_with_common_words_are_near(model: AsyncGatewayClient) -> None:
    """Nearer than those without."""
    one, near, far = await embed(model, ["I like green tea", "I like black tea", "Quarterly revenue fell"])

    def similarity(other: list[float]) -> float:
        return math.fsum(a * b for a, b in zip(one, other, strict=True))

    assert similarity(near) > 0.4 > similarity(far) + 0.1


@pytest.mark.parametrize("dimensions", [1, 2, 3, 8, 1536])
async def test_embeddings_have_the_dimensions_that_were_asked_for(
    model: AsyncGatewayClient, dimensions: int
) -> None:
    """Still of length one, also in a few."""
    for text in ("", "a", "b", "some words and others"):
        (vector,) = await embed(model, text, dimensions=dimensions)
        assert len(vector) == dimensions
        assert math.isclose(math.hypot(*vector), 1)


async def test_embeddings_can_be_base64(model: AsyncGatewayClient) -> None:
    """Little-endian floats of 32 bits, as OpenAI's client reads them."""
    (plain,) = await embed(model, "Hello", encoding_format="float")
    (packed,) = await embed(model, "Hello", encoding_format="base64")
    values = struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(packed))

    assert [math.isclose(a, b, abs_tol=1e-6) for a, b in zip(plain, values, strict=True)] == [
        True
    ] * DIMENSIONS


async def test_token_lists_are_embedded_too(model: AsyncGatewayClient) -> None:
    """One list, or several."""
    (one,) = await embed(model, [1, 2, 3])
    several = await embed(model, [[1, 2, 3], [4]])

    assert one == several[0] != several[1]


SAID = st.text(st.characters(codec="utf-8"), max_size=30)
REQUESTS = st.fixed_dictionaries(
    {"messages": st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant"]), "content": SAID}), min_size=1, max_size=3)},
    optional={
        "n": st.integers(1, 3),
        "max_tokens": st.integers(1, 8),
        "stop": SAID | st.lists(SAID, max_size=2),
        "tools": st.just([TOOL, OTHER]),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    },
)  # fmt: skip


def folded(chunks: list[ChatChunk]) -> dict[str, Any]:
    """The answer that chunks of a chat add up to."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for piece in chunk.choices:
            choice = choices.setdefault(piece.index, {"message": {"content": None}, "finish_reason": None})
            message, delta = choice["message"], piece.delta
            if delta.role:
                message["role"] = delta.role
            if delta.content is not None:
                message["content"] = (message["content"] or "") + str(delta.content)
            for call in delta.tool_calls or ():
                calls = message.setdefault("tool_calls", [])
                if call.id is not None:
                    assert call.function is not None
                    calls.append(
                        {
                            "id": call.id,
                            "type": call.type,
                            "function": {"name": call.function.name, "arguments": ""},
                        }
                    )
                assert call.index is not None
                assert call.function is not None
                calls[call.index]["function"]["arguments"] += call.function.arguments or ""
            choice["finish_reason"] = piece.finish_reason or choice["finish_reason"]
    return {"choices": [{"index": index, **choices[index]} for index in sorted(choices)]}


@settings(max_examples=60, deadline=None)
@given(data=REQUESTS)
async def test_a_stream_of_chat_adds_up_to_the_answer(
    model: AsyncGatewayClient, data: dict[str, Any]
) -> None:
    """Text, tool calls, reasons and usage."""
    whole = await model.query("chat", data)
    asked = ChatRequest.model_validate({**data, "stream_options": {"include_usage": True}})
    chunks = [chunk async for chunk in model.stream_chat("chat", asked)]

    assert folded(chunks)["choices"] == whole["choices"]
    *pieces, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.model_dump(exclude_unset=True) == whole["usage"]
    assert all(chunk.usage is None for chunk in pieces)
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        (last.id, whole["model"], "chat.completion.chunk")
    }
    ChatResponse.model_validate(whole)


@settings(max_examples=40, deadline=None)
@given(
    prompt=SAID | st.lists(SAID, min_size=1, max_size=2),
    more=st.fixed_dictionaries(
        {}, optional={"n": st.integers(1, 3), "max_tokens": st.integers(1, 5), "stop": SAID}
    ),
)
async def test_a_stream_of_a_completion_adds_up_to_the_answer(
    model: AsyncGatewayClient, prompt: Any, more: dict[str, Any]
) -> None:
    """Text, reasons and, where it is asked for, usage."""
    data = {"prompt": prompt, **more}
    whole = CompletionResponse.model_validate(await model.query("completions", data))
    asked = {**data, "stream_options": {"include_usage": True}}
    *chunks, last = [
        CompletionChunk.model_validate(chunk) async for chunk in model.stream("completions", asked)
    ]
    texts = {choice.index: "" for choice in whole.choices}
    reasons: dict[int, str | None] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text or ""
            reasons[choice.index] = choice.finish_reason

    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert last.usage == whole.usage


async def test_without_being_asked_a_stream_tells_no_usage(model: AsyncGatewayClient) -> None:
    """As OpenAI's."""
    chunks = [chunk async for chunk in model.stream("chat", {"messages": [USER]})]

    assert all("usage" not in chunk for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)
