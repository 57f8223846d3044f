"""Whatever a caller sends, the gateway answers it, or refuses it in the caller's own dialect."""

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.configs import Json
from tests.support.upstream import MockUpstream

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([0, 1, 2, 129, 2**31, 2**63 - 1])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

SCHEMA_KEYS = [
    "type",
    "properties",
    "items",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "$defs",
    "required",
    "a",
    "b",
]
SCHEMA_KEYS += ["minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "format"]
schema_words = st.sampled_from(
    [
        "object",
        "array",
        "string",
        "number",
        "integer",
        "boolean",
        "null",
        "#",
        "#/a",
        "#/$defs/b",
        "#/properties/a",
        "date",
        True,
        3,
    ]
)
schemas: st.SearchStrategy[Any] = st.recursive(
    schema_words | scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(SCHEMA_KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)


def often(usual: Any, other: st.SearchStrategy[Any] = values) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, so that what comes after is reached too."""
    return st.one_of(st.just(usual), st.just(usual), st.just(usual), other)


parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio", "file", "other"])},
    optional=dict.fromkeys(("text", "image_url", "input_audio", "file"), values),
)
calls = st.fixed_dictionaries(
    {"id": often("c1"), "type": often("function"), "function": often({"name": "f", "arguments": "{}"})}
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant", "tool", "function", "x"]) | values},
    optional={
        "content": st.text(max_size=20) | st.lists(parts, max_size=3) | values,
        "tool_calls": st.lists(calls, max_size=2) | values,
        "tool_call_id": often("c1"),
    },
)
tools = st.fixed_dictionaries(
    {"type": often("function")},
    optional={
        "function": st.fixed_dictionaries(
            {"name": often("f")}, optional={"parameters": schemas, "strict": values}
        )
    },
)
sampling: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(1, 3) | values,
    "max_tokens": st.integers(1, 9) | values,
    "temperature": often(1.0),
    "stop": often(["the"]),
    "stream": often(True),
    "stream_options": often({"include_usage": True}),
    "vendor": values,
}
chats = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=3) | values},
    optional={
        **sampling,
        "tools": st.lists(tools, max_size=2) | values,
        "tool_choice": st.sampled_from(["auto", "none", "required", {"function": {"name": "f"}}]) | values,
        "response_format": st.builds(
            lambda schema: {"type": "json_schema", "json_schema": {"schema": schema}}, schemas
        )
        | values,
        "prompt": values,
    },
)
completions = st.fixed_dictionaries(
    {"prompt": st.text() | st.lists(st.text() | st.integers(0, 9), max_size=4) | values},
    optional={**sampling, "echo": often(True), "messages": values, "tools": values},
)
embeddings = st.fixed_dictionaries(
    {},
    optional={
        "input": st.text()
        | st.lists(st.text(), max_size=4)
        | st.lists(st.lists(st.integers(0, 9)), max_size=3)
        | values,
        "text": values,
        "dimensions": st.integers(1, 300) | values,
        "encoding_format": st.sampled_from(["float", "base64"]) | values,
    },
)
# What the mock upstream answers does not depend on what it is asked.
BODIES = {"chat": chats, "completions": completions, "embeddings": embeddings, "up-chat": chats}
PATHS = {"chat": "/v1/chat/completions", "up-chat": "/v1/chat/completions"}

fuzz = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("route", BODIES)
def test_any_body_is_answered_or_refused(http: httpx.Client, upstream: MockUpstream, route: str) -> None:
    """In both dialects; the same in both, but for how errors look."""

    @fuzz
    @given(BODIES[route])
    def check(body: Json) -> None:
        documented = http.post(f"/gateway/{route}/invocations", json=body)
        _check(documented, openai=False)
        openai = http.post(PATHS.get(route, f"/v1/{route}"), json={**body, "model": route})
        _check(openai, openai=True)
        if "model" not in body:
            status = documented.status_code
            assert openai.status_code == (400 if status == 422 else status)

    check()


@pytest.mark.parametrize("path", ["/gateway/chat/invocations", "/v1/embeddings"])
def test_any_bytes_are_answered_or_refused(http: httpx.Client, path: str) -> None:
    """JSON or not."""

    @fuzz
    @given(st.binary(max_size=200) | values.map(repr).map(str.encode))
    def check(body: bytes) -> None:
        _check(http.post(path, content=body), openai=path.startswith("/v1"))

    check()


@pytest.mark.parametrize(
    "prefix", ["/", "/api/2.0/gateway/routes/", "/api/2.0/gateway/routes/?page_token=", "/v1/models/"]
)
def test_any_address_is_answered_or_refused(http: httpx.Client, prefix: str) -> None:
    """Whatever stands after a path that there is."""

    @fuzz
    @given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]), st.text(max_size=20))
    def check(method: str, rest: str) -> None:
        path = httpx.URL(prefix + "".join(f"%{byte:02X}" for byte in rest.encode()))
        answer = http.request(method, path)
        assert answer.status_code < 500 or answer.status_code == 501, (method, path, answer.text)

    check()


def _check(answer: httpx.Response, *, openai: bool) -> None:
    if answer.status_code == 200:
        return
    assert 400 <= answer.status_code < 500 or answer.status_code in (501, 502, 503, 504), answer.text
    body = answer.json()
    assert set(body) == ({"error"} if openai else {"detail", "error_code", "message"})
