"""Gemini and PaLM: what can't be carried is refused by name, and what Google gets wrong is told as its fault."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import (
    InvalidRequest,
    NotSupported,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
    UpstreamUnavailable,
)
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case, each, read

Json = dict[str, Any]

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}

CHAT, STREAM = CASES["gemini/chat"], CASES["gemini/stream"]
EMBEDDINGS = CASES["gemini/embeddings"]


def part(**content: Any) -> Json:
    """A request with a part that is not a text."""
    return {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "Hi"}, content]}]}


def said(**message: Any) -> Json:
    """A request in which the assistant has said something before."""
    return {"messages": [USER, {"role": "assistant", **message}]}


def asked(**more: Any) -> Json:
    """A request with parameters."""
    return {"messages": [USER], **more}


def field(refused: InvalidRequest) -> str:
    """The path of the field that an error names."""
    assert isinstance(refused.detail, list)
    return ".".join(str(step) for step in refused.detail[0]["loc"][1:])


# --- what can't be carried -----------------------------------------------------------------------------------------

PART = "messages.1.content.1"
TEXT_ONLY = {
    "role": "system",
    "content": [{"type": "image_url", "image_url": {"url": "https://example.com/"}}],
}

NOT_CARRIED: Sequence[tuple[str, Json]] = [
    (PART, part(type="video", video={"url": "https://example.com/a.mp4"})),
    (f"{PART}.image_url.url", part(type="image_url", image_url={"url": "ftp://example.com/a.png"})),
    (f"{PART}.image_url.url", part(type="image_url", image_url={"url": "iVBORw0KGgo="})),
    (f"{PART}.file.file_data", part(type="file", file={"filename": "a.pdf"})),
    (f"{PART}.file.file_data", part(type="file", file={"file_data": "JVBERi0="})),
    ("messages.0.content.0", {"messages": [TEXT_ONLY, USER]}),
    ("messages.1.role", {"messages": [USER, {"role": "function", "name": "f", "content": "1"}]}),
    ("messages.1.audio", said(audio={"id": "audio_1"})),
    ("messages.1.function_call", said(function_call={"name": "f", "arguments": "{}"})),
    ("messages.1.tool_calls.0", said(tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "f"}}])),
    (
        "messages.1.tool_calls.0.function.arguments",
        said(tool_calls=[{**CALL, "function": {"name": "f", "arguments": "[1]"}}]),
    ),
    ("messages.1.extra_content", said(content="Hi", extra_content="signed")),
    ("messages.1.extra_content", said(content="Hi", extra_content={"google": ["signed"]})),
    (
        "messages.1.extra_content.google.thought_signature",
        said(content="Hi", extra_content={"google": {"thought_signature": 1}}),
    ),
    (
        "messages.1.extra_content.google.parts",
        said(content="Hi", extra_content={"google": {"parts": {"text": "Hi"}}}),
    ),
    (
        "messages.1.tool_calls.0.extra_content.google.thought_signature",
        said(tool_calls=[{**CALL, "extra_content": {"google": {"thought_signature": ["x"]}}}]),
    ),
    ("messages.1.tool_call_id", {"messages": [USER, {"role": "tool", "content": "1"}]}),
    ("messages.1.tool_call_id", {"messages": [USER, {"role": "tool", "tool_call_id": "b", "content": "1"}]}),
    (
        "messages.2.content.0",
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "a", "content": [{"type": "table"}]},
            ]
        },
    ),
    ("tools.0", asked(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    ("tools.1", asked(tools=[{"type": "google_search"}, {"type": "function"}])),
    ("tool_choice", asked(tools=[TOOL], tool_choice="any")),
    ("tool_choice", asked(tools=[TOOL], tool_choice={"type": "function"})),
    ("tool_choice", asked(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": {}})),
    ("generationConfig", asked(temperature=1, generationConfig="hot")),
    ("toolConfig", asked(tools=[TOOL], tool_choice="auto", toolConfig=[])),
    (
        "systemInstruction",
        {
            "messages": [{"role": "system", "content": "Be brief."}, USER],
            "systemInstruction": {"parts": [{"text": "Be kind."}]},
        },
    ),
]


@pytest.mark.parametrize(("name", "request_"), NOT_CARRIED, ids=[name for name, _ in NOT_CARRIED])
def test_what_can_not_be_carried_is_refused_by_name(name: str, request_: Json) -> None:
    """422 with the place in the body; nothing is dropped in silence."""
    with pytest.raises(InvalidRequest) as refused:
        replace(CHAT, request=request_).sent()

    assert field(refused.value) == name
    assert refused.value.status == 422


UNSUPPORTED: Sequence[tuple[str, Any]] = [
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("functions", [{"name": "f"}]),
    ("logit_bias", {"50256": -100}),
    ("logprobs", 5),
    ("metadata", {"a": "b"}),
    ("modalities", ["text", "audio"]),
    ("parallel_tool_calls", False),
    ("prediction", {"type": "content", "content": "Hi"}),
    ("reasoning_effort", "xhigh"),
    ("reasoning_effort", "endless"),
    ("response_format", {"type": "grammar"}),
    ("response_format", {"type": "json_schema"}),
    ("response_format", {"type": "json_schema", "json_schema": "river"}),
    ("service_tier", "scale"),
    ("tool_choice", "required"),
    ("user", "u"),
    ("verbosity", "low"),
    ("web_search_options", {}),
]


@pytest.mark.parametrize(("name", "value"), UNSUPPORTED, ids=[name for name, _ in UNSUPPORTED])
def test_a_parameter_that_gemini_has_not_may_be_dropped(name: str, value: Any) -> None:
    """It is refused so that a route that drops such parameters can go on without it."""
    with pytest.raises(UnsupportedParameter) as refused:
        replace(CHAT, request=asked(**{name: value})).sent()

    assert refused.value.parameter == name


@pytest.mark.parametrize("value", [1, ["text", 1], [1, 2], [[1, 2]]], ids=str)
def test_tokens_can_not_be_embedded(value: Any) -> None:
    """Gemini takes texts."""
    adapter = EMBEDDINGS.adapter()

    with pytest.raises(InvalidRequest) as refused:
        adapter.request({"input": value}, stream=False)

    assert field(refused.value) == "input"


def test_the_number_of_a_completions_likelihoods_is_refused() -> None:
    """Completions ask for them by a number, and what would come back has no place in them."""
    with pytest.raises(UnsupportedParameter) as refused:
        replace(CASES["gemini/completions"], request={"prompt": "Hi", "logprobs": 2}).sent()

    assert refused.value.parameter == "logprobs"


def test_several_prompts_are_refused() -> None:
    """A prompt is one message."""
    with pytest.raises(InvalidRequest) as refused:
        replace(CASES["gemini/completions"], request={"prompt": ["a", "b"]}).sent()

    assert field(refused.value) == "prompt"


# --- results of tools ----------------------------------------------------------------------------------------------


def test_ids_that_a_client_uses_again_keep_the_order_of_each_turn() -> None:
    """Some clients name each call after its function: the results of a later turn stay in their order."""
    calls = [{**CALL, "id": name, "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("f", "g")]
    turn = [USER, {"role": "assistant", "tool_calls": calls}, *results]

    body = json.loads(replace(CHAT, request={"messages": [*turn, *turn]}).sent().body)

    answered = [
        [part["functionResponse"]["name"] for part in content["parts"]]
        for content in body["contents"]
        if "functionResponse" in content["parts"][0]
    ]
    assert answered == [["f", "g"], ["f", "g"]]


@pytest.mark.parametrize(
    ("model", "wants"),
    [
        ("gemini-3-pro-preview", True),
        ("gemini-3.5-flash", True),
        ("gemini-12-pro", True),
        ("gemini-flash-latest", True),
        ("gemini-flash-lite-latest", True),
        ("gemini-2.5-pro", False),
        ("gemma-3-27b-it", False),
    ],
)
def test_calls_without_a_signature_get_the_documented_word_where_one_is_wanted(
    model: str, wants: bool
) -> None:
    """Gemini 3 and later refuse a call of theirs without one; earlier models have none."""
    case = replace(CHAT, model={**CHAT.model, "name": model}, request=said(tool_calls=[CALL]))

    (_, turn) = json.loads(case.sent().body)["contents"]

    assert ("thoughtSignature" in turn["parts"][0]) is wants


# --- answers -------------------------------------------------------------------------------------------------------


def answered(body: Any, case: Case = CHAT) -> Any:
    """What becomes of an upstream's answer."""
    return json.loads(
        case.adapter().answer(UpstreamResponse(200, {}, json.dumps(body).encode()), case.data())
    )


def candidate(**more: Any) -> Json:
    """An answer with one candidate."""
    return {"candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, **more}]}


def parts(*given: Any) -> Json:
    """An answer with these parts."""
    return {"candidates": [{"content": {"parts": list(given), "role": "model"}, "finishReason": "STOP"}]}


FAILURES = [
    "FINISH_REASON_UNSPECIFIED",
    "IMAGE_OTHER",
    "LANGUAGE",
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "NO_IMAGE",
    "OTHER",
    "TOO_MANY_TOOL_CALLS",
    "UNEXPECTED_TOOL_CALL",
    "A_LATER_REASON",
]


@pytest.mark.parametrize("reason", FAILURES)
def test_a_model_that_fails_and_says_nothing_has_given_no_answer(reason: str) -> None:
    """An empty answer that looks whole would deceive; the reason and Gemini's words are told."""
    with pytest.raises(UpstreamInvalid, match=f"{reason}: print") as failed:
        answered({"candidates": [{"finishReason": reason, "finishMessage": "print(", "index": 0}]})

    assert failed.value.status == 502


@pytest.mark.parametrize("reason", FAILURES)
def test_a_model_that_fails_after_some_words_has_stopped(reason: str) -> None:
    """The words are kept, and Gemini's reason beside them."""
    (choice,) = answered(candidate(finishReason=reason))["choices"]

    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "Hi"
    assert choice["message"]["extra_content"]["google"]["finishReason"] == reason


BLOCKS = [
    "BLOCKLIST",
    "ESCALATION",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_SAFETY",
    "MODEL_ARMOR",
    "PROHIBITED_CONTENT",
    "PUP_LIMITED_DISABLED",
    "RECITATION",
    "SAFETY",
    "SPII",
]


@pytest.mark.parametrize("reason", BLOCKS)
def test_every_block_is_a_content_filter(reason: str) -> None:
    """Whatever it is called."""
    (choice,) = answered({"candidates": [{"finishReason": reason}]})["choices"]

    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] == ""


def test_calls_that_are_cut_short_are_no_calls_to_make() -> None:
    """The reason stays `length`, though there is a call."""
    call = {"functionCall": {"name": "f", "args": {}}}
    body = {"candidates": [{"content": {"parts": [call]}, "finishReason": "MAX_TOKENS"}]}

    (choice,) = answered(body)["choices"]

    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


MALFORMED: Sequence[Any] = [
    {},
    [],
    "Hi",
    {"candidates": []},
    {"candidates": {}},
    {"candidates": [], "promptFeedback": {}},
    {"candidates": [None]},
    {"candidates": [{"content": "Hi"}]},
    {"candidates": [{"content": {"parts": "Hi"}}]},
    parts({"text": 1}),
    parts({"functionCall": {}}),
    parts({"functionCall": {"name": "f", "args": "{}"}}),
    parts({"text": "Hi", "thoughtSignature": 1}),
    candidate(finishReason=1),
    {**candidate(), "usageMetadata": {"promptTokenCount": "8"}},
    {**candidate(), "usageMetadata": [8]},
    {**candidate(), "modelVersion": 1},
    {**candidate(), "responseId": 1},
    candidate(logprobsResult={"chosenCandidates": [{}]}),
    candidate(logprobsResult={"chosenCandidates": [{"token": "a", "logProbability": []}]}),
    candidate(logprobsResult={"chosenCandidates": [{"token": "a"}], "topCandidates": [{}, {}]}),
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: json.dumps(body)[:60])
def test_an_answer_that_is_none_is_the_upstreams_fault(body: Any) -> None:
    """502, whatever is missing."""
    with pytest.raises(UpstreamInvalid) as failed:
        answered(body)

    assert failed.value.status == 502


@pytest.mark.parametrize(
    "body", [{}, {"embedding": {}}, {"embeddings": [{}]}, {"embeddings": [{"values": 1}]}]
)
def test_vectors_that_are_none_are_the_upstreams_fault(body: Json) -> None:
    """502."""
    with pytest.raises(UpstreamInvalid):
        answered(body, EMBEDDINGS)


# --- streams -------------------------------------------------------------------------------------------------------


def streamed(*events: bytes) -> Any:
    """What becomes of a stream."""
    return read(STREAM.reader(), events)


@each(lambda case: case.provider == "gemini" and case.streams and not case.fails)
def test_a_stream_that_is_cut_between_events_broke_off(case: Case) -> None:
    """Without a reason to end from every candidate, an end of the stream is not its end."""
    events = case.stream_bytes().split(b"\n\n")[:-1]
    ends = (b"finishReason", b"blockReason")
    last = next(at for at, event in enumerate(events) if any(end in event for end in ends))

    for cut in range(last):
        found = read(case.reader(), [b"\n\n".join([*events[:cut], b""])])
        assert isinstance(found.error, UpstreamInvalid)
        assert "broke off" in found.error.message
        assert not any(choice["finish_reason"] for chunk in found.chunks for choice in chunk["choices"])


def test_an_error_without_its_line_end_is_seen() -> None:
    """The connection may close right behind it."""
    found = streamed(b'{\r\n  "error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}\r\n}')

    assert found.chunks == []
    assert isinstance(found.error, UpstreamUnavailable)
    assert "busy" in found.error.message


@pytest.mark.parametrize(
    "more",
    [
        {"groundingMetadata": {}},
        {"content": {"parts": [{"functionCall": {"name": "f", "args": {}}}]}},
        {"content": {"parts": [{"executableCode": {}}]}},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_is_too_deep_to_be_written_is_the_upstreams_fault(more: Json) -> None:
    """What can be read can be too deep to be written again, whole or in a stream."""
    deep = b'{"a":' * 1000 + b"1" + b"}" * 1000
    value = {"candidates": [{"finishReason": "STOP", **more}]}
    body = deep.join(json.dumps(value).encode().rsplit(b"{}", 1))

    found = streamed(b"data: " + body + b"\n\n")

    assert isinstance(found.error, UpstreamInvalid)
    with pytest.raises(UpstreamInvalid):
        CHAT.adapter().answer(UpstreamResponse(200, {}, body), CHAT.data())


def test_a_line_that_never_ends_is_refused() -> None:
    """No upstream can fill the memory."""
    found = streamed(*[b"x" * 2**20] * 40)

    assert isinstance(found.error, UpstreamInvalid)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}, 400),
        ({"code": 500, "message": "no", "status": "INTERNAL"}, 502),
        ({"code": 503, "message": "no", "status": "UNAVAILABLE"}, 503),
        ({"code": 504, "message": "no", "status": "DEADLINE_EXCEEDED"}, 504),
        ({"message": "no", "status": "RESOURCE_EXHAUSTED"}, 429),
        ({"message": "no"}, 502),
        ("no", 502),
    ],
    ids=str,
)
def test_an_error_within_a_stream_has_the_status_that_it_names(error: Any, status: int) -> None:
    """As it would have had as an answer."""
    found = streamed(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")

    assert isinstance(found.error, UpstreamError)
    assert found.error.status == status
    assert "no" in found.error.message


@pytest.mark.parametrize("delay", [None, 5, "", "soon", "-1s", "1e3s", ["5s"]], ids=str)
def test_a_delay_that_is_none_is_left_out(delay: Any) -> None:
    """Only seconds as Google writes them count."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}, None, "x"]
    body = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": details}}

    failed = CHAT.adapter().error(UpstreamResponse(429, {}, json.dumps(body).encode()))

    assert failed.retry_after is None


# --- PaLM ----------------------------------------------------------------------------------------------------------

PALM: Sequence[tuple[str, str, Json]] = [
    ("max_tokens", "palm/chat", asked(max_tokens=5)),
    ("max_completion_tokens", "palm/chat", asked(max_completion_tokens=5)),
    ("maxOutputTokens", "palm/chat", asked(maxOutputTokens=5)),
    ("candidateCount", "palm/chat", asked(candidateCount=2)),
    ("stopSequences", "palm/chat", asked(stopSequences=["END"])),
    ("tools", "palm/chat", asked(tools=[TOOL])),
    ("response_format", "palm/chat", asked(response_format={"type": "json_object"})),
    ("messages.1.tool_calls", "palm/chat", said(tool_calls=[CALL])),
    ("messages.1.audio", "palm/chat", said(audio={"id": "audio_1"})),
    (
        "messages.1.role",
        "palm/chat",
        {"messages": [USER, {"role": "tool", "tool_call_id": "a", "content": "1"}]},
    ),
    (PART, "palm/chat", part(type="image_url", image_url={"url": "https://example.com/a.png"})),
    ("prompt", "palm/completions", {"prompt": ["a", "b"]}),
    ("suffix", "palm/completions", {"prompt": "a", "suffix": "b"}),
    ("maxOutputTokens", "palm/completions", {"prompt": "a", "maxOutputTokens": 5}),
    ("input", "palm/embeddings", {"input": [1, 2]}),
    ("texts", "palm/embeddings", {"input": "a", "texts": "b"}),
    ("dimensions", "palm/embeddings", {"input": "a", "dimensions": 5}),
]


@pytest.mark.parametrize(("name", "case", "request_"), PALM, ids=[f"{case}-{name}" for name, case, _ in PALM])
def test_what_palm_can_not_carry_is_refused_by_name(name: str, case: str, request_: Json) -> None:
    """422 with the place in the body."""
    with pytest.raises(InvalidRequest) as refused:
        replace(CASES[case], request=request_).sent()

    assert field(refused.value) == name


def test_what_palm_has_refused_goes_back() -> None:
    """It stands under `refusal`, without a content."""
    sent = replace(CASES["palm/chat"], request=said(content=None, refusal="No.")).sent()

    assert json.loads(sent.body)["prompt"]["messages"][1] == {"author": "assistant", "content": "No."}


@each(lambda case: case.name in ("palm/chat", "palm/completions"))
def test_palm_has_no_streams(case: Case) -> None:
    """501."""
    with pytest.raises(NotSupported):
        case.adapter().request({**case.data(), "stream": True}, stream=True)


@pytest.mark.parametrize("body", [{}, {"candidates": []}, {"candidates": [{}]}, {"filters": [{"reason": 1}]}])
@each(lambda case: case.name in ("palm/chat", "palm/completions", "palm/embeddings"))
def test_an_answer_of_palms_that_is_none_is_its_fault(case: Case, body: Json) -> None:
    """502; no candidates and no filter that has taken them away is no answer."""
    with pytest.raises(UpstreamInvalid):
        answered(body, case)
