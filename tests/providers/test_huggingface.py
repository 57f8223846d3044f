"""Text Generation Inference: what it can't be given, how cold it can be, and what is no answer of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import InvalidRequest, UnsupportedParameter, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case, read
from tests.support.upstream import event

NAME = "huggingface-text-generation-inference"
CHAT, STREAM = CASES[f"{NAME}/chat"], CASES[f"{NAME}/stream"]
COMPLETIONS, TOKENS = CASES[f"{NAME}/completions"], CASES[f"{NAME}/stream_completions"]

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(**content: Any) -> dict[str, Any]:
    """A chat with a part that is not a text."""
    return asked({"role": "user", "content": [{"type": "text", "text": "Hi"}, content]})


PART = "messages.1.content.1"
SCHEMA = "response_format.json_schema.schema"
REFUSED: list[tuple[Case, str, dict[str, Any]]] = [
    (CHAT, PART, part(type="file", file={"file_id": "a"})),
    (CHAT, PART, part(type="input_audio", input_audio={"data": "UklGRg==", "format": "wav"})),
    (CHAT, f"{PART}.image_url.url", part(type="image_url", image_url={"url": "a.png"})),
    (
        CHAT,
        "messages.1.tool_calls.0",
        asked({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}),
    ),
    (CHAT, "n", asked(n=2)),
    (CHAT, "logprobs", asked(logprobs=3)),
    (CHAT, "tools.0", asked(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice="f")),
    (CHAT, SCHEMA, asked(response_format={"type": "json_schema"})),
    (CHAT, SCHEMA, asked(response_format={"type": "json_schema", "json_schema": {"name": "a"}})),
    (COMPLETIONS, "n", {"prompt": "Hi", "n": 2}),
    (COMPLETIONS, "prompt", {"prompt": ["Hi", "Ho"]}),
    (COMPLETIONS, "max_new_tokens", {"prompt": "Hi", "max_new_tokens": 3}),
    (COMPLETIONS, "suffix", {"prompt": "Hi", "suffix": "!"}),
    (COMPLETIONS, "logit_bias", {"prompt": "Hi", "logit_bias": {"5": 1}}),
    (COMPLETIONS, "presence_penalty", {"prompt": "Hi", "presence_penalty": 0.5}),
    (COMPLETIONS, "user", {"prompt": "Hi", "user": "ada"}),
    (TOKENS, "echo", {"prompt": "Hi", "echo": True, "stream": True}),
    *[
        (CHAT, name, asked(**{name: value}))
        for name, value in {
            "logit_bias": {"5": -100},
            "metadata": {"a": "b"},
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "user": "ada",
        }.items()
    ],
]


@pytest.mark.parametrize(("case", "field", "request_"), REFUSED, ids=lambda part: str(part)[:40])
def test_what_the_server_can_not_carry_is_refused_by_name(
    case: Case, field: str, request_: dict[str, Any]
) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422
    assert isinstance(refused.value, UnsupportedParameter) <= ("." not in field)


def test_how_to_look_at_an_image_is_left_out_and_told() -> None:
    """The server looks in one way."""
    url = "https://example.com/a.png"
    closely = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}

    sent = replace(CHAT, request=part(**closely)).sent()

    assert json.loads(sent.body)["messages"][1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": url},
    }
    assert sent.dropped == (f"{PART}.image_url.detail",)


@pytest.mark.parametrize("content", ["", [], None])
def test_calls_stand_without_an_empty_content(content: Any) -> None:
    """The server reads a message as a content where it has one, were it empty, and not as calls."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    message = {"role": "assistant", "content": content, "tool_calls": [call]}

    sent = json.loads(replace(CHAT, request=asked(message)).sent().body)["messages"][1]

    function = {"name": "f", "arguments": "{}"}
    assert sent == {"role": "assistant", "tool_calls": [{**call, "function": function}]}


def test_a_developer_is_the_system_and_a_refusal_a_text() -> None:
    """The models' templates know neither."""
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "assistant", "refusal": "No."}, USER]

    developer, refused, _ = json.loads(replace(CHAT, request={"messages": messages}).sent().body)["messages"]

    assert developer == {"role": "system", "content": "Be brief."}
    assert refused == {"role": "assistant", "content": "No."}


def test_one_prompt_may_stand_in_a_list() -> None:
    """LangChain sends lists."""
    assert json.loads(replace(COMPLETIONS, request={"prompt": ["Hi"]}).sent().body)["inputs"] == "Hi"


@pytest.mark.parametrize(("given", "sent"), [(0, 0.001), (1e-6, 0.001), (0.01, 0.5), (1, 50), (2, 100)])
def test_a_completion_is_as_hot_as_the_servers_scale_says(given: float, sent: float) -> None:
    """50 times the gateway's, and never nothing."""
    body = json.loads(replace(COMPLETIONS, request={"prompt": "Hi", "temperature": given}).sent().body)

    assert body["parameters"]["temperature"] == sent


def test_a_chat_is_as_hot_as_it_was_asked_for() -> None:
    """The Messages API has OpenAI's scale."""
    assert json.loads(replace(CHAT, request=asked(temperature=0)).sent().body)["temperature"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"generated_text": "Hi"}',
        b'{"generated_text": "Hi", "details": null}',
        b'{"generated_text": 1, "details": {"finish_reason": "length", "generated_tokens": 1, "prefill": []}}',
        b'{"generated_text": "Hi", "details": {"finish_reason": null, "generated_tokens": 1, "prefill": []}}',
        b'{"generated_text": "Hi", "details": {"finish_reason": "length", "generated_tokens": "1", "prefill": []}}',
        b'[{"generated_text": "Hi"}]',
    ],
)
def test_a_text_that_is_none_is_the_upstreams_fault(body: bytes) -> None:
    """It is a 502 that says whose it is."""
    with pytest.raises(UpstreamInvalid, match=NAME):
        COMPLETIONS.adapter().answer(UpstreamResponse(200, {}, body), COMPLETIONS.data())


@pytest.mark.parametrize(
    "data", [{}, {"token": None}, {"token": {"text": "Hi"}}, {"token": {"special": False}}]
)
def test_a_token_that_is_none_is_the_upstreams_fault(data: Any) -> None:
    """It ends the stream with the reason."""
    assert isinstance(read(TOKENS.reader(), [event(data)]).error, UpstreamInvalid)


def test_an_error_of_a_chat_may_be_an_object() -> None:
    """With the status that the server would have answered."""
    body = {"error": {"message": "Input validation error: too long", "http_status_code": 422}}

    failed = read(STREAM.reader(), [event(body)]).error

    assert failed is not None
    assert (failed.status, failed.message) == (
        422,
        f"{NAME} reports an error: Input validation error: too long",
    )


def test_an_error_of_an_unknown_kind_is_the_servers_own() -> None:
    """Without a kind that is known, the server has failed."""
    for kind in ({}, {"error_type": "tool_error"}, {"error_type": ["overloaded"]}):
        failed = read(STREAM.reader(), [event({"error": "Boom", **kind})]).error
        assert failed is not None
        assert (failed.status, failed.message) == (502, f"{NAME} reports an error: Boom")
