"""Together AI: what it can't be given, what its numbers mean, and what is no answer of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import InvalidRequest, UnsupportedParameter, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case, read
from tests.support.upstream import event

CHAT, STREAM = CASES["togetherai/chat"], CASES["togetherai/stream"]
COMPLETIONS, EMBEDDINGS = CASES["togetherai/completions"], CASES["togetherai/embeddings"]

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(**content: Any) -> dict[str, Any]:
    """A chat with a part that is not a text."""
    return asked({"role": "user", "content": [{"type": "text", "text": "Hi"}, content]})


PART = "messages.1.content.1"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
REFUSED: list[tuple[Case, str, dict[str, Any]]] = [
    (CHAT, PART, part(type="file", file={"file_id": "a"})),
    (CHAT, f"{PART}.image_url.url", part(type="image_url", image_url={"url": "a.png"})),
    (
        CHAT,
        f"{PART}.input_audio.format",
        part(type="input_audio", input_audio={"data": "UklGRg==", "format": "mp3"}),
    ),
    (CHAT, "messages.1.content.0", asked({"role": "assistant", "content": [IMAGE]})),
    (CHAT, "messages.1.role", asked({"role": "function", "name": "f", "content": "1"})),
    (
        CHAT,
        "messages.1.tool_calls.0",
        asked({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}),
    ),
    (CHAT, "tools.0", asked(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice={"type": "allowed_tools"})),
    (CHAT, "reasoning_effort", asked(reasoning_effort="minimal")),
    (COMPLETIONS, "max_tokens", {"prompt": "Hi"}),
    (COMPLETIONS, "prompt", {"prompt": ["Hi", "Ho"], "max_tokens": 1}),
    (COMPLETIONS, "top_logprobs", {"prompt": "Hi", "max_tokens": 1, "top_logprobs": "2"}),
    (COMPLETIONS, "suffix", {"prompt": "Hi", "max_tokens": 1, "suffix": "!"}),
    (COMPLETIONS, "best_of", {"prompt": "Hi", "max_tokens": 1, "best_of": 2}),
    (EMBEDDINGS, "input", {"input": [1, 2]}),
    (EMBEDDINGS, "dimensions", {"input": "Hi", "dimensions": 8}),
    *[
        (CHAT, name, asked(**{name: value}))
        for name, value in {
            "audio": {"voice": "alloy", "format": "wav"},
            "functions": [{"name": "f"}],
            "parallel_tool_calls": False,
            "prediction": {"type": "content", "content": "Hi"},
            "service_tier": "flex",
            "user": "ada",
            "verbosity": "low",
        }.items()
    ],
]


@pytest.mark.parametrize(("case", "field", "request_"), REFUSED, ids=lambda part: str(part)[:40])
def test_what_together_can_not_carry_is_refused_by_name(
    case: Case, field: str, request_: dict[str, Any]
) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422
    assert isinstance(refused.value, UnsupportedParameter) <= ("." not in field)


def test_what_together_can_not_promise_is_left_out_and_told() -> None:
    """OpenAI's helpers set `strict` by themselves, and its examples say how to look at an image."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}}
    strict = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}

    sent = replace(CHAT, request=part(**image) | {"tools": [TOOL, strict]}).sent()

    body = json.loads(sent.body)
    assert body["messages"][1]["content"][1] == IMAGE
    assert body["tools"][1] == {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert sent.dropped == ("tools.1.function.strict", f"{PART}.image_url.detail")


def test_an_answer_goes_back_as_a_client_has_it() -> None:
    """With all the fields of OpenAI's SDK, and a call without arguments as a folded stream leaves it."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}, "index": 0}
    empty: dict[str, Any] = {"refusal": None, "annotations": [], "audio": None, "function_call": None}
    answers = [
        {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": "Hm", **empty},
        {"role": "assistant", "content": None, **empty, "refusal": "No."},
    ]

    called, refused = json.loads(replace(CHAT, request=asked(*answers)).sent().body)["messages"][1:]

    function = {"name": "f", "arguments": "{}"}
    assert called == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Hm",
        "tool_calls": [{**call, "function": function}],
    }
    assert refused == {"role": "assistant", "content": "No."}


def test_one_prompt_may_stand_in_a_list() -> None:
    """LangChain sends lists."""
    sent = replace(COMPLETIONS, request={"prompt": ["Hi"], "max_tokens": 1}).sent()

    assert json.loads(sent.body)["prompt"] == "Hi"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"top_logprobs": 5, "logprobs": True}, 5),
        ({"logprobs": True}, 1),
        ({"logprobs": 3}, 3),
        ({"logprobs": False}, None),
        ({}, None),
    ],
)
def test_likelihoods_are_asked_for_by_a_number(given: dict[str, Any], sent: int | None) -> None:
    """OpenAI's switch and its number are one number here."""
    body = json.loads(replace(CHAT, request=asked(**given)).sent().body)

    assert body.get("logprobs") == sent
    assert type(body.get("logprobs")) is not bool
    assert "top_logprobs" not in body


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"choices": [1]}',
        b'{"choices": [{"finish_reason": []}]}',
        b'{"choices": [{"message": "Hi"}]}',
    ],
)
@pytest.mark.parametrize("case", [CHAT, COMPLETIONS], ids=lambda case: case.kind)
def test_an_answer_that_is_none_is_the_upstreams_fault(case: Case, body: bytes) -> None:
    """It is a 502 that says whose it is."""
    with pytest.raises(UpstreamInvalid, match="togetherai"):
        case.adapter().answer(UpstreamResponse(200, {}, body), case.data())


@pytest.mark.parametrize("body", [b"{}", b'{"data": [{}]}', b'{"data": [{"embedding": 1}]}'])
def test_vectors_that_are_none_are_the_upstreams_fault(body: bytes) -> None:
    """It is a 502 that says whose it is."""
    with pytest.raises(UpstreamInvalid, match="togetherai"):
        EMBEDDINGS.adapter().answer(UpstreamResponse(200, {}, body), EMBEDDINGS.data())


def test_vectors_stand_in_the_order_of_their_texts() -> None:
    """Whatever order the upstream tells them in."""
    rows = [{"object": "embedding", "index": at, "embedding": [at]} for at in (1, 0)]
    body = json.dumps({"object": "list", "model": "m", "data": rows}).encode()

    answer = json.loads(EMBEDDINGS.adapter().answer(UpstreamResponse(200, {}, body), {"input": ["a", "b"]}))

    assert [row["embedding"] for row in answer["data"]] == [[0], [1]]


def test_a_chunk_whose_text_stands_beside_its_delta_has_it() -> None:
    """Older servers say the text of a chat twice, or only there."""
    chunk = {"id": "a", "choices": [{"index": 0, "text": "Hi", "delta": {}, "finish_reason": "stop"}]}

    [told] = read(STREAM.reader(), [event(chunk)]).chunks

    assert told["choices"][0]["delta"] == {"role": "assistant", "content": "Hi"}
