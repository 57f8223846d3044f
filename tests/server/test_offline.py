"""The offline provider over HTTP: what its callers may ask of it, and what is too much."""

import json
from typing import Any

import httpx
import pytest

from tests.support.configs import HELLO, Json

CHAT = "/gateway/chat/invocations"
SOON = 15.0
"""Seconds for what takes milliseconds; without its bound it would take minutes, and all of the memory."""

USER = {"role": "user", "content": "Book 2 seats in Bern, not Basel"}


def asked_for(schema: Any) -> list[Json]:
    """The two ways in which a caller's schema reaches the model."""
    function = {"name": "book", "parameters": schema}
    return [
        {
            "messages": [USER],
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        },
        {"messages": [USER], "tools": [{"type": "function", "function": function}]},
    ]


def value_of(answer: httpx.Response) -> Any:
    """The JSON that the model made."""
    message = answer.json()["choices"][0]["message"]
    text = (
        message["tool_calls"][0]["function"]["arguments"] if message.get("tool_calls") else message["content"]
    )
    return json.loads(text)


def object_of(**properties: Any) -> Json:
    """A schema of an object all of whose properties are required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


GOOD: list[tuple[Any, Any]] = [
    (object_of(city={"enum": ["Basle", "Bern"]}, seats={"type": "integer"}), {"city": "Bern", "seats": 2}),
    (object_of(text={"type": "string", "maxLength": 4}), {"text": "Book"}),
    (object_of(yes={"type": "boolean"}, nothing={"type": "null"}), {"yes": False, "nothing": None}),
    (object_of(price={"type": "number", "minimum": 10}), {"price": 10.0}),
    (object_of(day={"type": "string", "format": "date"}), {"day": "2024-01-01"}),
    (object_of(two={"type": "array", "minItems": 2, "items": {"type": "integer"}}), {"two": [2, 2]}),
    (object_of(fixed={"const": [1, {"a": None}]}), {"fixed": [1, {"a": None}]}),
    (object_of(either={"anyOf": [{"type": "integer"}, {"type": "null"}]}), {"either": 2}),
    (object_of(any=True), {"any": "Book 2 seats in Bern, not Basel"}),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": object_of(n={"type": "integer"})}}, {"n": 2}),
    ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": object_of(n={"type": "integer"})}}, {"n": 2}),
    ({"type": ["object", "null"], "properties": {}}, {}),
    # What refers to itself ends where it may.
    (
        object_of(value={"type": "integer"}, next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        {"value": 2, "next": None},
    ),
    (
        object_of(value={"type": "integer"}, children={"type": "array", "items": {"$ref": "#"}}),
        {"value": 2, "children": []},
    ),
    (
        {"properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}}},
        {"value": 2},
    ),
]


@pytest.mark.parametrize(("schema", "expected"), GOOD)
def test_a_value_fits_its_schema(http: httpx.Client, schema: Json, expected: Any) -> None:
    """As the arguments of a call, and as a JSON answer."""
    for body in asked_for(schema):
        assert value_of(http.post(CHAT, json=body)) == expected


BAD: list[Any] = [
    {"properties": []},
    {"properties": {"a": 5}},
    {"properties": {"a": "string"}},
    {"required": 5},
    {"enum": []},
    {"enum": "abc"},
    {"enum": {"a": 1}},
    {"anyOf": {}},
    {"oneOf": []},
    {"anyOf": [5]},
    {"allOf": 3},
    {"allOf": [{"allOf": [3]}]},
    {"type": "text"},
    {"type": "__init__"},
    {"type": {}},
    {"type": [5]},
    {"type": "array", "items": 5},
    {"type": "array", "minItems": "two"},
    {"type": "array", "minItems": 10**9},
    {"type": "array", "minItems": 10**300},
    {"type": "string", "minLength": 10**13},
    {"type": "string", "maxLength": "3"},
    {"type": "string", "minLength": True},
    {"type": "number", "minimum": "3"},
    {"type": "integer", "minimum": 1e300},
    {"$ref": "#"},
    {"$ref": "#/nowhere"},
    {"$ref": "https://elsewhere/schema.json"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    object_of(**{str(number): {"$ref": "#"} for number in range(20)}),
    {
        "$ref": "#/$defs/0",
        "$defs": {
            str(n): {"properties": {k: {"$ref": f"#/$defs/{n + 1}"} for k in "abc"}} for n in range(60)
        },
    },
    {"const": "x" * 400_000},
    {"properties": {"x" * 400_000: True}},
]


@pytest.mark.parametrize("schema", BAD, ids=lambda schema: json.dumps(schema)[:60])
def test_a_schema_that_is_none_is_refused(http: httpx.Client, schema: Any) -> None:
    """The error names the field; one that asks for too much is found out soon."""
    for body in asked_for(schema):
        answer = http.post(CHAT, json=body)
        assert answer.status_code == 422, answer.text[:500]
        assert answer.json()["detail"][0]["loc"][1] in ("response_format", "tools")
        assert answer.elapsed.total_seconds() < SOON


@pytest.mark.parametrize("schema", ["x", [1], 5, {"schema": "x"}, {"schema": [1]}, {"schema": 5}])
def test_a_json_schema_of_another_kind_is_refused(http: httpx.Client, schema: Any) -> None:
    """Where OpenAI has an object that holds the schema."""
    form = {"type": "json_schema", "json_schema": schema}

    assert http.post(CHAT, json={**HELLO, "response_format": form}).status_code == 422


@pytest.mark.parametrize("chosen", ["book", ["book"], 5])
def test_a_choice_of_tool_of_another_kind_is_refused(http: httpx.Client, chosen: Any) -> None:
    """`tool_choice.function` is an object with a name."""
    body = {**asked_for({})[1], "tool_choice": {"type": "function", "function": chosen}}

    assert http.post(CHAT, json=body).status_code == 422


@pytest.mark.parametrize("number", ["9" * 25, "-" + "9" * 425, "1" * 300 + ".5"])
@pytest.mark.parametrize("kind", ["integer", "number"])
def test_a_number_longer_than_any_is_no_problem(http: httpx.Client, kind: str, number: str) -> None:
    """In the text from which values are made."""
    body = asked_for(object_of(n={"type": kind}))[1]

    answer = http.post(CHAT, json={**body, "messages": [{"role": "user", "content": number}]})

    assert abs(value_of(answer)["n"]) < 1e16


TOO_MUCH: dict[str, tuple[str, Json]] = {
    "answers": ("chat", {**HELLO, "n": 129}),
    "answers without end": ("chat", {**HELLO, "n": 2**63 - 1}),
    "streams without end": ("chat", {**HELLO, "n": 2**63 - 1, "stream": True}),
    "completions without end": ("completions", {"prompt": "a", "n": 2**63 - 1}),
    "stops": ("chat", {**HELLO, "stop": ["x"] * 17}),
    "dimensions": ("embeddings", {"input": "a", "dimensions": 2**31 - 1}),
    "dimensions in all": ("embeddings", {"input": ["a"] * 300, "dimensions": 4096}),
    "texts": ("embeddings", {"input": ["a"] * 5000}),
    "tokens in texts": ("embeddings", {"input": [[1]] * 5000}),
}


@pytest.mark.parametrize(("route", "body"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_would_keep_everybody_waiting_is_refused(http: httpx.Client, route: str, body: Json) -> None:
    """At once, and the error names the most."""
    answer = http.post(f"/gateway/{route}/invocations", json=body)

    assert answer.status_code == 422
    assert "at most" in answer.json()["message"]
    assert answer.elapsed.total_seconds() < SOON


def test_as_much_as_is_allowed_is_answered(http: httpx.Client) -> None:
    """In reasonable time."""
    long = "word " * 150_000
    for route, body in (
        ("chat", {**HELLO, "n": 128}),
        ("chat", {"messages": [{"role": "user", "content": long}]}),
        ("completions", {"prompt": [[1] * 1000] * 100}),
        ("embeddings", {"input": long}),
        ("embeddings", {"input": ["one two three"] * 2048}),
        ("embeddings", {"input": [1, 2, 3], "dimensions": 1}),
        ("embeddings", {"input": "a", "dimensions": 2**20, "encoding_format": "base64"}),
    ):
        answer = http.post(f"/gateway/{route}/invocations", json=body, timeout=60)
        assert answer.status_code == 200, (route, answer.text[:300])
        assert answer.elapsed.total_seconds() < 50


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("chat", {**HELLO, "prompt": [[1], 5]}),
        ("chat", {**HELLO, "prompt": [{}], "input": 5, "dimensions": "x"}),
        (
            "completions",
            {"prompt": "a", "messages": [5], "tools": 5, "tool_choice": [], "response_format": 5},
        ),
        ("embeddings", {"input": "a", "prompt": 5, "messages": 5, "n": "x", "stop": 5}),
    ],
)
def test_fields_of_another_type_of_route_are_only_a_vendors(
    http: httpx.Client, route: str, body: Json
) -> None:
    """Unknown there, so that nobody looks at them."""
    assert http.post(f"/gateway/{route}/invocations", json=body).status_code == 200
