"""Bodies that can't be right: a clear 4xx in the caller's dialect, whatever is wrong with them."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.configs import HELLO, Json
from tests.support.raw import chunked, exchange, request
from tests.support.server import Server

MB = 2**20
CHAT, COMPLETION, EMBEDDING = HELLO, {"prompt": "Hello"}, {"input": "Hello"}


@dataclass(frozen=True)
class Asked:
    """One way of asking the gateway: where, and how its errors look."""

    path: str
    openai: bool = False
    model: str | None = None

    def body(self, fields: Json) -> Json:
        """The fields, with the route's name where this way wants it in the body."""
        return fields if self.model is None else {"model": self.model, **fields}

    def refusal(self, answer: httpx.Response) -> Json:
        """The error of an answer, which must be a refusal of this dialect's shape that repeats nothing large."""
        assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:1000])
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.content) < 100_000
        body: Json = answer.json()
        if not self.openai:
            assert set(body) == {"detail", "error_code", "message"}
            assert body["message"]
            return body
        assert answer.status_code != 422
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        error: Json = body["error"]
        return error


def asked(kind: str) -> list[Asked]:
    """Every way of asking for one kind of answer."""
    path = {"chat": "/v1/chat/completions"}.get(kind, f"/v1/{kind}")
    named = [Asked(f"/{word}/{kind}/invocations") for word in ("gateway", "endpoints")]
    return [*named, Asked(path, openai=True, model=kind)]


ways = pytest.mark.parametrize("way", asked("chat"), ids=lambda way: way.path)

NOT_JSON = {
    "empty": b"",
    "space": b" \n",
    "half": b'{"messages": [',
    "two": b"{}{}",
    "a name": b"hello",
    "single quotes": b"{'messages': []}",
    "a comment": b"{} // yes",
    "not a number": b'{"messages": NaN}',
    "a number without end": b'{"temperature": 1e999, "messages": []}',
    "not UTF-8": b'{"messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "half a character": b'{"messages": [{"role": "user", "content": "\xe2\x82"}]}',
    "UTF-16": json.dumps(CHAT).encode("utf-16"),
    "UTF-16 without a mark": json.dumps(CHAT).encode("utf-16-le"),
    "a mark": b"\xef\xbb\xbf" + json.dumps(CHAT).encode(),
    "half a pair": rb'{"messages": [{"role": "user", "content": "\ud800"}]}',
    "half a pair in a key": rb'{"\udfff": 1, "messages": [{"role": "user", "content": "a"}]}',
    "a control character": b'{"messages": [{"role": "user", "content": "\x01"}]}',
    "zeros": b"\x00" * 100,
    "compressed": b"\x1f\x8b\x08\x00\x00",
    "a form": b"messages=hello",
}


@ways
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused(http: httpx.Client, way: Asked, body: bytes) -> None:
    """The error says that the body is at fault."""
    error = way.refusal(http.post(way.path, content=body))

    assert "body is" in error["message"]


@ways
@pytest.mark.parametrize("body", [b"[]", b"null", b"true", b"5", b'"hello"', b"[{}]"])
def test_what_is_no_object_is_refused(http: httpx.Client, way: Asked, body: bytes) -> None:
    """JSON, but not an object."""
    error = way.refusal(http.post(way.path, content=body))

    assert "object is expected" in error["message"]


WRONG: list[tuple[str, str, Any]] = [
    ("chat", "messages", []),
    ("chat", "messages", None),
    ("chat", "messages", {}),
    ("chat", "messages", "hello"),
    ("chat", "messages.0", "hello"),
    ("chat", "messages.0", []),
    ("chat", "messages.0.role", 5),
    ("chat", "messages.0.role", None),
    ("chat", "messages.0.content", 5),
    ("chat", "messages.0.content", {"type": "text"}),
    ("chat", "messages.0.content.0", "hello"),
    ("chat", "messages.0.content.0", {"type": "text"}),
    ("chat", "messages.0.content.0", {"type": 5}),
    ("chat", "messages.0.content.0", {"type": "image_url", "image_url": "https://…"}),
    ("chat", "messages.0.tool_calls", "hello"),
    ("chat", "messages.0.tool_calls.0", {"id": "1", "function": {"name": "f"}}),
    ("chat", "messages.0.name", 5),
    ("chat", "temperature", -0.1),
    ("chat", "temperature", 2.1),
    ("chat", "temperature", "0.5"),
    ("chat", "temperature", True),
    ("chat", "temperature", 10**400),
    ("chat", "top_p", "1"),
    ("chat", "n", 0),
    ("chat", "n", -1),
    ("chat", "n", 1.5),
    ("chat", "n", "1"),
    ("chat", "n", 2**63),
    ("chat", "max_tokens", 0),
    ("chat", "max_tokens", 10**30),
    ("chat", "stop", 5),
    ("chat", "stop.0", 5),
    ("chat", "stream", "yes"),
    ("chat", "stream", 1),
    ("chat", "stream_options", []),
    ("chat", "stream_options.include_usage", "yes"),
    ("chat", "presence_penalty", []),
    ("chat", "logit_bias", []),
    ("chat", "logit_bias.50256", "high"),
    ("chat", "seed", 2**63),
    ("chat", "user", 5),
    ("chat", "metadata", []),
    ("chat", "tools", {}),
    ("chat", "tools.0", "f"),
    ("chat", "tools.0.function", {}),
    ("chat", "tools.0.function", {"name": "f", "parameters": []}),
    ("chat", "tool_choice", 5),
    ("chat", "parallel_tool_calls", "no"),
    ("chat", "response_format", "json"),
    ("chat", "top_logprobs", 1.5),
    ("chat", "modalities", "text"),
    ("completions", "prompt", None),
    ("completions", "prompt", 5),
    ("completions", "prompt", {}),
    ("completions", "prompt.0", None),
    ("completions", "prompt.0", 1.5),
    ("completions", "logprobs", -1),
    ("completions", "echo", "yes"),
    ("embeddings", "input", None),
    ("embeddings", "input", []),
    ("embeddings", "input", {}),
    ("embeddings", "input.0", None),
    ("embeddings", "input.0", []),
    ("embeddings", "input.0", 1.5),
    ("embeddings", "dimensions", 0),
    ("embeddings", "dimensions", 2**31),
    ("embeddings", "encoding_format", "hex"),
    ("embeddings", "stream", True),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG, ids=lambda part: repr(part)[:40])
def test_a_wrong_field_is_named(http: httpx.Client, kind: str, field: str, value: Any) -> None:
    """In the list of fields of the documented dialect, and as OpenAI's `param`."""
    usual = {"chat": CHAT, "completions": COMPLETION, "embeddings": EMBEDDING}[kind]
    first = field.split(".")[0]
    fields = {**json.loads(json.dumps(usual)), first: _placed(field.split("."), value, usual.get(first))}
    for way in asked(kind):
        answer = http.post(way.path, content=json.dumps(way.body(fields)))
        error = way.refusal(answer)
        if value == 10**400:
            continue  # larger than any number, so that it is the body which is at fault
        if way.openai:
            assert error["param"].split(".")[0] == first
            assert answer.status_code == 400
        else:
            assert any(entry["loc"][:2] == ["body", first] for entry in error["detail"]), error
            assert all(set(entry) == {"loc", "msg", "type"} for entry in error["detail"])
            assert answer.status_code == 422


def test_every_wrong_field_is_listed(http: httpx.Client) -> None:
    """One answer tells of all of them."""
    body = {"messages": [], "n": 0, "temperature": 5}
    detail = http.post("/gateway/chat/invocations", json=body).json()["detail"]

    assert {entry["loc"][1] for entry in detail} == {"messages", "n", "temperature"}


def test_a_model_is_refused_where_the_address_names_the_route(http: httpx.Client) -> None:
    """As documented; the message says why."""
    answer = http.post("/gateway/chat/invocations", json={**HELLO, "model": "gpt-4o"})

    assert answer.status_code == 422
    assert "the route already names its model" in answer.json()["detail"]


@pytest.mark.parametrize("model", [None, 5, ["chat"], {}, True, ""])
def test_a_model_that_is_no_name_is_refused_under_v1(http: httpx.Client, model: Any) -> None:
    """The message says where names are listed."""
    answer = http.post("/v1/chat/completions", json={**HELLO, "model": model})

    assert answer.status_code == (404 if model == "" else 400)
    assert answer.json()["error"]["param"] == "model"


def test_a_route_of_another_type_is_refused_under_v1(http: httpx.Client) -> None:
    """The message names both types."""
    answer = http.post("/v1/chat/completions", json={**HELLO, "model": "embeddings"})

    assert answer.status_code == 400
    assert (
        answer.json()["error"]["message"]
        == "the route 'embeddings' serves llm/v1/embeddings, not llm/v1/chat"
    )


@pytest.mark.parametrize(
    "name", ["nobody", "x" * 500_000, "a\x00b", "é", "chat ", "../chat"], ids=lambda name: name[:8]
)
def test_an_unknown_route_is_refused_without_repeating_all_of_its_name(http: httpx.Client, name: str) -> None:
    """404, and an answer that is not as large as the question."""
    answer = http.post("/v1/chat/completions", json={**HELLO, "model": name})

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert len(answer.content) < 1000


DEPTHS = [10, 60, 64, 65, 120, 250, 253, 254, 255, 256, 500, 1000, 1022, 1023, 1024, 1025, 200_000]


@ways
@pytest.mark.parametrize(
    "form",
    [
        '{{"messages": {}}}',
        '{{"messages": [{{"role": "user", "content": {}}}]}}',
        '{{"messages": [{{"role": "user", "content": "a"}}], "vendor": {}}}',
        '{{"messages": [{{"role": "user", "content": "a"}}], "tool_choice": {{"function": {}}}}}',
        '{{"messages": [{{"role": "user", "content": "a"}}], "tools": [{{"type": "function", "function": '
        '{{"name": "f", "parameters": {{"default": {}}}}}}}]}}',
        '{{"messages": [{{"role": "user", "content": "a"}}], "response_format": {{"type": "json_schema", '
        '"json_schema": {{"schema": {{"const": {}}}}}}}}}',
    ],
    ids=["messages", "content", "vendor", "choice", "tools", "const"],
)
def test_deep_nesting_is_answered_or_refused(http: httpx.Client, way: Asked, form: str) -> None:
    """At any depth, wherever it is."""
    for depth in DEPTHS:
        body = form.format("[" * depth + "]" * depth)
        if way.model:
            body = '{"model": "chat", ' + body[1:]

        answer = http.post(way.path, content=body)

        if answer.status_code != 200:
            way.refusal(answer)


@pytest.mark.parametrize("depth", [10, 250, 255, 300, 1000, 1022])
def test_deep_nesting_is_passed_on_or_refused(http: httpx.Client, depth: int) -> None:
    """Also by a route that sends it to a provider."""
    way = Asked("/gateway/up-chat/invocations")
    body = '{"messages": [{"role": "user", "content": "a"}], "vendor": ' + "[" * depth + "]" * depth + "}"

    answer = http.post(way.path, content=body)

    if answer.status_code != 200:
        way.refusal(answer)


MANY = {
    "messages": ("chat", {"messages": [0] * 300_000}),
    "content": ("chat", {"messages": [{"role": "user", "content": [0] * 300_000}]}),
    "stop": ("chat", {**CHAT, "stop": [0] * 300_000}),
    "bias": ("chat", {**CHAT, "logit_bias": {str(number): "x" for number in range(50_000)}}),
    "prompt": ("completions", {"prompt": [0.5] * 200_000}),
    "input": ("embeddings", {"input": [[]] * 200_000}),
}


@pytest.mark.parametrize(("kind", "fields"), MANY.values(), ids=MANY)
def test_a_million_mistakes_get_a_short_answer(http: httpx.Client, kind: str, fields: Json) -> None:
    """Soon, too: not a list of all of them."""
    for way in asked(kind):
        answer = http.post(way.path, json=way.body(fields), timeout=60)

        way.refusal(answer)
        assert answer.elapsed.total_seconds() < 30


@ways
def test_the_last_of_two_equal_keys_counts(http: httpx.Client, way: Asked) -> None:
    """As in every JSON library, so that a check before the gateway sees the same."""
    body = (
        '{"model": "nobody", "model": "chat", "messages": 5, "messages": [{"role": "user", "content": "a"}]}'
    )
    if not way.model:
        body = body.replace('"model": "nobody", "model": "chat", ', "")

    assert http.post(way.path, content=body).status_code == 200


@ways
def test_null_characters_and_every_script_come_back(http: httpx.Client, way: Asked) -> None:
    """A text is the caller's."""
    said = "a\x00b \N{PILE OF POO} \u202e \ufeff \uffff 漢字"

    answer = http.post(way.path, json=way.body({"messages": [{"role": "user", "content": said}]}))

    assert answer.json()["choices"][0]["message"]["content"] == f"You said: {said}"


# --- size -------------------------------------------------------------------------------------------------------


def large(way: Asked, size: int) -> bytes:
    """A body of so many bytes that is right in all else."""
    body = json.dumps(way.body({**HELLO, "vendor": ""}))
    return body.replace('"vendor": ""', '"vendor": "' + "x" * (size - len(body)) + '"').encode()


@ways
def test_a_body_as_large_as_the_limit_is_taken(http: httpx.Client, way: Asked) -> None:
    """The limit is the largest that passes."""
    assert http.post(way.path, content=large(way, MB)).status_code == 200


@ways
def test_a_body_over_the_limit_is_413(http: httpx.Client, way: Asked) -> None:
    """With its length announced; the error names the setting."""
    answer = http.post(way.path, content=large(way, MB + 1))

    assert answer.status_code == 413
    assert "server.max_body_mb" in way.refusal(answer)["message"]


@ways
def test_a_body_over_the_limit_is_413_before_it_is_sent(server: Server, way: Asked) -> None:
    """Where the length is announced, nobody waits for the bytes."""
    head = request(f"POST {way.path}", b"content-length: 99999999999", length=False)

    assert exchange(server, head).status == 413


@ways
def test_a_body_over_the_limit_in_chunks_is_413(server: Server, way: Asked) -> None:
    """Without a length: as soon as too much has come, not at the end."""
    body = large(way, MB + 1)
    pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    head = request(f"POST {way.path}", b"transfer-encoding: chunked", length=False)

    assert exchange(server, head + chunked(pieces)).status == 413
    assert exchange(server, head + chunked(pieces).removesuffix(b"0\r\n\r\n")).status == 413


@ways
def test_a_body_in_chunks_is_read_whole(server: Server, way: Asked) -> None:
    """Also when every chunk is one byte."""
    body = json.dumps(way.body(HELLO)).encode()
    head = request(f"POST {way.path}", b"transfer-encoding: chunked", length=False)

    answer = exchange(server, head + chunked(body[at : at + 1] for at in range(len(body))))

    assert (answer.status, answer.json["object"]) == (200, "chat.completion")


def _placed(path: list[str], value: Any, usual: Any) -> Any:
    """What stands under the first part of a path when a value stands at its end."""
    if len(path) == 1:
        return value
    inner = _placed(path[1:], value, None)
    if path[1].isdigit():
        kept = usual[0] if isinstance(usual, list) and isinstance(usual[0], dict) else None
        return [inner if kept is None else {**kept, **inner} if isinstance(inner, dict) else inner]
    return {**({"role": "user", "content": "a"} if path[0].isdigit() else {}), path[1]: inner}
