"""The rows of the OpenAI-compatible table: what each lacks is refused by name, and what an upstream does wrong is its fault."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway_async import AsyncGatewayClient
from gateway_async.config import Model, RouteType
from gateway_async.errors import (
    GatewayError,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
)
from gateway_async.provider_config import PROVIDER_CONFIGS, Provider
from gateway_async.provider_table import ROWS, Row
from gateway_async.providers import PROVIDERS, get_provider
from gateway_async.providers._base import Adapter, Responder, UpstreamResponse
from gateway_async.providers._requests import PARAMETERS
from gateway_async.validation import decode, validate
from tests.providers.cases import CASES, read
from tests.support.upstream import MockUpstream, chat, event

Json = dict[str, Any]

CHAT, COMPLETIONS, EMBEDDINGS = (
    RouteType.LLM_V1_CHAT,
    RouteType.LLM_V1_COMPLETIONS,
    RouteType.LLM_V1_EMBEDDINGS,
)
HELLO: Json = {"messages": [{"role": "user", "content": "Hi"}]}

ASKS: Mapping[str, Any] = {
    "best_of": 2,
    "echo": True,
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "n": 2,
    "presence_penalty": 0.5,
    "suffix": "the end",
    "top_logprobs": 2,
}
"""A value for each parameter that some row lacks, which asks for something."""


def bound(row: Row, kind: RouteType = CHAT, **config: Any) -> Adapter:
    """The adapter of a row."""
    settings = {
        "api_key": "k",
        **({"api_base": "https://x.example/v1"} if row.base is None else {}),
        **config,
    }
    model = Model.model_validate({"provider": row.name, "name": "m", "config": settings})
    adapter = get_provider(row.name).bind(model, kind)
    assert not isinstance(adapter, Responder)
    return adapter


def asked(kind: RouteType, **more: Any) -> Json:
    """A request as the gateway hands it on."""
    content: Json = HELLO if kind is CHAT else {"prompt": "Hi"} if kind is COMPLETIONS else {"input": "Hi"}
    return validate(kind, decode(json.dumps({**content, **more}).encode()))


def kinds_of(row: Row) -> list[RouteType]:
    """The types of routes that a row serves."""
    return [kind for kind in RouteType if kind in get_provider(row.name).route_types]


# --- the table ----------------------------------------------------------------------------------------------------


def test_every_row_is_a_provider_of_its_own() -> None:
    """No name is taken twice, by a module or a documented provider."""
    assert not ROWS.keys() & PROVIDERS.keys()
    assert not ROWS.keys() & Provider.values()
    assert set(ROWS) < set(PROVIDER_CONFIGS)
    assert [row.name for row in ROWS.values()] == list(ROWS)


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_row_is_well_formed(row: Row) -> None:
    """An address without a slash at its end, OpenAI's parameters, a variable for the key of a hosted one."""
    if row.base is not None:
        address = urlsplit(row.base)
        assert address.scheme == ("http" if row.local else "https")
        assert not row.base.endswith("/")
    assert (row.lacks | row.lacks_in_completions | row.renames.keys()) <= PARAMETERS.keys()
    assert row.lacks <= ASKS.keys()
    assert row.local or row.base is None or row.key
    assert not row.usual_model or row.key


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_every_row_is_recorded(row: Row) -> None:
    """A chat, a stream, an error, and each further type of route that it has."""
    cases = [case for case in CASES.values() if case.provider == row.name]

    assert any(case.kind == CHAT and case.answer for case in cases)
    assert any(case.streams and not case.fails for case in cases)
    assert any(case.upstream_status >= 400 for case in cases)
    assert {case.route_type for case in cases} == set(kinds_of(row))


# --- requests -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "parameter"),
    [(row, name) for row in ROWS.values() for name in sorted(row.lacks)],
    ids=lambda value: value.name if isinstance(value, Row) else value,
)
def test_a_parameter_that_a_vendor_lacks_is_refused_by_its_name(row: Row, parameter: str) -> None:
    """In its chat; and dropped where it asks for nothing."""
    with pytest.raises(
        UnsupportedParameter, match=f"{parameter}: {row.vendor} has no such parameter"
    ) as error:
        bound(row).request(asked(CHAT, **{parameter: ASKS[parameter]}), stream=False)

    assert error.value.parameter == parameter
    for neutral in PARAMETERS[parameter]:
        sent = bound(row).request({**HELLO, parameter: neutral}, stream=False)
        assert parameter not in json.loads(sent.body)


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if not row.completions], ids=lambda row: row.name
)
@pytest.mark.parametrize("parameter", ["best_of", "echo", "logprobs", "suffix"])
def test_a_parameter_of_completions_that_no_chat_has_is_refused(row: Row, parameter: str) -> None:
    """Where completions are chats."""
    value = 3 if parameter == "logprobs" else ASKS[parameter]

    with pytest.raises(UnsupportedParameter) as error:
        bound(row, COMPLETIONS).request(asked(COMPLETIONS, **{parameter: value}), stream=False)

    assert error.value.parameter == parameter


@pytest.mark.parametrize(
    ("row", "parameter"),
    [(row, name) for row in ROWS.values() for name in sorted(row.lacks_in_completions)],
    ids=lambda value: value.name if isinstance(value, Row) else value,
)
def test_a_parameter_that_only_its_completions_lack_is_refused_there(row: Row, parameter: str) -> None:
    """And nowhere else."""
    value = 3 if parameter == "logprobs" else ASKS[parameter]

    with pytest.raises(UnsupportedParameter):
        bound(row, COMPLETIONS).request(asked(COMPLETIONS, **{parameter: value}), stream=False)
    sent = bound(row).request({**HELLO, parameter: ASKS[parameter]}, stream=False)
    assert json.loads(sent.body)[parameter] == ASKS[parameter]


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if "tool_choice" in row.only], ids=lambda row: row.name
)
def test_a_choice_of_tools_that_would_be_passed_over_is_refused(row: Row, choice: Any) -> None:
    """And the one that is made anyway goes out."""
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}]}

    with pytest.raises(UnsupportedParameter, match=f"tool_choice: {row.vendor} takes 'auto' only"):
        bound(row).request(asked(CHAT, **tools, tool_choice=choice), stream=False)
    sent = json.loads(bound(row).request(asked(CHAT, **tools, tool_choice="auto"), stream=False).body)
    assert sent["tool_choice"] == "auto"


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_what_a_row_says_nothing_of_goes_out_as_it_came(row: Row) -> None:
    """OpenAI's parameters and the vendor's own."""
    given = {"temperature": 0, "top_p": 0.5, "seed": 7, "top_k": 3, "stop": ["x"], "user": "u"}

    sent = json.loads(bound(row).request(asked(CHAT, **given), stream=False).body)

    assert sent == {"model": "m", **HELLO, **given}


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if not row.embeddings], ids=lambda row: row.name
)
def test_a_row_without_embeddings_does_not_serve_them(row: Row) -> None:
    """The route is told so when the configuration loads."""
    assert EMBEDDINGS not in get_provider(row.name).route_types


@pytest.mark.parametrize(
    "base", ["https://x.example/v1", "https://x.example/v1/", "https://x.example/v1/?a=b"]
)
@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_another_address_takes_the_place_of_the_usual_one(row: Row, base: str) -> None:
    """Whatever stands at its end."""
    url = bound(row, api_base=base).request(HELLO, stream=False).url

    assert url == "https://x.example/v1/chat/completions" + ("?a=b" if "?" in base else "")


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.local], ids=lambda row: row.name)
def test_a_server_of_one_s_own_wants_no_key(row: Row) -> None:
    """Nor, where its address is the usual one, any settings."""
    config = {"api_base": "https://x.example/v1"} if row.base is None else None
    model = Model.model_validate({"provider": row.name, "name": "m", "config": config})
    adapter = get_provider(row.name).bind(model, CHAT)

    assert not isinstance(adapter, Responder)
    sent = adapter.request(HELLO, stream=False)
    assert {name.lower() for name in sent.headers} == {"content-type"}
    assert sent.url == f"{row.base or 'https://x.example/v1'}/chat/completions"


async def test_a_parameter_is_dropped_where_the_route_says_so(upstream: MockUpstream) -> None:
    """And the rest goes out."""
    upstream.reply(chat())
    model = {"provider": "groq", "name": "m", "config": {"api_key": "k", "api_base": upstream.url}}
    route = {"name": "g", "endpoint_type": CHAT.value, "model": model, "drop_unsupported": True}

    async with AsyncGatewayClient.local({"endpoints": [route]}) as client:
        await client.query("g", {**HELLO, "n": 2, "logprobs": True, "temperature": 1})

    assert upstream.request().json == {"model": "m", **HELLO, "temperature": 1}


# --- answers ------------------------------------------------------------------------------------------------------

MINIMAX, GROQ = ROWS["minimax"], ROWS["groq"]


def failed(adapter: Adapter, body: Any) -> GatewayError:
    """The error for an answer under 200."""
    with pytest.raises(GatewayError) as error:
        adapter.answer(UpstreamResponse(200, {}, json.dumps(body).encode()), HELLO)
    return error.value


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (1002, UpstreamRefused, 429),
        (2049, UpstreamError, 502),
        (1026, UpstreamRefused, 400),
        (1000, UpstreamError, 502),
    ],
)
def test_a_failure_in_a_field_of_its_own_is_one(code: int, kind: type[GatewayError], status: int) -> None:
    """MiniMax tells of failures in `base_resp`, under 200."""
    body = {"choices": None, "base_resp": {"status_code": code, "status_msg": "no"}}

    error = failed(bound(MINIMAX), body)

    assert (type(error), error.status, error.message) == (
        kind,
        status,
        f"minimax reports an error: no ({code})",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": 1, "choices": 1},
        {"base_resp": {"status_code": []}, "choices": [1]},
        {"base_resp": {"status_code": 0}, "choices": [{"message": 1, "finish_reason": []}]},
        {"choices": [{"delta": {"reasoning": []}}]},
    ],
)
@pytest.mark.parametrize("row", [MINIMAX, GROQ, ROWS["zhipu"]], ids=lambda row: row.name)
def test_an_answer_that_is_none_is_the_upstream_s_fault(row: Row, body: Any) -> None:
    """Whatever stands in the fields that are mended."""
    assert isinstance(failed(bound(row), body), UpstreamError)


@pytest.mark.parametrize("own", [1, [], {"usage": 1}, {"usage": None}, {"error": None}, "text"])
def test_usage_that_is_none_is_left_alone(own: Any) -> None:
    """A chunk of Groq's whose `x_groq` is something else stays a chunk."""
    data = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    piece = {
        "id": "1",
        "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}],
        "x_groq": own,
    }

    found = read(bound(GROQ).reader(data), [event(piece), b"data: [DONE]\n\n"])

    assert found.error is None
    assert len(found.chunks) == 1


def test_usage_is_told_to_those_only_who_ask() -> None:
    """One chunk more, at most."""
    piece = {
        "id": "1",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    }
    stream = [event(piece), b"data: [DONE]\n\n"]

    assert len(read(bound(GROQ).reader(HELLO), stream).chunks) == 1
    asks = {**HELLO, "stream_options": {"include_usage": True}}
    *_, last = read(bound(GROQ).reader(asks), stream).chunks
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 2)


@pytest.mark.parametrize("part", ["message", "delta"])
def test_an_error_of_a_choice_is_one(part: str) -> None:
    """OpenRouter tells so of a model that fails on the way."""
    choice = {"index": 0, part: {"role": "assistant", "content": ""}, "error": {"code": 503, "message": "no"}}
    adapter, body = bound(ROWS["openrouter"]), {"id": "1", "choices": [{**choice, "finish_reason": "error"}]}

    error = failed(adapter, body) if part == "message" else read(adapter.reader(HELLO), [event(body)]).error

    assert error is not None
    assert (error.status, error.message) == (503, "openrouter reports an error: no")


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_thoughts_and_developers_go_out_as_the_vendor_knows_them(row: Row) -> None:
    """And what it knows as it is, goes out as it is."""
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "x", "reasoning_content": "y"},
        {"role": "user", "content": "z"},
    ]

    developer, assistant, user = json.loads(
        bound(row).request(asked(CHAT, messages=messages), stream=False).body
    )["messages"]

    assert developer["role"] == ("developer" if row.developer else "system")
    name = "reasoning_content" if row.base is None else row.thoughts
    assert assistant == {"role": "assistant", "content": "x", name: "y"}
    assert user == messages[2]


@pytest.mark.parametrize("name", ["deepinfra", "hyperbolic", "lm-studio", "novita", "nvidia-nim"])
def test_a_limit_is_one_where_only_the_older_name_is_documented(name: str) -> None:
    """LangChain sends the newer name alone."""
    sent = bound(ROWS[name]).request(asked(CHAT, **HELLO, max_completion_tokens=7), stream=False)

    assert json.loads(sent.body) == {"model": "m", **HELLO, "max_tokens": 7}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_an_answer_goes_back_as_a_client_has_it(row: Row) -> None:
    """Groq refuses each field that it does not know: https://console.groq.com/docs/api-reference#chat-create."""
    source = {"type": "url_citation", "url_citation": {"url": "https://example.com"}}
    fields = {"role": "assistant", "refusal": None, "audio": None, "function_call": None}
    messages = [
        {**fields, "content": "x", "annotations": []},
        {**fields, "content": "y", "annotations": [source], "executed_tools": []},
    ]

    data = validate(CHAT, decode(json.dumps({"messages": messages}).encode()))
    plain, cited = json.loads(bound(row).request(data, stream=False).body)["messages"]

    assert plain == {"role": "assistant", "content": "x"}
    assert set(cited) - {"role", "content"} == {"annotations", "executed_tools"} - row.answers_only


def test_a_call_goes_back_to_groq_bare_and_to_others_as_it_came() -> None:
    """What another provider said beside it, Groq refuses; a server that only the user knows may want it back."""
    function = {"name": "f", "arguments": ""}
    call = {"id": "a", "type": "function", "index": 0, "extra_content": {"google": {}}, "function": function}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}

    def sent(row: Row) -> Any:
        body = bound(row).request(asked(CHAT, messages=[message]), stream=False).body
        return json.loads(body)["messages"][0]["tool_calls"]

    assert sent(GROQ) == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert sent(ROWS["openai-compatible"]) == [call]


def test_thoughts_that_have_the_usual_name_stay_as_they_are() -> None:
    """Neither twice nor changed."""
    message = {"role": "assistant", "content": "x", "reasoning": "a", "reasoning_content": "b"}
    body = json.dumps({"id": "1", "created": 1, "model": "m", "object": "chat.completion", "choices": [
        {"index": 0, "message": message, "finish_reason": "stop"}]}).encode()  # fmt: skip

    assert bound(GROQ).answer(UpstreamResponse(200, {}, body), HELLO) == body


def test_usage_too_deep_to_write_is_the_upstream_s_fault() -> None:
    """What can be read can be too deep to be written again."""
    deep: Json = {}
    for _ in range(400):
        deep = {"x": deep}
    piece = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": deep}}

    found = read(bound(GROQ).reader({**HELLO, "stream_options": {"include_usage": True}}), [event(piece)])

    assert isinstance(found.error, UpstreamInvalid)


def test_a_role_that_is_null_is_none() -> None:
    """The first that is one counts."""
    roles = [None, "assistant", "assistant"]
    pieces = [
        event({"id": "1", "choices": [{"index": 0, "delta": {"role": role, "content": "x"}}]})
        for role in roles
    ]

    found = read(bound(ROWS["vllm"]).reader(HELLO), pieces)

    assert [chunk["choices"][0]["delta"].get("role") for chunk in found.chunks] == [None, "assistant", None]


def test_a_role_of_each_of_several_answers_is_kept() -> None:
    """The first of each."""
    pieces = [
        {
            "id": "1",
            "choices": [
                {"index": index, "delta": {"role": "assistant", "content": "x"}, "finish_reason": end}
            ],
        }
        for end in (None, "stop")
        for index in (0, 1)
    ]

    found = read(bound(ROWS["vllm"]).reader(HELLO), [event(piece) for piece in pieces])

    assert ["role" in chunk["choices"][0]["delta"] for chunk in found.chunks] == [True, True, False, False]
    assert found.error is None


def test_a_stream_without_its_end_broke_off() -> None:
    """As everywhere."""
    found = read(
        bound(ROWS["vllm"]).reader(HELLO), [event({"choices": [{"index": 0, "delta": {"content": "x"}}]})]
    )

    assert isinstance(found.error, UpstreamInvalid)
