"""MosaicML: what can't stand in its prompts, and what is no answer of it."""

from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import InvalidRequest, NotSupported, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case

CHAT, COMPLETIONS = CASES["mosaicml/chat"], CASES["mosaicml/completions"]
EMBEDDINGS = CASES["mosaicml/embeddings"]

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        (CHAT, "messages.1.content.0", asked({"role": "user", "content": [IMAGE]})),
        (CHAT, "messages.1.role", asked({"role": "tool", "tool_call_id": "a", "content": "1"})),
        (CHAT, "messages.1.role", asked({"role": "narrator", "content": "1"})),
        (CHAT, "messages.1.tool_calls", asked({"role": "assistant", "tool_calls": [CALL]})),
        (CHAT, "max_new_tokens", asked(max_new_tokens=3)),
        (CHAT, "tools", asked(tools=[TOOL])),
        (CHAT, "response_format", asked(response_format={"type": "json_object"})),
        (CHAT, "seed", asked(seed=1)),
        (COMPLETIONS, "max_new_tokens", {"prompt": "Hi", "max_new_tokens": 3}),
        (COMPLETIONS, "prompt", {"prompt": [1, 2]}),
        (COMPLETIONS, "logprobs", {"prompt": "Hi", "logprobs": 1}),
        (COMPLETIONS, "suffix", {"prompt": "Hi", "suffix": "!"}),
        (EMBEDDINGS, "inputs", {"input": "Hi", "inputs": ["Ho"]}),
        (EMBEDDINGS, "input", {"input": [[1], [2]]}),
        (EMBEDDINGS, "dimensions", {"input": "Hi", "dimensions": 8}),
    ],
)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: dict[str, Any]) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422


@pytest.mark.parametrize("case", [CHAT, COMPLETIONS])
def test_there_are_no_streams(case: Case) -> None:
    """A request for one is refused with 501."""
    with pytest.raises(NotSupported, match="no streams"):
        case.adapter().request({**case.request, "stream": True}, stream=True)


@pytest.mark.parametrize("case", [CHAT, COMPLETIONS, EMBEDDINGS], ids=lambda case: case.kind)
@pytest.mark.parametrize("body", [b"{}", b'{"outputs": "Hi"}', b'{"outputs": null}', b'{"outputs": [1]}'])
def test_an_answer_without_outputs_is_the_upstreams_fault(case: Case, body: bytes) -> None:
    """It is a 502."""
    with pytest.raises(UpstreamInvalid):
        case.adapter().answer(UpstreamResponse(200, {}, body), case.data())


def test_a_limit_is_the_callers_though_it_is_told_as_a_text() -> None:
    """The service's words count, in JSON or not."""
    told = CHAT.adapter().error(UpstreamResponse(500, {}, b"Error: prompt token count (9) cannot exceed 8."))

    assert told.status == 422
