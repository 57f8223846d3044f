"""What can't be carried is refused by name, what an upstream gets wrong is told as its fault, and no key shows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient, RouteType
from gateway_async.errors import InvalidRequest, UpstreamError, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers.openai_format.answer import standard_answer
from tests.providers.cases import CASES, Case, each, read
from tests.support.upstream import MockUpstream, Reply, error, event, json_reply, stream

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}

CHAT, STREAM = CASES["anthropic/chat"], CASES["anthropic/stream"]
OLDER = CASES["anthropic/completions"]
OPENAI_CHAT, OPENAI_STREAM = CASES["openai/chat"], CASES["openai/stream"]


def part(**content: Any) -> dict[str, Any]:
    """A request with a part that is not a text."""
    return {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "Hi"}, content]}]}


def image(url: str) -> dict[str, Any]:
    """A request with an image."""
    return part(type="image_url", image_url={"url": url})


def file(**content: str) -> dict[str, Any]:
    """A request with a file."""
    return part(type="file", file=content)


def said(**message: Any) -> dict[str, Any]:
    """A request in which the assistant has said something before."""
    return {"messages": [USER, {"role": "assistant", **message}]}


def called(arguments: str) -> dict[str, Any]:
    """A request in which the assistant has called a function before."""
    return said(tool_calls=[{**CALL, "function": {"name": "f", "arguments": arguments}}])


def asked(**more: Any) -> dict[str, Any]:
    """A request with parameters."""
    return {"messages": [USER], **more}


# --- requests -----------------------------------------------------------------------------------------------------

PART, ARGUMENTS = "messages.1.content.1", "messages.1.tool_calls.0.function.arguments"

NOT_CARRIED: Sequence[tuple[str, dict[str, Any]]] = [
    (PART, part(type="input_audio", input_audio={"data": "UklGRg==", "format": "wav"})),
    (f"{PART}.image_url.url", image("data:image/png,%89PNG")),
    (f"{PART}.image_url.url", image("ftp://example.com/a.png")),
    (f"{PART}.image_url.url", image("iVBORw0KGgo=")),
    (f"{PART}.image_url.url", image("")),
    (f"{PART}.file.file_data", file(filename="a.pdf")),
    (f"{PART}.file.file_data", file(file_data="JVBERi0=")),
    (f"{PART}.file.file_data", file(file_data="data:text/plain;base64,?")),
    (f"{PART}.file.file_data", file(file_data="data:text/csv;base64,/w==")),
    (ARGUMENTS, called("{")),
    (ARGUMENTS, called("[1]")),
    (ARGUMENTS, called('"a"')),
    (
        "messages.1.tool_calls.0",
        said(tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]),
    ),
    ("messages.1.audio", said(audio={"id": "audio_1"})),
    ("messages.1.function_call", said(function_call={"name": "f", "arguments": "{}"})),
    ("messages.1.thinking_blocks", said(content="Hi", thinking_blocks="hm")),
    ("messages.1.thinking_blocks", said(content="Hi", thinking_blocks=["hm"])),
    ("messages.1.role", {"messages": [USER, {"role": "narrator", "content": "Meanwhile"}]}),
    ("messages.1.role", {"messages": [USER, {"role": "function", "name": "f", "content": "1"}]}),
    ("messages.1.tool_call_id", {"messages": [USER, {"role": "tool", "content": "1"}]}),
    ("n", asked(n=2)),
    ("top_p", asked(temperature=0.5, top_p=0.5)),
    ("max_tokens", asked(max_tokens=1_000_001)),
    ("max_completion_tokens", asked(max_completion_tokens=1_000_001)),
    ("response_format", asked(response_format={"type": "json_object"})),
    ("response_format", asked(response_format={"type": "json_schema"})),
    ("response_format", asked(response_format={"type": "json_schema", "json_schema": "river"})),
    ("response_format", asked(response_format={"type": "grammar"})),
    ("output_config", asked(reasoning_effort="low", output_config="low")),
    ("tools.0.function", asked(tools=[{"type": "function"}])),
    ("tools.1.custom", asked(tools=[TOOL, {"type": "custom", "custom": {"name": "f"}}])),
    ("tool_choice", asked(tools=[TOOL], tool_choice="any")),
    ("tool_choice", asked(tools=[TOOL], tool_choice={"type": "function"})),
    ("tool_choice", asked(tools=[TOOL], tool_choice={"type": "function", "function": {}})),
    (
        "tool_choice",
        asked(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
    ),
    *[
        (name, asked(**{name: value}))
        for name, value in {
            "audio": {"voice": "alloy", "format": "wav"},
            "frequency_penalty": 0.5,
            "function_call": "auto",
            "functions": [{"name": "f"}],
            "logit_bias": {"50256": -100},
            "logprobs": True,
            "modalities": ["text", "audio"],
            "moderation": {"model": "omni"},
            "prediction": {"type": "content", "content": "Hi"},
            "presence_penalty": -0.5,
            "prompt_cache_key": "a",
            "prompt_cache_options": {"mode": "implicit"},
            "prompt_cache_retention": "24h",
            "safety_identifier": "a",
            "seed": 0,
            "store": True,
            "top_logprobs": 2,
            "verbosity": "low",
            "web_search_options": {},
        }.items()
    ],
]

NOT_COMPLETED: Sequence[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": ["Hi", "Ho"]}),
    ("prompt", {"prompt": [1, 2]}),
    ("top_p", {"prompt": "Hi", "top_p": 0.5}),
    ("n", {"prompt": "Hi", "n": 2}),
    ("best_of", {"prompt": "Hi", "best_of": 2}),
    ("echo", {"prompt": "Hi", "echo": True}),
    ("suffix", {"prompt": "Hi", "suffix": "!"}),
    ("logprobs", {"prompt": "Hi", "logprobs": 1}),
    ("seed", {"prompt": "Hi", "seed": 7}),
    ("max_tokens", {"prompt": "Hi", "max_tokens": 1_000_001}),
]


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        pytest.param(case, field, request, id=f"{field}-{index}")
        for case, table in ((CHAT, NOT_CARRIED), (OLDER, NOT_COMPLETED))
        for index, (field, request) in enumerate(table)
    ],
)
def test_what_anthropic_can_not_carry_is_refused_by_name(
    case: Case, field: str, request_: dict[str, Any]
) -> None:
    """Nothing that the caller asks for is dropped in silence: the error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert isinstance(refused.value.detail, list)
    [problem] = refused.value.detail
    assert ".".join(map(str, problem["loc"])) == f"body.{field}"
    assert refused.value.message == f"{field}: {problem['msg']}"
    assert refused.value.status == 422


# --- answers that are none ----------------------------------------------------------------------------------------

DEEP = b'{"a":' * 1000 + b"1" + b"}" * 1000


NO_ANSWERS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"Hi"',
    "nothing": b"{}",
    "broken": b"{",
    "no UTF-8": b"\xff\xfe",
    "HTML": b"<html></html>",
    "no choices": b'{"choices": null}',
    "no choice": b'{"choices": [1]}',
    "too deep": DEEP,
}

ONE_OF_EACH = [CHAT, OLDER, OPENAI_CHAT, CASES["openai/completions"], CASES["openai/embeddings"]]


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
@each(lambda case: case in ONE_OF_EACH)
def test_an_answer_that_is_none_is_the_upstreams_fault(case: Case, body: bytes) -> None:
    """A 200 whose body is not what the API promises is a 502 that says whose it is."""
    with pytest.raises(UpstreamInvalid, match=case.provider) as failed:
        case.adapter().answer(UpstreamResponse(200, {}, body), case.data())

    assert failed.value.status == 502
    assert len(failed.value.message) < 1000


def test_arguments_too_deep_to_write_are_the_upstreams_fault() -> None:
    """What can be read can be too deep to be written again."""
    tools = CASES["anthropic/chat_tool_call_alone"]
    body = tools.upstream_body.replace(b'{"location": "Z\xc3\xbcrich"}', DEEP)
    assert DEEP in body

    with pytest.raises(UpstreamInvalid):
        tools.adapter().answer(UpstreamResponse(200, {}, body), tools.data())


@pytest.mark.parametrize("status", [400, 500])
@each(lambda case: case in (CHAT, OPENAI_CHAT))
def test_an_error_too_deep_to_read_is_an_error(case: Case, status: int) -> None:
    """An error's body is whatever it is; the error stays one."""
    assert isinstance(case.adapter().error(UpstreamResponse(status, {}, DEEP)), UpstreamError)


# --- streams that are none ----------------------------------------------------------------------------------------


ENDS = (b"message_stop", b'"stop_reason":"stop_sequence"', b'"finish_reason":"', b'"finish_reason": "')
"""How the events that end an answer are known, in OpenAI's format and Anthropic's."""


@each(lambda case: case.streams and not case.fails and any(end in case.stream_bytes() for end in ENDS))
def test_a_stream_that_is_cut_between_events_broke_off(case: Case) -> None:
    """Up to the event that ends the answer, an end of the stream is not its end."""
    blocks = case.stream_bytes().split(b"\n\n")
    last = next(at for at, block in enumerate(blocks) if any(end in block for end in ENDS))

    for cut in range(last):
        found = read(case.reader(), [b"\n\n".join([*blocks[:cut], b""])])
        assert isinstance(found.error, UpstreamInvalid)
        assert "broke off" in found.error.message
    assert read(case.reader(), [b"\n\n".join([*blocks, b""])]).error is None


def test_one_of_two_answers_that_is_cut_broke_off() -> None:
    """With several answers in a stream, one that is complete does not complete the others."""
    case = CASES["openai/stream_several_answers"]
    blocks = case.stream_bytes().split(b"\n\n")
    first_end = next(at for at, block in enumerate(blocks) if b'"finish_reason":"stop"' in block)

    found = read(case.reader(), [b"\n\n".join([*blocks[: first_end + 1], b""])])

    assert isinstance(found.error, UpstreamInvalid)


START, BLOCK, _PING, DELTA, *_REST, BLOCK_END, END, STOP = STREAM.upstream_data()


@pytest.mark.parametrize(
    ("before", "events"),
    [
        pytest.param(0, [BLOCK], id="a block before the message"),
        pytest.param(0, [END], id="the reason before the message"),
        pytest.param(0, [STOP], id="nothing but the end"),
        pytest.param(1, [START, DELTA], id="a delta before its block"),
        pytest.param(1, [START, BLOCK_END], id="the end of a block before its begin"),
        pytest.param(1, [START, BLOCK, BLOCK_END, DELTA], id="a delta after its block"),
        pytest.param(1, [START, STOP], id="the end before the reason"),
        pytest.param(1, [START, START], id="two begins"),
    ],
)
def test_events_out_of_order_are_the_upstreams_fault(before: int, events: Sequence[dict[str, Any]]) -> None:
    """No chunk is made of an event that stands at the wrong place; those before it have gone out."""
    found = read(STREAM.reader(), [event(data) for data in events])

    assert isinstance(found.error, UpstreamInvalid)
    assert len(found.chunks) == before


@pytest.mark.parametrize(
    "data",
    [b"nothing", b"[]", b"1", b'{"choices": 1}', b'{"choices": [1]}', b'{"type": "message_start"}', DEEP],
)
@each(lambda case: case in (STREAM, OPENAI_STREAM))
def test_an_event_that_is_none_is_the_upstreams_fault(case: Case, data: bytes) -> None:
    """A stream in which an event is not what the API promises ends with the reason, or as broken off."""
    found = read(case.reader(), [b"data: " + data + b"\n\n"])

    assert isinstance(found.error, UpstreamInvalid)


@pytest.mark.parametrize(
    "data",
    [
        {
            "error": {"message": "Boom", "code": 500},
            "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}],
        },
        {"error": "Boom"},
        b'event: error\ndata: {"message": "Boom"}\n\n',
    ],
    ids=["within a chunk", "a text", "by its name"],
)
def test_an_error_in_a_stream_is_seen_in_every_shape(data: Any) -> None:
    """Servers of OpenAI's format report errors within a chunk, as a text, or under an event's name."""
    found = read(OPENAI_STREAM.reader(), [data if isinstance(data, bytes) else event(data)])

    assert found.chunks == []
    assert found.error is not None
    assert found.error.message == "openai reports an error: Boom"


# --- keys ---------------------------------------------------------------------------------------------------------

KEY = "sk-secret/ABCDEFGHIJKLMNOPQRSTUVWXYZ+0123456789"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(error(401, f"Wrong key: {KEY}."), id="an error"),
        pytest.param(error(400, f"Wrong key: {KEY}."), id="a refusal"),
        pytest.param(Reply(f"Authorization: Bearer {KEY}".encode(), 500, "text/plain"), id="no JSON"),
        pytest.param(Reply(b'{"headers": {"x-api-key": "%b"}}' % KEY.encode(), 503), id="no message"),
        pytest.param(Reply(b"x" * 480 + b" " + KEY.encode(), 502, "text/plain"), id="where a text is cut"),
        pytest.param(Reply(b"x" * 480 + b" " + KEY.encode()), id="where an answer is cut"),
        pytest.param(json_reply({"choices": KEY, "content": KEY}), id="an answer that is none"),
        pytest.param(
            stream(event({"type": "error", "error": {"type": KEY, "message": KEY}})),
            id="an error in a stream",
        ),
        pytest.param(stream(b"data: " + KEY.encode() + b"\n\n"), id="an event that is none"),
        pytest.param(
            stream(event({"type": KEY, "choices": [KEY], "delta": KEY})), id="an event out of order"
        ),
    ],
)
async def test_a_key_never_shows_though_the_upstream_repeats_it(
    reply: Reply, provider: str, streamed: bool, upstream: MockUpstream
) -> None:
    """Neither the key nor a part of it stands in an error, whichever way it comes back."""
    upstream.reply(reply)
    config = {f"{provider}_api_key": KEY, f"{provider}_api_base": upstream.url}
    route = {
        "name": "chat",
        "endpoint_type": "llm/v1/chat",
        "model": {"provider": provider, "name": "m", "config": config},
    }

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        with pytest.raises(UpstreamError) as failed:
            await (_read(client) if streamed else client.query("chat", {"messages": [USER]}))

    shown = f"{failed.value} {failed.value!r} {json.dumps(failed.value.body())} {failed.value.args}"
    assert KEY in json.dumps(dict(upstream.request().headers))
    assert not any(KEY[at : at + 8] in shown for at in range(len(KEY) - 7))


async def _read(client: AsyncGatewayClient) -> None:
    async for _ in client.stream("chat", {"messages": [USER]}):
        pass


def test_an_error_under_a_status_of_success_is_told_as_the_upstream_tells_it() -> None:
    """Some servers answer 200 to what they refuse: the caller sees their words, not that choices are missing."""
    body = json.dumps({"error": {"message": "The model is warming up", "type": "server_error"}}).encode()

    with pytest.raises(UpstreamError, match="openai reports an error: The model is warming up"):
        standard_answer(body, "openai", RouteType.LLM_V1_CHAT, "gpt")


def test_a_request_nested_too_deeply_is_refused_by_everybody() -> None:
    """It can be read, and not written again: the caller's fault, and no provider's mistake."""
    deep = json.loads("[" * 600 + "]" * 600)
    adapters = {(case.provider, case.kind): case for case in CASES.values()}

    for case in adapters.values():
        with pytest.raises(InvalidRequest, match="the request can't be passed on"):
            replace(case, request={**case.request, "x_own": deep}).sent()
