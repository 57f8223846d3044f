"""Bedrock: what can't be carried, what is no answer, and streams in AWS's binary format that are not as they should be."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.config import Model, RouteType
from gateway_async.errors import (
    ConfigError,
    InvalidRequest,
    NotSupported,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
)
from gateway_async.providers import get_provider
from gateway_async.providers._base import UpstreamResponse
from gateway_async.providers.bedrock.provider import maker
from tests.providers.cases import CASES, Case, each, frame_bytes, read
from tests.providers.test_strange import MANY, assert_standard, mutated

Json = dict[str, Any]

CHAT, STREAM = CASES["bedrock/chat"], CASES["bedrock/stream"]
CLAUDE_2, TITAN = CASES["bedrock/completions_anthropic"], CASES["bedrock/completions_titan"]
JURASSIC, COMMAND = CASES["bedrock/completions_ai21"], CASES["bedrock/completions_cohere"]
TITAN_V1, COHERE = CASES["bedrock/embeddings_titan_v1"], CASES["bedrock/embeddings_cohere"]
PIECES = CASES["bedrock/stream_completions_anthropic"]

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
CALLED = [USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "a"}]


def asked(*messages: Any, **more: Any) -> Json:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(role: str = "user", **content: Any) -> Json:
    """A chat whose second message has one part."""
    return asked({"role": role, "content": [content], "tool_call_id": "a"})


def image(url: str) -> Json:
    """A chat with an image."""
    return part(type="image_url", image_url={"url": url})


def file(**content: str) -> Json:
    """A chat with a file."""
    return part(type="file", file=content)


PART = "messages.1.content.0"
PDF = "data:application/pdf;base64,JVBERi0="

NOT_CARRIED: Sequence[tuple[Case, str, Json]] = [
    (CHAT, f"{PART}.image_url.url", image("https://example.com/a.png")),
    (CHAT, f"{PART}.image_url.url", image("s3://bucket/a.png")),
    (CHAT, f"{PART}.image_url.url", image("data:image/tiff;base64,AA==")),
    (CHAT, f"{PART}.image_url.url", image(PDF)),
    (CHAT, f"{PART}.file.file_data", file(filename="a.pdf")),
    (CHAT, f"{PART}.file.file_data", file(file_data="data:application/zip;base64,AA==")),
    (CHAT, f"{PART}.file.file_id", file(file_id="file-1")),
    (CHAT, PART, part(type="thinking", thinking="hm")),
    (CHAT, f"{PART}.video", part(type="video")),
    (CHAT, PART, part(type="json", json={})),
    (CHAT, f"{PART}.cache_control", part(type="text", text="Hi", cache_control="ephemeral")),
    (CHAT, PART, part("system", type="image_url", image_url={"url": "data:image/png;base64,AA=="})),
    (CHAT, PART, part("tool", type="input_audio", input_audio={"data": "AA==", "format": "wav"})),
    (CHAT, "messages.1.role", asked({"role": "narrator", "content": "Meanwhile"})),
    (CHAT, "messages.1.role", asked({"role": "function", "name": "f", "content": "1"})),
    (CHAT, "messages.1.tool_call_id", asked({"role": "tool", "content": "1"})),
    (CHAT, "messages.1.audio", asked({"role": "assistant", "audio": {"id": "audio_1"}})),
    (
        CHAT,
        "messages.1.function_call",
        asked({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}),
    ),
    (
        CHAT,
        "messages.1.tool_calls.0.function.arguments",
        asked({"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "["}}]}),
    ),
    (CHAT, "messages.1.thinking_blocks", asked({"role": "assistant", "thinking_blocks": "hm"})),
    (CHAT, "messages.1.thinking_blocks", asked({"role": "assistant", "thinking_blocks": [{"type": "x"}]})),
    (CHAT, "n", asked(n=2)),
    (CHAT, "tools.0", asked(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    (CHAT, "tools.0", asked(tools=[{"type": "systemTool"}])),
    (CHAT, "tool_choice", asked(tool_choice="required")),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice="any")),
    (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice={"type": "function"})),
    (CHAT, "tool_choice", {"messages": CALLED, "tools": [TOOL], "tool_choice": "none"}),
    (CHAT, "parallel_tool_calls", asked(tools=[TOOL], parallel_tool_calls=False)),
    (CHAT, "response_format", asked(response_format={"type": "json_object"})),
    (CHAT, "response_format", asked(response_format={"type": "json_schema"})),
    (CHAT, "reasoning_effort", asked(reasoning_effort="none")),
    (CHAT, "service_tier", asked(service_tier="scale")),
    (CHAT, "inferenceConfig", asked(inferenceConfig=1)),
    (CHAT, "toolConfig", asked(toolConfig=[])),
    (CHAT, "system", asked(system="Be brief.")),
    (CHAT, "additionalModelRequestFields", asked(top_k=1, additionalModelRequestFields=[])),
    *[
        (CHAT, name, asked(**{name: value}))
        for name, value in {
            "audio": {"voice": "alloy", "format": "wav"},
            "frequency_penalty": 0.5,
            "functions": [{"name": "f"}],
            "logit_bias": {"1": -100},
            "logprobs": True,
            "modalities": ["text", "audio"],
            "prediction": {"type": "content", "content": "Hi"},
            "presence_penalty": -0.5,
            "seed": 0,
            "store": True,
            "top_logprobs": 2,
            "user": "a",
            "verbosity": "low",
            "web_search_options": {},
        }.items()
    ],
    *[
        (case, name, {"prompt": "Hi", name: value})
        for name, value in {"seed": 1, "logprobs": 1, "suffix": "!", "echo": True, "user": "a"}.items()
        for case in (CLAUDE_2, TITAN, JURASSIC, COMMAND)
    ],
    *[(case, "prompt", {"prompt": ["Hi", "Ho"]}) for case in (CLAUDE_2, TITAN, JURASSIC, COMMAND)],
    (CLAUDE_2, "n", {"prompt": "Hi", "n": 2}),
    (TITAN, "n", {"prompt": "Hi", "n": 2}),
    (CLAUDE_2, "top_p", {"prompt": "Hi", "top_p": 0.5}),
    (CLAUDE_2, "max_tokens", {"prompt": "Hi", "max_tokens": 1_000_001}),
    (CASES["bedrock/completions_llama"], "prompt", {"prompt": ["Hi", "Ho"]}),
    (TITAN_V1, "input", {"input": ["Hi", "Bye"]}),
    (TITAN_V1, "input", {"input": [1, 2]}),
    (TITAN_V1, "dimensions", {"input": "Hi", "dimensions": 256}),
    (COHERE, "input", {"input": [[1], [2]]}),
    (COHERE, "dimensions", {"input": "Hi", "dimensions": 256}),
    (COHERE, "user", {"input": "Hi", "user": "a"}),
]


@pytest.mark.parametrize(("case", "field", "request_"), NOT_CARRIED)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: Json) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "more",
    [{"seed": 1}, {"service_tier": "scale"}, {"reasoning_effort": "none"}, {"parallel_tool_calls": False}],
    ids=str,
)
def test_an_unsupported_parameter_can_be_dropped(more: Json) -> None:
    """The error names a parameter that the engine may take away."""
    with pytest.raises(UnsupportedParameter) as refused:
        replace(CHAT, request=asked(**more)).sent()

    assert [refused.value.parameter] == list(more)


def test_jurassic_has_no_streams() -> None:
    """Nor has AWS's page on it: a request for one is refused with 501."""
    with pytest.raises(NotSupported, match="no streams"):
        JURASSIC.adapter().request({"prompt": "Hi"}, stream=True)


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "made_by"),
    [
        ("anthropic.claude-v2", ("anthropic", "claude-v2")),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", ("anthropic", "claude-3-haiku-20240307-v1:0")),
        ("us-gov.amazon.nova-lite-v1:0", ("amazon", "nova-lite-v1:0")),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/cohere.embed-english-v3",
            ("cohere", "embed-english-v3"),
        ),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-v2", ("anthropic", "claude-v2")),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/abc", ("", "")),
        ("meta.llama3-8b-instruct-v1:0", ("", "")),
        ("mistral.amazon", ("", "")),
        ("amazon", ("", "")),
        ("", ("", "")),
    ],
)
def test_the_id_of_a_model_tells_who_made_it(model: str, made_by: tuple[str, str]) -> None:
    """Behind a region, or at the end of an ARN; or it does not."""
    vendor, name = maker(model)

    assert (vendor, name if vendor else "") == made_by


@pytest.mark.parametrize(
    ("model", "operation"),
    [
        *((name, "invoke") for name in ("anthropic.claude-v2:1", "anthropic.claude-instant-v1")),
        *(
            (name, "invoke")
            for name in ("amazon.titan-tg1-large", "ai21.j2-ultra", "cohere.command-text-v14")
        ),
        *(
            (name, "converse")
            for name in ("anthropic.claude-3-haiku-20240307-v1:0", "ai21.jamba-1-5-mini-v1:0")
        ),
        *((name, "converse") for name in ("anthropic.claude-opus-4-1-20250805-v1:0", "deepseek.r1-v1:0")),
        *(
            (name, "converse")
            for name in ("amazon.nova-pro-v1:0", "cohere.command-r-v1:0", "cohere.command-a-1")
        ),
    ],
)
def test_completions_take_the_older_api_where_there_is_one(model: str, operation: str) -> None:
    """Else the prompt is a chat."""
    case = replace(TITAN, model={**TITAN.model, "name": model})

    assert case.sent().url.endswith(f"/{operation}")


@pytest.mark.parametrize(
    "model", ["anthropic.claude-v2", "arn:aws:bedrock:us-east-1:1:provisioned-model/abc"]
)
def test_a_model_without_embeddings_is_refused_when_it_is_bound(model: str) -> None:
    """The form of its body is not known."""
    with pytest.raises(ConfigError, match="embeddings"):
        replace(TITAN_V1, model={**TITAN_V1.model, "name": model}).adapter()


@pytest.mark.parametrize(
    ("base", "host"),
    [
        ("https://VPCE-1.Example.com:443/x", "https://vpce-1.example.com/x"),
        ("http://Localhost:80", "http://localhost"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("https://Me:Secret@Example.com", "https://Me:Secret@example.com"),
    ],
)
def test_a_base_address_is_one_that_can_be_signed(base: str, host: str) -> None:
    """Its host stands in the signature as in the request."""
    config = {**CHAT.model["config"], "bedrock_api_base": base}

    url = replace(CHAT, model={**CHAT.model, "config": config}).sent().url

    assert url.partition("/model/")[0] == host


def test_both_names_are_one_provider() -> None:
    """Each is the name in its errors."""
    for name in ("bedrock", "amazon-bedrock"):
        model = Model.model_validate({**CHAT.model, "provider": name})
        bound = get_provider(name).bind(model, RouteType.LLM_V1_CHAT)
        assert f"{name} answered 400" in str(bound.error(UpstreamResponse(400, {}, b"")))  # type: ignore[union-attr]


# --- answers ------------------------------------------------------------------------------------------------------

NO_ANSWERS: Sequence[tuple[Case, bytes]] = [
    *(
        (case, body)
        for case in (CHAT, CLAUDE_2, TITAN, JURASSIC, COMMAND, COHERE)
        for body in (b"{}", b"[1]", b"<")
    ),
    (TITAN_V1, b'{"inputTextTokenCount": 3}'),
    (TITAN_V1, b'{"embedding": "x", "inputTextTokenCount": 3}'),
    (COHERE, b'{"embeddings": 1}'),
    (COHERE, b'{"embeddings": {}}'),
    (CHAT, b'{"output": {"message": {"content": [{"text": 1}]}}, "stopReason": "end_turn", "usage": {}}'),
    (CHAT, b'{"output": {"message": {"content": []}}, "stopReason": "end_turn", "usage": {}}'),
]


@pytest.mark.parametrize(("case", "body"), NO_ANSWERS)
def test_what_is_no_answer_is_the_upstreams_fault(case: Case, body: bytes) -> None:
    """It is a 502."""
    with pytest.raises(UpstreamInvalid):
        case.adapter().answer(UpstreamResponse(200, {}, body), case.data())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b"[1]", "[1]"),
        (b'{"message": null}', '{"message": null}'),
        (b'{"message": 5}', '{"message": 5}'),
        (b"", "no message"),
    ],
)
def test_an_error_that_is_not_awss_keeps_its_words(body: bytes, said: str) -> None:
    """What stands between us and AWS answers in its own way."""
    assert CHAT.adapter().error(UpstreamResponse(500, {}, body)).message == f"bedrock answered 500: {said}"


# --- streams ------------------------------------------------------------------------------------------------------


def frame(name: str, payload: Any = None, **headers: str) -> bytes:
    """A message of an event stream."""
    named = {":message-type": "event", ":event-type": name}
    return frame_bytes({"headers": {**named, **headers}, "payload": {} if payload is None else payload})


START = frame("messageStart", {"role": "assistant"})
TEXT = frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}})
STOP = frame("messageStop", {"stopReason": "end_turn"})
METADATA = frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}, "metrics": {"latencyMs": 1}})


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(START + TEXT[:-1] + b"\0", id="a wrong sum"),
        pytest.param(START + TEXT[:9] + b"\xff" + TEXT[10:], id="a wrong sum of the beginning"),
        pytest.param(START + b"data: {}\n\ndata: {}\n\n", id="no event stream"),
        pytest.param(START + frame_bytes({"headers": {"x": "1"}, "payload": {}}), id="a message of no type"),
        pytest.param(START + TEXT, id="cut behind a message"),
        pytest.param(START + TEXT[:20], id="cut within a message"),
        pytest.param(b"", id="empty"),
        pytest.param(TEXT, id="no beginning"),
        pytest.param(START + START, id="two beginnings"),
        pytest.param(START + METADATA, id="no stop"),
        pytest.param(START + STOP + frame("metadata", {"usage": {}}), id="no usage"),
        pytest.param(START + frame("contentBlockDelta", {"contentBlockIndex": 0}), id="no delta"),
        pytest.param(START + frame("contentBlockDelta", {"delta": {"text": "Hi"}}), id="no index"),
        pytest.param(START + frame("contentBlockStart", [1]), id="no object"),
        pytest.param(START + frame("messageStop"), id="no reason"),
    ],
)
def test_a_stream_that_is_none_is_the_upstreams_fault(stream: bytes) -> None:
    """What came before reaches the caller; then comes a 502."""
    found = read(STREAM.reader(), [stream])

    assert isinstance(found.error, UpstreamError)
    assert found.error.status == 502
    assert [chunk["choices"][0]["delta"] for chunk in found.chunks[:1]] == (
        [{"role": "assistant", "content": ""}] if stream.startswith(START) else []
    )


@each(lambda case: case.upstream_frames and not case.fails)
def test_a_stream_that_is_cut_between_messages_broke_off(case: Case) -> None:
    """Up to the message that ends the answer, an end of the stream is not its end."""
    frames = list(map(frame_bytes, case.upstream_frames or ()))
    stops = [at for at, one in enumerate(frames) if b"messageStop" in one]

    for cut in range(stops[0] if stops else len(frames) - 1):
        found = read(case.reader(), frames[:cut])
        assert isinstance(found.error, UpstreamInvalid)
        assert "broke off" in found.error.message


def test_what_is_new_in_a_stream_does_no_harm() -> None:
    """Events that are not known are passed over, also those of a block that nobody began."""
    stop = frame("contentBlockStop", {"contentBlockIndex": 7})
    found = read(STREAM.reader(), [START + frame("newEvent", {"a": 1}) + TEXT + stop + STOP + METADATA])

    assert found.error is None
    assert "".join(c["delta"].get("content", "") for chunk in found.chunks for c in chunk["choices"]) == "Hi"


def test_an_error_without_a_payload_is_told() -> None:
    """AWS's format has errors that stand in the headers alone."""
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "Something broke"}
    found = read(STREAM.reader(), [START, frame_bytes({"headers": headers, "payload": {}})])

    assert str(found.error) == "bedrock answered 500: Something broke"


@pytest.mark.parametrize(
    "payload", [{}, {"bytes": 1}, {"bytes": "?"}, {"bytes": base64.b64encode(b"[1]").decode()}]
)
def test_a_piece_that_is_none_is_the_upstreams_fault(payload: Json) -> None:
    """A piece of a completion is an object in base64."""
    found = read(PIECES.reader(), [frame("chunk", payload)])

    assert isinstance(found.error, UpstreamInvalid)


@MANY
@given(
    case=st.sampled_from([case for case in CASES.values() if case.upstream_frames is not None]),
    data=st.data(),
)
def test_a_strange_stream_is_passed_on_or_is_the_upstreams_fault(case: Case, data: st.DataObject) -> None:
    """Messages that are changed, lost, doubled, out of order or cut give chunks, and an error of the upstream's."""
    frames: list[Mapping[str, Any]] = list(case.upstream_frames or ())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frames) - 1))
        how = data.draw(st.sampled_from(["change", "lose", "double", "move", "type"]))
        if how == "change":
            frames[at] = {**frames[at], "payload": mutated(frames[at]["payload"], data)}
        elif how == "type":
            frames[at] = {**frames[at], "headers": data.draw(st.sampled_from(frames))["headers"]}
        elif how == "double":
            frames.insert(at, frames[at])
        elif len(frames) > 1:
            moved = frames.pop(at)
            if how == "move":
                frames.insert(data.draw(st.integers(0, len(frames))), moved)
    whole = b"".join(map(frame_bytes, map(dict, frames)))
    found = read(case.reader(), [whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))]])

    for chunk in found.chunks:
        assert_standard(chunk, "choices")
    assert found.error is None or isinstance(found.error, UpstreamError)


@MANY
@given(case=st.sampled_from([STREAM, PIECES]), noise=st.binary(max_size=200), cut=st.integers(0, 2000))
def test_noise_is_the_upstreams_fault(case: Case, noise: bytes, cut: int) -> None:
    """Bytes that are no event stream never raise anything else."""
    read(case.reader(), [case.stream_bytes()[:cut] + noise])
