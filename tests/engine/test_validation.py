"""From bytes to a request: what is not given is not there, what is given stays as it was."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.config import RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.validation import decode, refuse_model, validate

CHAT, COMPLETIONS, EMBEDDINGS = (
    RouteType.LLM_V1_CHAT,
    RouteType.LLM_V1_COMPLETIONS,
    RouteType.LLM_V1_EMBEDDINGS,
)
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]


def accepted(kind: RouteType, **data: Any) -> dict[str, Any]:
    """What a request becomes on its way through."""
    return validate(kind, decode(json.dumps(data).encode()))


def refused(kind: RouteType, **data: Any) -> list[tuple[str, ...]]:
    """The fields that are wrong."""
    with pytest.raises(InvalidRequest) as wrong:
        accepted(kind, **data)
    assert isinstance(wrong.value.detail, list)
    return [tuple(map(str, entry["loc"])) for entry in wrong.value.detail]


def test_nothing_is_added() -> None:
    """No temperature of 0, no n of 1: what the caller did not send is not there."""
    assert accepted(CHAT, messages=HELLO) == {"messages": HELLO}
    assert accepted(COMPLETIONS, prompt="a") == {"prompt": "a"}
    assert accepted(EMBEDDINGS, input=["a"]) == {"input": ["a"]}


def test_everything_that_was_sent_stays_as_it_was() -> None:
    """Numbers keep their kind, unknown fields their place, falsy values are values."""
    data: dict[str, Any] = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": ""}, {"type": "hologram", "x": 1}],
                "mood": {},
            }
        ],
        "temperature": 0,
        "top_p": 1.0,
        "seed": 2**63 - 1,
        "stop": [],
        "stream": False,
        "tools": [],
        "logit_bias": {"50256": -100},
        "some_vendor": {"a": [None, {"b": None}]},
    }
    result = accepted(CHAT, **data)

    assert result == data
    assert [type(result[key]) for key in ("temperature", "top_p", "seed")] == [int, float, int]


def test_null_means_not_given_at_the_top_and_in_a_message() -> None:
    """As with OpenAI, whose own client sends some."""
    message = {"role": "assistant", "content": None, "tool_calls": None, "name": None}
    result = accepted(CHAT, messages=[message, *HELLO], temperature=None, stop=None, whatever=None)

    assert result == {"messages": [{"role": "assistant"}, *HELLO]}


def test_null_within_other_things_is_kept() -> None:
    """In a tool's schema it may be the only right value."""
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"enum": ["a", None], "default": None}},
    }
    result = accepted(CHAT, messages=HELLO, tools=[tool], vendor={"a": None})

    assert result["tools"] == [tool]
    assert result["vendor"] == {"a": None}


@pytest.mark.parametrize(
    "given_",
    [
        {"text": "a"},
        {"text": ["a", "b"]},
        {"text": "a", "input": None},
        {"text": [1, 2]},
        {"text": [[1], [2]]},
    ],
)
def test_text_is_read_as_input(given_: dict[str, Any]) -> None:
    """The documented examples of embeddings say `text`."""
    assert accepted(EMBEDDINGS, **given_) == {"input": given_["text"]}


def test_input_comes_before_text() -> None:
    """Where both are given, `text` is a field that nobody knows."""
    assert accepted(EMBEDDINGS, input="a", text="b") == {"input": "a", "text": "b"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is empty; JSON is expected"),
        (b"{", "the body is not JSON"),
        (b"hello", "the body is not JSON"),
        (b'{"a": NaN}', "the body is not JSON"),
        (b'{"a": Infinity}', "the body is not JSON"),
        (b'{"a": "\xff"}', "the body is not JSON"),
        (b"\xef\xbb\xbf{}", "the body is not JSON"),
        (b'{"a": "\\ud800"}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b"[]", "the body is an array"),
        (b"5", "the body is a single value"),
        (b"null", "the body is a single value"),
        (b'"text"', "the body is a single value"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_refused(body: bytes, said: str) -> None:
    """422, with the place where reading stopped."""
    with pytest.raises(InvalidRequest, match=said) as wrong:
        decode(body)

    assert isinstance(wrong.value.detail, list)
    assert wrong.value.detail[0]["loc"][0] == "body"


@pytest.mark.parametrize("number", [2**64, 10**30, -(10**30), 10**400])
def test_a_number_beyond_64_bits_is_refused_and_not_changed(number: int) -> None:
    """Many readers of JSON make another number of it."""
    with pytest.raises(InvalidRequest):
        accepted(CHAT, messages=HELLO, vendor_number=number)
    with pytest.raises(InvalidRequest):
        accepted(CHAT, messages=HELLO, max_tokens=number)


@pytest.mark.parametrize(
    ("data", "loc"),
    [
        ({}, ("body", "messages")),
        ({"messages": []}, ("body", "messages")),
        ({"messages": [5]}, ("body", "messages", "0")),
        ({"messages": [{}]}, ("body", "messages", "0", "role")),
        ({"messages": [*HELLO, {"role": 5}]}, ("body", "messages", "1", "role")),
        ({"messages": [{"role": "user", "content": {}}]}, ("body", "messages", "0", "content")),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            ("body", "messages", "0", "content", "0", "image_url", "url"),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]},
            ("body", "messages", "0", "content", "0", "image_url"),
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}]},
            ("body", "messages", "0", "tool_calls", "0", "function", "arguments"),
        ),
        ({"messages": HELLO, "n": "1"}, ("body", "n")),
        ({"messages": HELLO, "n": 1.5}, ("body", "n")),
        ({"messages": HELLO, "n": True}, ("body", "n")),
        ({"messages": HELLO, "stream": "yes"}, ("body", "stream")),
        ({"messages": HELLO, "stream": 1}, ("body", "stream")),
        ({"messages": HELLO, "stop": 5}, ("body", "stop")),
        ({"messages": HELLO, "stop": ["a", 5]}, ("body", "stop", "1")),
        ({"messages": HELLO, "temperature": -0.1}, ("body", "temperature")),
        ({"messages": HELLO, "logit_bias": {"a": "b"}}, ("body", "logit_bias", "a")),
        ({"messages": HELLO, "tools": {}}, ("body", "tools")),
        ({"messages": HELLO, "tools": [{}]}, ("body", "tools", "0", "type")),
        ({"messages": HELLO, "tool_choice": 5}, ("body", "tool_choice")),
        ({"messages": HELLO, "response_format": "json"}, ("body", "response_format")),
        ({"messages": HELLO, "stream_options": {"include_usage": "x"}}, ("body", "stream_options", "include_usage")),
        ({"messages": HELLO, "top_logprobs": "5"}, ("body", "top_logprobs")),
    ],
)  # fmt: skip
def test_a_field_that_is_wrong_is_named_by_its_place_in_the_body(
    data: dict[str, Any], loc: tuple[str, ...]
) -> None:
    """Without the names of the alternatives that were tried."""
    assert loc in refused(CHAT, **data)


def test_every_wrong_field_is_named_once() -> None:
    """Though a field with alternatives fails each of them."""
    found = refused(EMBEDDINGS, input=[["a"]], dimensions=0, encoding_format="hex")

    assert {loc[1] for loc in found} == {"input", "dimensions", "encoding_format"}


def test_values_are_not_repeated() -> None:
    """They may be private, and they may be long."""
    with pytest.raises(InvalidRequest) as wrong:
        accepted(
            CHAT,
            messages=[{"role": 5, "content": {"secret": "canary"}}],
            temperature="canary",
            stop=[{"canary": 1}],
        )

    assert "canary" not in f"{wrong.value} {wrong.value.detail}"


def test_a_route_names_its_model_itself() -> None:
    """Where the address names the route; under `/v1` the model is taken out before."""
    refuse_model({"messages": HELLO})
    with pytest.raises(InvalidRequest, match="the route already names its model"):
        refuse_model({"model": "gpt"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "prompt",
        "input",
        "text",
        "n",
        "stop",
        "tools",
        "tool_choice",
        "temperature",
        "stream",
        "dimensions",
    ]
)


@given(kind=st.sampled_from(list(RouteType)), data=st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_object_is_a_request_or_refused(kind: RouteType, data: dict[str, Any]) -> None:
    """Nothing else comes out."""
    try:
        validate(kind, decode(json.dumps(data).encode()))
    except InvalidRequest as wrong:
        fields = wrong.detail
    else:
        fields = []
    assert all(set(entry) == {"loc", "msg", "type"} for entry in fields if isinstance(entry, dict))


@given(body=st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_an_object_or_refused(body: bytes) -> None:
    """Nothing else comes out."""
    try:
        result: Any = decode(body)
    except InvalidRequest:
        result = {}
    assert isinstance(result, dict)
