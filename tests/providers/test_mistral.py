"""Mistral: what it can't be given, what is left out for a route that drops, and what is no answer of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import InvalidRequest, UnsupportedParameter, UpstreamError, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers.mistral.messages import call_id
from tests.providers.cases import CASES, Case, read
from tests.support.upstream import event

CHAT, STREAM = CASES["mistral/chat"], CASES["mistral/stream"]
COMPLETIONS, MIDDLE = CASES["mistral/completions"], CASES["mistral/completions_fim"]
EMBEDDINGS = CASES["mistral/embeddings"]

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(**content: Any) -> dict[str, Any]:
    """A chat with a part that is not a text."""
    return asked({"role": "user", "content": [{"type": "text", "text": "Hi"}, content]})


def said(**message: Any) -> dict[str, Any]:
    """A chat in which the assistant has said something before."""
    return asked({"role": "assistant", **message})


PART = "messages.1.content.1"
REFUSED: list[tuple[Case, str, dict[str, Any]]] = [
    (CHAT, PART, part(type="refusal", refusal="No.")),
    (CHAT, PART, part(type="video_url", video_url={"url": "https://example.com/a.mp4"})),
    (CHAT, f"{PART}.image_url.url", part(type="image_url", image_url={"url": "ftp://example.com/a.png"})),
    (CHAT, f"{PART}.file.file_data", part(type="file", file={"filename": "a.pdf"})),
    (CHAT, f"{PART}.file.file_data", part(type="file", file={"file_data": "JVBERi0="})),
    (CHAT, "messages.1.content.0", asked({"role": "system", "content": [IMAGE]})),
    (CHAT, "messages.1.role", asked({"role": "function", "name": "f", "content": "1"})),
    (CHAT, "messages.1.tool_calls", asked({"role": "user", "tool_calls": [{"id": "a", "type": "function"}]})),
    (CHAT, "messages.1.audio", said(audio={"id": "audio_1"})),
    (CHAT, "messages.1.mistral_blocks", said(content="Hi", mistral_blocks="hm")),
    (CHAT, "messages.1.mistral_blocks", said(content="Hi", mistral_blocks=["hm"])),
    (CHAT, "messages.1.tool_calls.0", said(tool_calls=[{"id": "a", "type": "custom", "custom": {}}])),
    (CHAT, "tools.0.function", asked(tools=[{"type": "function"}])),
    (CHAT, "tools.1.custom", asked(tools=[TOOL, {"type": "custom", "custom": {"name": "f"}}])),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice={"type": "function"})),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice="sometimes")),
    (CHAT, "logprobs", asked(logprobs=3)),
    (CHAT, "prediction.content", asked(prediction={"type": "content", "content": 1})),
    (CHAT, "prediction.content", asked(prediction={"type": "content", "content": [{"type": "image_url"}]})),
    (COMPLETIONS, "prompt", {"prompt": ["Hi", "Ho"]}),
    (COMPLETIONS, "logprobs", {"prompt": "Hi", "logprobs": 1}),
    (COMPLETIONS, "suffix", {"prompt": "Hi", "suffix": "!"}),
    (COMPLETIONS, "echo", {"prompt": "Hi", "echo": True}),
    (COMPLETIONS, "best_of", {"prompt": "Hi", "best_of": 2}),
    (MIDDLE, "prompt", {"prompt": [1, 2], "suffix": "!"}),
    (MIDDLE, "logit_bias", {"prompt": "Hi", "suffix": "!", "logit_bias": {"1": 2}}),
    (EMBEDDINGS, "input", {"input": [1, 2]}),
    (EMBEDDINGS, "input", {"input": [[1], [2]]}),
    (EMBEDDINGS, "user", {"input": "Hi", "user": "ada"}),
    *[
        (CHAT, name, asked(**{name: value}))
        for name, value in {
            "audio": {"voice": "alloy", "format": "wav"},
            "functions": [{"name": "f"}],
            "logit_bias": {"5": -100},
            "modalities": ["text", "audio"],
            "safety_identifier": "a",
            "service_tier": "flex",
            "store": True,
            "user": "ada",
            "verbosity": "low",
            "web_search_options": {},
        }.items()
    ],
]


@pytest.mark.parametrize(("case", "field", "request_"), REFUSED, ids=lambda part: str(part)[:40])
def test_what_mistral_can_not_carry_is_refused_by_name(
    case: Case, field: str, request_: dict[str, Any]
) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "name", ["user", "logit_bias", "store", "verbosity", "service_tier", "modalities", "safety_identifier"]
)
def test_a_parameter_is_one_that_a_route_may_drop(name: str) -> None:
    """Parameters are refused in the way that a route which drops them understands; parts of messages are not."""
    request = next(request for case, field, request in REFUSED if field == name and case is CHAT)

    with pytest.raises(UnsupportedParameter) as refused:
        replace(CHAT, request=request).sent()

    assert refused.value.parameter == name
    with pytest.raises(InvalidRequest) as of_message:
        replace(CHAT, request=said(audio={"id": "audio_1"})).sent()
    assert not isinstance(of_message.value, UnsupportedParameter)


def test_names_are_left_out_and_told() -> None:
    """Mistral refuses them, and frameworks of agents name everybody."""
    asks = asked({"role": "assistant", "name": "agent", "content": "Hm"}, {**USER, "name": "ada"})

    sent = replace(CHAT, request=asks).sent()

    assert [set(message) for message in json.loads(sent.body)["messages"]] == [{"role", "content"}] * 3
    assert sent.dropped == ("messages.name",)
    assert replace(CHAT, request=asked()).sent().dropped == ()


def test_a_refusal_that_is_sent_back_is_a_text() -> None:
    """Another provider's refusal does not end the conversation."""
    part = {"type": "refusal", "refusal": "No."}
    for message, content in (
        ({"refusal": "No."}, "No."),
        ({"content": "", "refusal": "No."}, "No."),
        ({"content": [part]}, [{"type": "text", "text": "No."}]),
    ):
        sent = json.loads(replace(CHAT, request=said(**message)).sent().body)["messages"][1]
        assert sent == {"role": "assistant", "content": content}


def test_a_call_that_comes_in_pieces_has_one_id() -> None:
    """Its later pieces have neither its id nor its name: a client writes them behind the first."""
    pieces = [
        {"id": "D681PevKs", "function": {"name": "f", "arguments": '{"a":'}, "index": 0},
        {"id": "null", "function": {"name": "", "arguments": "1}"}, "index": 0},
    ]
    stream = [
        event({"id": "a", "choices": [{"index": 0, "delta": {"tool_calls": [one]}, "finish_reason": None}]})
        for one in pieces
    ]

    told = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in read(STREAM.reader(), stream).chunks]

    assert told[0]["id"] == "D681PevKs"
    assert told[1] == {"function": {"arguments": "1}"}, "index": 0}


def test_a_middle_of_one_prompt_in_a_list_is_filled() -> None:
    """LangChain sends lists."""
    body = json.loads(replace(MIDDLE, request={"prompt": ["a"], "suffix": "c"}).sent().body)

    assert (body["prompt"], body["suffix"]) == ("a", "c")


def test_usage_that_comes_with_every_chunk_is_told_once() -> None:
    """Clients add up what the chunks say."""
    stream = [
        event(
            {
                "id": "a",
                "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": reason}],
                "usage": {"prompt_tokens": 1, "completion_tokens": count, "total_tokens": 1 + count},
            }
        )
        for count, reason in ((1, None), (2, "stop"))
    ]
    asks = replace(STREAM, request=asked(stream=True, stream_options={"include_usage": True}))

    told = read(asks.reader(), stream).chunks

    assert [chunk.get("usage") for chunk in told[:-1]] == [None, None]
    assert (told[-1]["choices"], told[-1]["usage"]["total_tokens"]) == ([], 3)


def test_ids_of_calls_are_as_mistral_wants_them() -> None:
    """Nine letters or digits: its own ids stay, others become the same one every time."""
    assert call_id("D681PevKs") == "D681PevKs"
    assert call_id("call_1") == call_id("call_1") != call_id("call_2")
    assert all(
        len(call_id(given)) == 9 and call_id(given).isalnum() for given in ("", "ä", "call_" + "a" * 99)
    )


@pytest.mark.parametrize("provider", ["mistral", "togetherai", "huggingface-text-generation-inference"])
def test_a_call_that_is_sent_back_without_its_type_is_one_of_a_function(provider: str) -> None:
    """As the gateway's own schema has it."""
    call = {"id": "D681PevKs", "function": {"name": "f", "arguments": "{}"}}

    body = json.loads(replace(CASES[f"{provider}/chat"], request=said(tool_calls=[call])).sent().body)

    assert body["messages"][1]["tool_calls"] == [{**call, "type": "function"}]


def answered(**choice: Any) -> bytes:
    """An answer with one choice."""
    assert CHAT.upstream_answer is not None
    return json.dumps({**CHAT.upstream_answer["body"], "choices": [{"index": 0, **choice}]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        answered(finish_reason="stop"),
        answered(finish_reason="stop", message={"role": "assistant", "content": [{"type": "text"}]}),
        answered(finish_reason="stop", message={"role": "assistant", "content": ["Hi"]}),
        answered(finish_reason="stop", message={"role": "assistant", "content": [{"type": "thinking"}]}),
        answered(finish_reason="stop", message={"role": "assistant", "tool_calls": [{"id": "a"}]}),
        answered(finish_reason=["stop"], message={"role": "assistant", "content": "Hi"}),
    ],
)
def test_an_answer_that_is_none_is_the_upstreams_fault(body: bytes) -> None:
    """It is a 502 that says whose it is."""
    with pytest.raises(UpstreamInvalid, match="mistral"):
        CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data())


def test_an_answer_whose_model_failed_is_an_error() -> None:
    """Half an answer is none, whatever the status."""
    body = answered(finish_reason="error", message={"role": "assistant", "content": "The Rh"})

    with pytest.raises(UpstreamError, match="failed before its answer was complete"):
        CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"sorry", "sorry"),
        (b'{"message": {"detail": "Too long"}}', "Too long"),
        (b'{"detail": []}', '{"detail": []}'),
        (b'{"detail": ["Too long"]}', "Too long"),
        (b'{"detail": [{"msg": "Too long"}]}', "body: Too long"),
    ],
)
def test_an_error_is_told_in_mistrals_words(body: bytes, words: str) -> None:
    """Wherever they stand."""
    assert words in CHAT.adapter().error(UpstreamResponse(422, {}, body)).message


def test_an_error_of_a_kind_within_a_stream_has_its_status() -> None:
    """What the body says of itself counts, as no status does any more."""
    limited = {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "code": "1300"}

    found = read(STREAM.reader(), [event(limited)])

    assert found.error is not None
    assert (found.error.status, found.error.message) == (429, "mistral reports an error: Rate limit exceeded")
