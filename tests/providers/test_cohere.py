"""Cohere: which API is spoken, what neither can be given, and what is no answer of them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.config import Model, RouteType
from gateway_async.errors import InvalidRequest, UpstreamError, UpstreamInvalid
from gateway_async.providers import get_provider
from gateway_async.providers._base import Adapter, Responder, UpstreamResponse
from tests.providers.cases import CASES, Case, read
from tests.support.upstream import MockUpstream, event, json_reply

CHAT, COMPLETIONS, EMBEDDINGS = (CASES[f"cohere/{name}"] for name in ("chat", "completions", "embeddings"))
V1_CHAT, V1_COMPLETIONS, V1_EMBEDDINGS = (
    CASES[f"cohere/v1_{name}"] for name in ("chat", "completions", "embeddings")
)
STREAM, V1_STREAM = CASES["cohere/stream"], CASES["cohere/v1_stream"]

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def asked(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat that begins with a user's message."""
    return {"messages": [USER, *messages], **more}


def part(**content: Any) -> dict[str, Any]:
    """A chat with a part that is not a text."""
    return asked({"role": "user", "content": [TEXT, content]})


def image(url: str) -> dict[str, Any]:
    """A chat with an image."""
    return part(type="image_url", image_url={"url": url})


# --- which API ----------------------------------------------------------------------------------------------------


def bound(model: str, kind: str, **config: str) -> Adapter:
    """The adapter of a route."""
    settings = {"provider": "cohere", "name": model, "config": {"cohere_api_key": "key", **config}}
    adapter = get_provider("cohere").bind(Model.model_validate(settings), RouteType(f"llm/v1/{kind}"))
    assert not isinstance(adapter, Responder)
    return adapter


REQUESTS: Mapping[str, dict[str, Any]] = {
    "chat": {"messages": [USER]},
    "completions": {"prompt": "Hi"},
    "embeddings": {"input": "Hi"},
}


@pytest.mark.parametrize(
    ("model", "kind", "url"),
    [
        ("command", "chat", "https://api.cohere.ai/v1/chat"),
        ("command-light", "completions", "https://api.cohere.ai/v1/generate"),
        ("command-nightly", "chat", "https://api.cohere.ai/v1/chat"),
        ("command-light-nightly", "completions", "https://api.cohere.ai/v1/generate"),
        ("base-light", "completions", "https://api.cohere.ai/v1/generate"),
        ("embed-english-light-v2.0", "embeddings", "https://api.cohere.ai/v1/embed"),
        ("embed-multilingual-v2.0", "embeddings", "https://api.cohere.ai/v1/embed"),
        ("embed-english-v3.0", "embeddings", "https://api.cohere.com/v2/embed"),
        ("embed-v4.0", "embeddings", "https://api.cohere.com/v2/embed"),
        ("command-r", "chat", "https://api.cohere.com/v2/chat"),
        ("command-r7b-12-2024", "completions", "https://api.cohere.com/v2/chat"),
        ("command-a-03-2025", "chat", "https://api.cohere.com/v2/chat"),
        ("c4ai-aya-expanse-32b", "chat", "https://api.cohere.com/v2/chat"),
        ("7c3ba1d5-ft", "chat", "https://api.cohere.com/v2/chat"),
    ],
)
def test_a_models_age_chooses_the_api(model: str, kind: str, url: str) -> None:
    """Without a base address v1 serves what v2 never served, and v2 all else."""
    assert bound(model, kind).request(REQUESTS[kind], stream=False).url == url


@pytest.mark.parametrize(
    "base", ["https://a.example/v2", "https://a.example/v2/", "https://a.example/v2?b=c"]
)
@pytest.mark.parametrize("kind", ["chat", "completions", "embeddings"])
def test_a_base_address_that_ends_in_v2_chooses_v2(base: str, kind: str) -> None:
    """It says so for old models, too; a query stays where it is."""
    sent = bound("command", kind, cohere_api_base=base).request(REQUESTS[kind], stream=False)

    path = "embed" if kind == "embeddings" else "chat"
    assert sent.url == f"https://a.example/v2/{path}{'?b=c' if '?' in base else ''}"


@pytest.mark.parametrize("base", ["https://a.example/v1", "https://a.example/v2/x", "https://a.example"])
def test_any_other_base_address_chooses_v1(base: str) -> None:
    """It says so for new models, too."""
    sent = bound("command-a-03-2025", "chat", cohere_api_base=base).request(REQUESTS["chat"], stream=False)

    assert sent.url == f"{base}/chat"
    assert b'"message":"Hi"' in sent.body


# --- what can't be carried ----------------------------------------------------------------------------------------

PART, CALLED = "messages.1.content.1", "messages.1.tool_calls.0"
CUSTOM = {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}
NAMED = {"type": "function", "function": {"name": "g"}}

UNKNOWN_TO_BOTH: Mapping[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "logit_bias": {"50256": -100},
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "Hi"},
    "safety_identifier": "a",
    "service_tier": "flex",
    "store": True,
    "top_logprobs": 2,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {},
}


@pytest.mark.parametrize(
    ("case", "field", "request_"),
    [
        *((CHAT, name, asked(**{name: value})) for name, value in UNKNOWN_TO_BOTH.items()),
        *((V1_CHAT, name, asked(**{name: value})) for name, value in UNKNOWN_TO_BOTH.items()),
        (CHAT, PART, part(type="input_audio", input_audio={"data": "UklGRg==", "format": "wav"})),
        (CHAT, PART, part(type="file", file={"file_id": "a"})),
        (CHAT, f"{PART}.image_url.url", image("ftp://example.com/a.png")),
        (CHAT, f"{PART}.image_url.url", image("iVBORw0KGgo=")),
        (CHAT, PART, part(type="document", document={"data": "Hi"})),
        (CHAT, "messages.1.content.0", asked({"role": "tool", "tool_call_id": "a", "content": [IMAGE]})),
        (CHAT, "messages.1.content.0", asked({"role": "system", "content": [IMAGE]})),
        (CHAT, "messages.1.role", asked({"role": "narrator", "content": "Meanwhile"})),
        (CHAT, "messages.1.role", asked({"role": "function", "name": "f", "content": "1"})),
        (CHAT, "messages.1.tool_call_id", asked({"role": "tool", "content": "1"})),
        (CHAT, "messages.1.audio", asked({"role": "assistant", "audio": {"id": "a"}})),
        (CHAT, "messages.1.function_call", asked({"role": "assistant", "function_call": CALL["function"]})),
        (CHAT, CALLED, asked({"role": "assistant", "tool_calls": [CUSTOM]})),
        (CHAT, "tools.1", asked(tools=[TOOL, {"type": "custom", "custom": {"name": "f"}}])),
        (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice="any")),
        (CHAT, "tool_choice", asked(tools=[TOOL], tool_choice=NAMED)),
        (CHAT, "response_format", asked(response_format={"type": "json_schema"})),
        (CHAT, "response_format", asked(response_format={"type": "grammar"})),
        (CHAT, "reasoning_effort", asked(reasoning_effort="low")),
        (CHAT, "logprobs", asked(logprobs=3)),
        (COMPLETIONS, "prompt", {"prompt": ["Hi", "Ho"]}),
        (COMPLETIONS, "suffix", {"prompt": "Hi", "suffix": "!"}),
        (COMPLETIONS, "logprobs", {"prompt": "Hi", "logprobs": 1}),
        (EMBEDDINGS, "input", {"input": [1, 2]}),
        (EMBEDDINGS, "input", {"input": [[1], [2]]}),
        (EMBEDDINGS, "user", {"input": "Hi", "user": "u"}),
        (EMBEDDINGS, "embedding_types", {"input": "Hi", "embedding_types": ["float", "int8"]}),
        (EMBEDDINGS, "embedding_types", {"input": "Hi", "embedding_types": ["base64"]}),
        (EMBEDDINGS, "embedding_types", {"input": "Hi", "embedding_types": "float"}),
        (V1_CHAT, "messages.1.content.0", asked({"role": "user", "content": [IMAGE]})),
        (V1_CHAT, "messages.1.tool_calls", asked({"role": "assistant", "tool_calls": [CALL]}, USER)),
        (V1_CHAT, "messages.1.tool_call_id", asked({"role": "tool", "tool_call_id": "a", "content": "1"})),
        (V1_CHAT, "messages.1.role", asked({"role": "tool", "content": "1"})),
        (V1_CHAT, "messages.1.audio", asked({"role": "assistant", "audio": {"id": "a"}}, USER)),
        (V1_CHAT, "messages.1.role", asked({"role": "assistant", "content": "Hi"})),
        (V1_CHAT, "messages.0.role", {"messages": [{"role": "system", "content": "Be brief."}]}),
        (V1_CHAT, "tools", asked(tools=[TOOL])),
        (V1_CHAT, "tool_choice", asked(tool_choice="required")),
        (V1_CHAT, "stop", asked(stop=["END"])),
        (V1_CHAT, "logprobs", asked(logprobs=True)),
        (V1_CHAT, "response_format", asked(response_format={"type": "grammar"})),
        (V1_CHAT, "reasoning_effort", asked(reasoning_effort="high")),
        (V1_COMPLETIONS, "prompt", {"prompt": ["Hi", "Ho"]}),
        (V1_COMPLETIONS, "best_of", {"prompt": "Hi", "best_of": 2}),
        (V1_COMPLETIONS, "echo", {"prompt": "Hi", "echo": True}),
        (V1_COMPLETIONS, "logprobs", {"prompt": "Hi", "logprobs": 1}),
        (V1_EMBEDDINGS, "texts", {"input": "Hi", "texts": ["Ho"]}),
        (V1_EMBEDDINGS, "input", {"input": [1, 2]}),
        (V1_EMBEDDINGS, "dimensions", {"input": "Hi", "dimensions": 8}),
    ],
)
def test_what_it_can_not_carry_is_refused_by_name(case: Case, field: str, request_: dict[str, Any]) -> None:
    """The error says where it stands."""
    with pytest.raises(InvalidRequest) as refused:
        replace(case, request=request_).sent()

    assert refused.value.message.startswith(f"{field}: ")
    assert isinstance(refused.value.detail, list)
    assert refused.value.status == 422


@pytest.mark.parametrize(("given", "sent"), [(0, 0.01), (0.01, 0.01), (0.5, 0.5), (1, 0.99), (1.0, 0.99)])
def test_a_probability_mass_stays_within_coheres_range(given: float, sent: float) -> None:
    """OpenAI's goes from 0 to 1."""
    request = replace(CHAT, request=asked(top_p=given)).sent()

    assert json.loads(request.body)["p"] == sent


@pytest.mark.parametrize("case", [CHAT, V1_CHAT], ids=lambda case: case.name)
@pytest.mark.parametrize("named", [{"name": "a"}, {"name": "a", "schema": {}}], ids=str)
def test_a_schema_that_says_nothing_is_not_sent(case: Case, named: Any) -> None:
    """Cohere takes no empty one: it misses the schema's `type`."""
    sent = replace(case, request=asked(response_format={"type": "json_schema", "json_schema": named})).sent()

    assert json.loads(sent.body)["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("case", [CHAT, V1_CHAT], ids=lambda case: case.name)
def test_a_refusal_goes_back_as_what_was_said(case: Case) -> None:
    """Another provider of the route may have given it; it stands in place of a content."""
    sent = replace(case, request=asked({"role": "assistant", "content": None, "refusal": "No."}, USER)).sent()

    body = json.loads(sent.body)
    said = body["messages"][1]["content"] if "messages" in body else body["chat_history"][1]["message"]
    assert said == "No."


def test_an_empty_part_beside_a_call_is_not_sent() -> None:
    """Some clients always send a text."""
    called = {"role": "assistant", "content": [{"type": "text", "text": ""}], "tool_calls": [CALL]}

    sent = replace(CHAT, request=asked(called)).sent()

    assert json.loads(sent.body)["messages"][1] == {"role": "assistant", "tool_calls": [CALL]}


def test_a_choice_of_tools_is_nothing_without_tools() -> None:
    """Clients leave their choice in place when they have no tools to offer."""
    sent = replace(V1_CHAT, request=asked(tools=[], tool_choice="auto")).sent()

    assert json.loads(sent.body) == {"model": "command", "message": "Hi"}


@pytest.mark.parametrize("name", ["num_generations", "stop_sequences"])
def test_generates_own_names_are_refused_as_the_documented_gateway_refuses_them(name: str) -> None:
    """They have a name of the gateway's; the status is 400 there."""
    with pytest.raises(InvalidRequest, match=name) as refused:
        replace(V1_COMPLETIONS, request={"prompt": "Hi", name: 1}).sent()

    assert refused.value.status == 400


async def test_a_route_that_drops_goes_on_without_tools(upstream: MockUpstream) -> None:
    """What v1 has nothing for is left out, and told."""
    upstream.reply(json_reply(V1_CHAT.upstream_answer and V1_CHAT.upstream_answer["body"]))
    model = {**V1_CHAT.model, "config": {"cohere_api_key": "k", "cohere_api_base": f"{upstream.url}/v1"}}
    route = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": model, "drop_unsupported": True}

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        await client.query("chat", asked(tools=[TOOL], tool_choice="auto", stop=["END"], user="u"))

    assert upstream.request().json == {"model": "command", "message": "Hi"}


# --- answers that are none ----------------------------------------------------------------------------------------

BODIES: Mapping[str, list[bytes]] = {
    "cohere/chat": [b"{}", b'{"id": "a", "finish_reason": "COMPLETE"}', b'{"message": {"content": "Hi"}}'],
    "cohere/v1_chat": [b"{}", b'{"text": null}', b'{"text": "Hi", "token_count": 3}'],
    "cohere/v1_completions": [b"{}", b'{"generations": [{}]}', b'{"generations": {"text": "Hi"}}'],
    "cohere/embeddings": [
        b"{}",
        b'{"embeddings": {}}',
        b'{"embeddings": {"float": [[1]], "int8": [[1]]}}',
        b'{"embeddings": [1]}',
    ],
}


@pytest.mark.parametrize(("name", "body"), [(name, body) for name in BODIES for body in BODIES[name]])
def test_an_answer_that_is_none_is_the_upstreams_fault(name: str, body: bytes) -> None:
    """It is a 502."""
    with pytest.raises(UpstreamInvalid):
        CASES[name].adapter().answer(UpstreamResponse(200, {}, body), CASES[name].data())


@pytest.mark.parametrize(("reason", "status"), [("ERROR", 502), ("TIMEOUT", 504), ("USER_CANCEL", 502)])
@pytest.mark.parametrize("case", [CHAT, V1_CHAT], ids=lambda case: case.name)
def test_an_answer_that_failed_is_an_error(case: Case, reason: str, status: int) -> None:
    """Cohere says so with status 200; half an answer is none."""
    assert case.upstream_answer is not None
    body = {**case.upstream_answer["body"], "finish_reason": reason}
    failing = replace(case, upstream_answer={"body": body})

    with pytest.raises(UpstreamError, match=reason) as failed:
        failing.adapter().answer(failing.response(), failing.data())

    assert failed.value.status == status


def test_meta_of_another_shape_does_no_harm() -> None:
    """It is not needed for an answer; mlflow's own tests have a list there."""
    body = b'{"embeddings": [[1.5]], "meta": [{"api_version": [{"version": "1"}]}]}'

    V1_EMBEDDINGS.adapter().answer(UpstreamResponse(200, {}, body), V1_EMBEDDINGS.data())


START, OPEN, PIECE, *_, CLOSE, END = STREAM.upstream_data()


@pytest.mark.parametrize(
    ("before", "events"),
    [
        pytest.param(0, [PIECE], id="a piece before the message"),
        pytest.param(0, [END], id="nothing but the end"),
        pytest.param(1, [START, START], id="two begins"),
        pytest.param(1, [START, {"type": "content-delta", "index": 0}], id="a piece without its delta"),
        pytest.param(1, [START, {"type": "message-end"}], id="an end without a reason"),
        pytest.param(
            1,
            [START, {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": CALL}}}],
            id="arguments before their call",
        ),
    ],
)
def test_events_out_of_order_are_the_upstreams_fault(before: int, events: list[Any]) -> None:
    """No chunk is made of an event that stands at the wrong place; those before it have gone out."""
    found = read(STREAM.reader(), [event(data) for data in events])

    assert isinstance(found.error, UpstreamInvalid)
    assert len(found.chunks) == before


def test_events_that_are_not_known_are_passed_over() -> None:
    """What Cohere adds one day breaks no stream."""
    more = [START, {"type": "debug", "prompt": "…"}, OPEN, PIECE, {"type": "new-event"}, CLOSE, END]
    found = read(STREAM.reader(), [event(data) for data in more])

    assert found.error is None
    assert len(found.chunks) == 4


def test_a_line_that_is_no_json_is_the_upstreams_fault() -> None:
    """A stream of v1 has a JSON object on each line."""
    found = read(V1_STREAM.reader(), [b'{"event_type": "text-generation", "text": "Hi"}\n<html>\n'])

    assert isinstance(found.error, UpstreamInvalid)
    assert len(found.chunks) == 1


def test_a_stream_of_v1_says_what_its_answer_says() -> None:
    """Text, reason and usage; the id is that of the generation, since the response's comes last."""
    chunks = read(V1_STREAM.reader(), [V1_STREAM.stream_bytes()]).chunks

    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "I am Command."
    assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
    assert chunks[-1]["usage"] == {"prompt_tokens": 71, "completion_tokens": 4, "total_tokens": 75}
