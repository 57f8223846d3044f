"""Anthropic behind both gateways: the same upstream requests, the same answers, and tools that mlflow can't translate.

Beside the rules of `parity`, these differences hold for every case here:

- mlflow answers a text as a list of parts (thoughts among them), ours as the string that OpenAI's clients read.
- `created` is the second of the answer.
- A finish reason of mlflow's is `stop` or `length`; ours is `tool_calls` where the model asks for a tool.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply, events
from tests.peer.parity import (
    Case,
    Exchange,
    Pair,
    assert_holds,
    assert_same,
    assert_same_answer,
    assert_same_request,
    without_nulls,
)

HI = [{"role": "user", "content": "Hi"}]
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-test-20260101",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}
ASKS_FOR_TOOL = {
    **MESSAGE,
    "content": [{"type": "text", "text": "Let me see."}, TOOL_USE],
    "stop_reason": "tool_use",
}
THINKING = {
    **MESSAGE,
    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, *MESSAGE["content"]],
}
COMPLETION = {
    "type": "completion",
    "id": "compl_1",
    "completion": " Hello",
    "stop_reason": "stop_sequence",
    "model": "claude-2.1",
}

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": SCHEMA}}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL_TURN = [
    *HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "toolu_1", "content": "2"},
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}]
UNTRANSLATED = "mlflow sends OpenAI's shape, which Anthropic refuses"


def chat(name: str, reply: Any = MESSAGE, /, **body: Any) -> Case:
    """A chat with one message, or those of `messages`."""
    return Case(
        name, "anthropic-chat", {"messages": HI, **body}, reply if isinstance(reply, Reply) else Reply(reply)
    )


def completion(name: str, reply: Any = COMPLETION, /, **body: Any) -> Case:
    """A completion over the older API."""
    return Case(name, "anthropic-completions", {"prompt": "Hi", **body}, Reply(reply))


def sent(**more: Any) -> dict[str, Any]:
    """The upstream's body of a chat with a number of tokens."""
    return {"model": "claude-test", "max_tokens": 10, "messages": HI, **more}


def as_ours(answer: dict[str, Any]) -> dict[str, Any]:
    """mlflow's chat answer with its text as a string."""
    (choice,) = answer["choices"]
    text = "".join(part["text"] for part in choice["message"]["content"])
    return {**answer, "choices": [{**choice, "message": {**choice["message"], "content": text}}]}


ANSWERED = [
    chat("minimal"),
    chat(
        "system",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "system", "content": "Be kind."}, *HI],
    ),
    chat("sampling", {**MESSAGE, "stop_reason": "max_tokens"}, temperature=0.5, max_tokens=10, stop=["END"]),
    chat("hottest", temperature=2),
    chat("asked-for-one", n=1),
    chat("stop-sequence", {**MESSAGE, "stop_reason": "stop_sequence", "stop_sequence": "END"}, stop=["END"]),
    chat(
        "two-blocks",
        {**MESSAGE, "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
    ),
    chat("vendor-parameters", top_k=5, metadata={"user_id": "u"}),
    chat("nulls", max_tokens=None, stop=None, tools=None),
    chat(
        "conversation",
        messages=[*HI, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}],
    ),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_chat_is_mlflows(case: Case, pair: Pair) -> None:
    """The same call of the messages API, and the same answer."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json["created"] - theirs.json["created"]) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**as_ours(theirs.json), "created": 0})


COMPLETIONS = [
    completion("completion"),
    completion(
        "completion-sampling",
        {**COMPLETION, "stop_reason": "max_tokens"},
        temperature=1,
        max_tokens=5,
        stop=["END"],
    ),
    completion("completion-in-turns", prompt="Human: Hi"),
    completion("completion-in-full", prompt="\n\nHuman: Hi\n\nAssistant:"),
]


@pytest.mark.parametrize("case", COMPLETIONS, ids=lambda case: case.name)
def test_a_completion_is_mlflows(case: Case, pair: Pair) -> None:
    """The prompt in turns as the older API wants it. Ours keeps the upstream's id; mlflow drops it."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == theirs.status == 200
    assert ours.json.get("id") in (None, "compl_1")
    expected = {**theirs.json, "id": None, "created": 0}
    assert _without_empty(without_nulls({**ours.json, "id": None, "created": 0})) == _without_empty(
        without_nulls(expected)
    )


def _without_empty(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without the usage that the older API does not tell."""
    return {key: value for key, value in answer.items() if value != {}}


ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]
}

BETTER = [
    replace(
        chat("tools", ASKS_FOR_TOOL, tools=[ADD], tool_choice="auto", max_tokens=10),
        why=UNTRANSLATED,
        sends=sent(
            tools=[{"name": "add", "description": "Adds.", "input_schema": SCHEMA}],
            tool_choice={"type": "auto"},
        ),
        answers={
            "choices": [
                {
                    "message": {
                        "role": "assistant",
                        "content": "Let me see.",
                        "tool_calls": [
                            {
                                **CALL,
                                "function": {
                                    "name": "add",
                                    "arguments": lambda text: json.loads(text) == {"a": 1},
                                },
                            }
                        ],
                    },
                    "finish_reason": "tool_calls",
                }
            ]
        },
    ),
    replace(
        chat("tool-results", messages=TOOL_TURN, max_tokens=10),
        why="mlflow sends the call untranslated and drops its result",
        sends=sent(
            messages=[
                *HI,
                {"role": "assistant", "content": [TOOL_USE]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2"}],
                },
            ]
        ),
        answers=ANSWER,
    ),
    replace(
        chat("parts", messages=PARTS, max_tokens=10),
        why=UNTRANSLATED,
        sends=sent(
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Hi"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
                        },
                    ],
                }
            ]
        ),
        answers=ANSWER,
    ),
    replace(
        chat("top-p", top_p=0.3, max_tokens=10),
        why="mlflow refuses it beside the temperature that it forces itself",
        status=200,
        sends=sent(top_p=0.3),
        answers=ANSWER,
    ),
    replace(
        chat("thinking", THINKING, max_tokens=10),
        why="mlflow mixes the thoughts into the text",
        sends=sent(),
        answers={
            "choices": [{"message": {"content": "Hello", "reasoning_content": "hm"}, "finish_reason": "stop"}]
        },
    ),
    replace(
        chat("stop-as-text", stop="END", max_tokens=10),
        why="mlflow refuses what OpenAI's API takes",
        status=200,
        sends=sent(stop_sequences=["END"]),
        answers=ANSWER,
    ),
]


@pytest.mark.parametrize("case", BETTER, ids=lambda case: case.name)
def test_what_mlflow_leaves_untranslated_reaches_anthropic_in_its_own_shape(case: Case, pair: Pair) -> None:
    """Tools, their results, images and thoughts, both ways."""
    assert_same(pair, case)


def has(*words: str) -> Any:
    """An error whose sentence holds these words."""
    return {"detail": lambda detail: all(word in str(detail) for word in words)}


OWN_WORDS = "the sentence is ours"
REFUSED = [
    replace(chat("two-choices", n=2), why=OWN_WORDS, answers=has("n")),
    replace(completion("two-completions", n=2), why=OWN_WORDS, answers=has("n")),
    replace(chat("model", model="claude"), why=OWN_WORDS, answers=has("model")),
    replace(completion("completion-model", model="claude"), why=OWN_WORDS, answers=has("model")),
    replace(
        completion("embeddings"),
        route="anthropic-embeddings",
        body={"input": "Hi"},
        why=OWN_WORDS,
        answers=has("embeddings"),
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_anthropic_can_not_do_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called."""
    case = replace(case, sends=None)
    assert_same(pair, case)


def failure(status: int, kind: str, **headers: str) -> Reply:
    """An error in Anthropic's envelope."""
    body = {"type": "error", "error": {"type": kind, "message": "that went wrong"}}
    return Reply(body, status, headers=headers)


FAILED = [
    (failure(400, "invalid_request_error"), 400),
    (failure(401, "authentication_error"), 502),
    (failure(403, "permission_error"), 502),
    (failure(404, "not_found_error"), 404),
    (failure(413, "request_too_large"), 413),
    (failure(429, "rate_limit_error", **{"retry-after": "7"}), 429),
    (failure(500, "api_error"), 502),
    (failure(529, "overloaded_error"), 503),
]


@pytest.mark.parametrize(("reply", "status"), FAILED, ids=lambda part: getattr(part, "status", ""))
def test_an_upstream_failure_is_told_with_its_message(reply: Reply, status: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    case = replace(chat("failed", reply), status=status)
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert theirs.status == reply.status
    assert_same_answer(case, ours, theirs)
    assert ours.headers.get("retry-after") == reply.headers.get("retry-after")
    assert "sk-ant-test" not in ours.text


# --- streams ----------------------------------------------------------------------------------------------------

START = {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}}
STOP = {"type": "message_stop"}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one content block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    """A text in pieces."""
    return block(
        index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces)
    )


def end(reason: str) -> dict[str, Any]:
    """The event that tells why the answer ends."""
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 5},
    }


def pieces(exchange: Exchange) -> dict[str, Any]:
    """What a stream says: its head, the pieces of its text, why it ends.

    mlflow's first chunk is an empty text and no chunk of it has a role; its choice's index is that of Anthropic's
    block, and it repeats the end for each block.
    """
    chunks = exchange.chunks
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return {
        "head": {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks},
        "text": [piece for choice in choices if (piece := choice["delta"].get("content"))],
        "end": {choice["finish_reason"] for choice in choices if choice.get("finish_reason")},
    }


STREAMED = [
    chat(
        "text",
        events(START, *text(0, "Hel", "lo"), {"type": "ping"}, end("end_turn"), STOP, named=True),
        stream=True,
    ),
    chat(
        "cut-short",
        events(START, *text(0, "Hel"), end("max_tokens"), STOP, named=True),
        stream=True,
        max_tokens=1,
    ),
    chat(
        "two-blocks",
        events(START, *text(0, "Hel"), *text(1, "lo"), end("end_turn"), STOP, named=True),
        stream=True,
    ),
]


@pytest.mark.parametrize("case", STREAMED, ids=lambda case: case.name)
def test_a_stream_says_what_mlflows_says(case: Case, pair: Pair) -> None:
    """The same request upstream, the same pieces for the caller, and one end."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert pieces(ours) == pieces(theirs)
    choices = [choice for chunk in ours.chunks for choice in chunk["choices"]]
    assert {choice["index"] for choice in choices} == {0}
    assert [choice["finish_reason"] for choice in choices if choice.get("finish_reason")] == list(
        pieces(theirs)["end"]
    )


def test_a_streamed_tool_call_reaches_the_caller(pair: Pair) -> None:
    """Ours: name and arguments in OpenAI's pieces. mlflow's chunks are empty."""
    halves = ({"type": "input_json_delta", "partial_json": part} for part in ('{"a"', ": 1}"))
    tool = block(0, {**TOOL_USE, "input": {}}, *halves)

    ours, theirs = pair.ask(
        chat("tool", events(START, *tool, end("tool_use"), STOP, named=True), stream=True, tools=[ADD])
    )

    assert pieces(theirs) == {**pieces(ours), "end": {"stop"}}
    assert pieces(ours)["end"] == {"tool_calls"}
    deltas = [choice["delta"] for chunk in ours.chunks for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or []]
    assert_holds(calls[0], {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "add"}})
    assert "".join(call["function"].get("arguments") or "" for call in calls) == '{"a": 1}'


def test_an_upstream_that_refuses_a_stream_refuses_it_here(pair: Pair) -> None:
    """Ours: an error as for any other call. mlflow answers 200 and an empty stream."""
    ours, theirs = pair.ask(chat("refused", failure(429, "rate_limit_error"), stream=True))

    assert (theirs.status, theirs.text) == (200, "")
    assert ours.status == 429
    assert "that went wrong" in ours.json["detail"]


def test_an_error_in_a_stream_is_told_there(pair: Pair) -> None:
    """Ours: the last event is the error. mlflow's stream ends as if it were complete."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "that went wrong"}}
    ours, theirs = pair.ask(chat("breaks", events(START, *text(0, "Hel"), error, named=True), stream=True))

    assert pieces(theirs)["text"] == ["Hel"]
    assert_holds(ours.chunks[-1], has("that went wrong"))
