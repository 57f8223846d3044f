"""AI21: which models do what, what they can't be given, and what is no answer of theirs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.errors import InvalidRequest, NotSupported, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case

CHAT, COMPLETIONS = CASES["ai21labs/chat"], CASES["ai21labs/completions"]
OVER_CHAT = CASES["ai21labs/completions_jamba"]

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
TEXT = {"type": "text", "text": "Hi"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
CUSTOM = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(**content: Any) -> dict[str, Any]:
    """A chat with a part that is not a text."""
    return asked({"role": "user", "content": [TEXT, content]})


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        *(
            (CHAT, name, asked(**{name: value}))
            for name, value in {
                "frequency_penalty": 0.5,
                "logit_bias": {"50256": -100},
                "logprobs": True,
                "parallel_tool_calls": False,
                "presence_penalty": 0.5,
                "reasoning_effort": "low",
                "response_format": SCHEMA,
                "seed": 7,
                "store": True,
                "top_logprobs": 2,
                "user": "u",
            }.items()
        ),
        (
            CHAT,
            "messages.1.content.1",
            part(type="image_url", image_url={"url": "https://example.com/a.png"}),
        ),
        (CHAT, "messages.1.content.1", part(type="file", file={"file_id": "a"})),
        (CHAT, "messages.1.content.1", part(type="input_audio", input_audio={"data": "", "format": "wav"})),
        (CHAT, "messages.1.role", asked({"role": "narrator", "content": "Meanwhile"})),
        (CHAT, "messages.1.audio", asked({"role": "assistant", "audio": {"id": "a"}})),
        (CHAT, "messages.1.tool_calls.0", asked({"role": "assistant", "tool_calls": [CUSTOM]})),
        (CHAT, "tools.0", asked(tools=[{"type": "custom", "custom": {"name": "f"}}])),
        (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice="required")),
        (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice=TOOL)),
        (OVER_CHAT, "prompt", {"prompt": ["Hi", "Ho"]}),
        (OVER_CHAT, "suffix", {"prompt": "Hi", "suffix": "!"}),
        (COMPLETIONS, "prompt", {"prompt": [1, 2]}),
        (COMPLETIONS, "numResults", {"prompt": "Hi", "numResults": 2}),
        (COMPLETIONS, "maxTokens", {"prompt": "Hi", "maxTokens": 2}),
        (COMPLETIONS, "stopSequences", {"prompt": "Hi", "stopSequences": ["."]}),
        (COMPLETIONS, "frequency_penalty", {"prompt": "Hi", "frequency_penalty": 0.5}),
        (COMPLETIONS, "logprobs", {"prompt": "Hi", "logprobs": 1}),
        (COMPLETIONS, "seed", {"prompt": "Hi", "seed": 1}),
    ],
)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: dict[str, Any]) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422


def test_a_call_without_arguments_goes_back_with_none() -> None:
    """Clients that fold a stream have an empty text there, which is no JSON."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}

    sent = replace(CHAT, request=asked({"role": "assistant", "content": "", "tool_calls": [call]})).sent()

    (made,) = json.loads(sent.body)["messages"][1]["tool_calls"]
    assert made["function"] == {"name": "f", "arguments": "{}"}


def test_what_is_not_promised_is_told() -> None:
    """A function is sent without `strict`, as AI21's own type has it; the header for dropped parameters names it."""
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    case = replace(CHAT, request=asked(tools=[TOOL, strict]))

    sent = case.sent()

    assert json.loads(sent.body)["tools"] == [TOOL, TOOL]
    assert sent.dropped == ("tools.1.function.strict",)
    assert replace(case, request=asked(tools=[strict], tool_choice="none")).sent().dropped == ()


def test_jurassic_has_no_streams() -> None:
    """A request for one is refused with 501, as the documented gateway refuses it."""
    with pytest.raises(NotSupported, match="no streams"):
        COMPLETIONS.adapter().request({"prompt": "Hi", "stream": True}, stream=True)


async def test_jurassic_does_not_chat() -> None:
    """The route is told to be unserved, with the way out; its calls get 501, and other routes are not touched."""
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": COMPLETIONS.model}

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        with pytest.raises(NotSupported, match="j2-mid does not chat; AI21's Jamba models do") as refused:
            await client.query("chat", asked())

    assert refused.value.status == 501


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"completions": [{}]}', b'{"completions": [{"data": {"text": "Hi"}, "finishReason": null}]}'],
)
def test_an_answer_that_is_none_is_the_upstreams_fault(body: bytes) -> None:
    """It is a 502."""
    with pytest.raises(UpstreamInvalid):
        COMPLETIONS.adapter().answer(UpstreamResponse(200, {}, body), COMPLETIONS.data())
