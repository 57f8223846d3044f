"""Every call of the documented API, over HTTP, blocking, and within the process: the same answers, the same errors."""

import base64
import json
import math
from typing import Any

import pytest

from gateway_async import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    CompletionChunk,
    CompletionRequest,
    CompletionResponse,
    EmbeddingRequest,
    EmbeddingResponse,
    GatewayError,
    Limit,
    MlflowException,
    PagedList,
    Route,
)
from gateway_async.errors import BadRequest, InvalidRequest, RouteNotFound
from tests.contract.conftest import ROUTES
from tests.contract.ways import all_of, make

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "What is the best day of the week?"}]}
SAID = "You said: What is the best day of the week?"


async def test_health_is_ok(client: Any) -> None:
    """A gateway that is up says so."""
    assert await client.health() == {"status": "OK"}


@pytest.mark.parametrize("kind", ["chat", "completions", "embeddings"])
async def test_a_route_tells_its_type_its_model_and_its_address(client: Any, kind: str) -> None:
    """The address is absolute where there is a network between; secrets and settings are not told."""
    route = await client.get_route(kind)

    assert isinstance(route, Route)
    assert (route.name, route.route_type) == (kind, f"llm/v1/{kind}")
    assert route.model.model_dump() == {"name": "echo", "provider": "offline"}
    base = "" if client.gateway_uri == "local" else client.gateway_uri
    assert route.route_url == f"{base}/gateway/{kind}/invocations"


async def test_a_route_tells_its_limit(client: Any) -> None:
    """A route without one says None."""
    assert (await client.get_route("chat")).limit == Limit(calls=1000, key="user", renewal_period="minute")
    assert (await client.get_route("completions")).limit is None


@pytest.mark.parametrize(
    "name", ["nothing", "Chat", "chat ", "a/b", "ünï", "..", "chat?x=1", "chat%2F", "x" * 300]
)
async def test_an_unknown_route_is_not_found(client: Any, name: str) -> None:
    """Whatever is asked for by a name that no route has: 404, as an error that can be told from others."""
    with pytest.raises(GatewayError) as missing:
        await client.get_route(name)
    with pytest.raises(GatewayError) as uncalled:
        await client.query(name, HELLO)

    assert (missing.value.status, uncalled.value.status) == (404, 404)
    assert missing.value.get_http_status_code() == 404


@pytest.mark.parametrize("call", ["get_route", "query", "stream"])
async def test_an_unknown_route_is_named(client: Any, call: str) -> None:
    """`RouteNotFound`, with the documented code, and the name that was not found."""
    with pytest.raises(RouteNotFound, match="my-chat-route") as missing:
        await make(client, call, "my-chat-route", *[HELLO] * (call != "get_route"))

    assert missing.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert isinstance(missing.value, MlflowException)
    assert json.loads(missing.value.serialize_as_json())["error_code"] == "RESOURCE_DOES_NOT_EXIST"


async def test_an_empty_name_is_refused(client: Any) -> None:
    """It would be the address of the list."""
    for call in (
        client.get_route(""),
        client.get_limits(""),
        client.delete_route(""),
        client.query("", HELLO),
    ):
        with pytest.raises(GatewayError):
            await call


async def test_routes_come_in_pages_of_3000(client: Any) -> None:
    """The token of a page asks for the next one; the last has none. The order is the configuration's."""
    first = await client.search_routes()
    second = await client.search_routes(page_token=first.token)

    assert isinstance(first, PagedList)
    assert isinstance(first, list)
    assert (len(first), len(second), second.token) == (3000, ROUTES - 3000, None)
    assert json.loads(base64.b64decode(first.token or "")) == {"index": 3000}
    names = [route.name for route in first.to_list() + second.to_list()]
    assert names == [
        "chat",
        "completions",
        "embeddings",
        *(f"more-{number:04}" for number in range(3, ROUTES)),
    ]


async def test_a_page_beyond_the_end_is_empty(client: Any) -> None:
    """As in mlflow: it is no error, since routes may have gone in the meantime."""
    page = await client.search_routes(base64.b64encode(b'{"index": 99999}').decode())

    assert (page.to_list(), page.token) == ([], None)


@pytest.mark.parametrize("token", ["nonsense", "", "é", base64.b64encode(b'{"index": -1}').decode()])
async def test_a_token_of_nobody_is_refused(client: Any, token: str) -> None:
    """A token that is not ours, and a negative index."""
    with pytest.raises(BadRequest, match="page_token") as wrong:
        await client.search_routes(token)

    assert (wrong.value.status, wrong.value.error_code) == (400, "BAD_REQUEST")


async def test_a_chat_is_answered(client: Any) -> None:
    """The standard shape, as a plain dictionary."""
    answer = await client.query("chat", HELLO)

    assert answer["object"] == "chat.completion"
    assert answer["model"] == "echo"
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"] == {"role": "assistant", "content": SAID}
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
    assert type(answer["created"]) is int


async def test_a_completion_is_answered(client: Any) -> None:
    """The documented example."""
    answer = await client.query(
        "completions", {"prompt": "Where do we go from", "temperature": 0.3, "max_tokens": 3}
    )

    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("key", ["text", "input"])
async def test_texts_are_embedded(client: Any, key: str) -> None:
    """The documented examples say `text`, today's callers `input`."""
    texts = ["I like spaghetti", "and sushi", "but not together"]
    answer = await client.query("embeddings", {key: texts})

    assert answer["object"] == "list"
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    assert {row["object"] for row in answer["data"]} == {"embedding"}
    assert [round(math.hypot(*row["embedding"]), 6) for row in answer["data"]] == [1, 1, 1]
    assert answer["usage"] == {"prompt_tokens": 8, "total_tokens": 8}


async def test_one_text_is_embedded(client: Any) -> None:
    """Without a list around it, one vector comes back."""
    answer = await client.query("embeddings", {"text": "I like spaghetti"})

    assert len(answer["data"]) == 1


async def test_a_stream_brings_the_same_answer_in_pieces(client: Any) -> None:
    """Chunk by chunk, as dictionaries; the caller's own dictionary is not changed."""
    data = dict(HELLO)
    chunks = await all_of(client.stream("chat", data))

    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == SAID
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [None, "stop"]
    assert data == HELLO


async def test_a_completion_is_streamed(client: Any) -> None:
    """As chunks of text."""
    whole = await client.query("completions", {"prompt": "Once"})
    chunks = await all_of(client.stream("completions", {"prompt": "Once"}))

    assert {chunk["object"] for chunk in chunks} == {"text_completion_chunk"}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]


async def test_a_stream_can_be_left(client: Any) -> None:
    """Who leaves closes it; the client goes on working."""
    async with client.stream("chat", HELLO) as stream:
        async for _chunk in stream:
            break

    assert await client.health() == {"status": "OK"}


async def test_a_typed_chat_is_answered(client: Any) -> None:
    """Schemas go in and come out; a mapping does too."""
    request = ChatRequest(messages=[ChatMessage(role="user", content="What is the best day of the week?")])

    for asked in (request, HELLO):
        answer = await client.chat("chat", asked)
        assert isinstance(answer, ChatResponse)
        assert answer.choices[0].message.content == SAID
        assert answer.usage is not None
        assert answer.usage.total_tokens == 21


async def test_a_typed_completion_is_answered(client: Any) -> None:
    """What is set is sent."""
    answer = await client.completions("completions", CompletionRequest(prompt="Once", max_tokens=2, n=3))

    assert isinstance(answer, CompletionResponse)
    assert [choice.finish_reason for choice in answer.choices] == ["length"] * 3


async def test_typed_embeddings_are_answered(client: Any) -> None:
    """Also in the form that the documented examples have."""
    answer = await client.embeddings("embeddings", EmbeddingRequest(input=["a", "b"], dimensions=8))
    documented = await client.embeddings("embeddings", EmbeddingRequest.model_validate({"text": ["a", "b"]}))

    assert isinstance(answer, EmbeddingResponse)
    assert [len(row.embedding) for row in answer.data] == [8, 8]
    assert [row.index for row in documented.data] == [0, 1]


async def test_a_typed_stream_brings_typed_chunks(client: Any) -> None:
    """The chat's deltas, and the completion's texts."""
    said = await all_of(client.stream_chat("chat", ChatRequest.model_validate(HELLO)))
    text = await all_of(client.stream_completions("completions", CompletionRequest(prompt="Once")))

    assert {type(chunk) for chunk in said} == {ChatChunk}
    assert "".join(c.choices[0].delta.content or "" for c in said) == SAID
    assert {type(chunk) for chunk in text} == {CompletionChunk}
    assert "".join(c.choices[0].text or "" for c in text).startswith(" … and so on")


async def test_a_streamed_usage_comes_in_a_last_chunk(client: Any) -> None:
    """It holds no choices; the typed chunk takes it."""
    asked = {**HELLO, "stream_options": {"include_usage": True}}
    *_, last = await all_of(client.stream_chat("chat", asked))

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 21


@pytest.mark.parametrize(
    ("route", "data", "fields"),
    [
        ("chat", {}, ["messages"]),
        ("chat", {"messages": []}, ["messages"]),
        ("chat", {"messages": None}, ["messages"]),
        ("chat", {"messages": "Hello"}, ["messages"]),
        ("chat", {"messages": [{"content": "Hello"}]}, ["messages.0.role"]),
        (
            "chat",
            {"messages": [{"role": "user", "content": 5}]},
            ["messages.0.content", "messages.0.content"],
        ),
        (
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            ["messages.0.content", "messages.0.content.0.text"],
        ),
        ("chat", {**HELLO, "temperature": 3}, ["temperature"]),
        (
            "chat",
            {**HELLO, "temperature": "warm", "n": 0, "max_tokens": -1},
            ["temperature", "n", "max_tokens"],
        ),
        ("chat", {**HELLO, "max_tokens": 10**30}, ["max_tokens"]),
        ("chat", {**HELLO, "tools": [{"type": "function", "function": {}}]}, ["tools.0.function.name"]),
        ("completions", {}, ["prompt"]),
        ("completions", {"prompt": 5}, None),
        ("embeddings", {}, ["input"]),
        ("embeddings", {"input": []}, None),
        ("embeddings", {"input": [[]]}, None),
        ("embeddings", {"text": {"a": "b"}}, None),
        ("embeddings", {"input": "a", "dimensions": 0}, ["dimensions"]),
        ("embeddings", {"input": "a", "stream": True}, ["stream"]),
    ],
)
async def test_a_request_that_is_wrong_names_its_fields(
    client: Any, route: str, data: dict[str, Any], fields: list[str] | None
) -> None:
    """422, each wrong field with its place and a sentence; the same in the message."""
    with pytest.raises(InvalidRequest) as wrong:
        await client.query(route, data)

    error = wrong.value
    assert (error.status, error.error_code) == (422, "INVALID_PARAMETER_VALUE")
    assert isinstance(error.detail, list)
    assert all(set(entry) == {"loc", "msg", "type"} and entry["loc"][0] == "body" for entry in error.detail)
    found = [".".join(map(str, entry["loc"][1:])) for entry in error.detail]
    if fields is not None:
        assert found == fields
    assert all(name in error.message for name in found)


@pytest.mark.parametrize("data", [[], "text", 5, None, True])
async def test_a_request_that_is_no_object_is_refused(client: Any, data: Any) -> None:
    """A request is a mapping."""
    with pytest.raises(GatewayError) as wrong:
        await client.query("chat", data)

    assert wrong.value.status == 422


@pytest.mark.parametrize("text", ["\ud800", float("nan"), float("inf"), object()])
async def test_what_json_can_not_hold_is_refused(client: Any, text: Any) -> None:
    """Half a character, no number, a thing of Python's: an error of ours, before or after it is sent."""
    with pytest.raises(GatewayError):
        await client.query("chat", {**HELLO, "user": text})


async def test_a_route_names_its_model_itself(client: Any) -> None:
    """`model` in the body is refused, as mlflow refuses it."""
    with pytest.raises(
        InvalidRequest, match="'model' is not accepted here: the route already names its model"
    ):
        await client.query("chat", {**HELLO, "model": "gpt-4o"})


async def test_query_gives_whole_answers(client: Any) -> None:
    """A stream has its own call; asking for one here is an error that says so."""
    with pytest.raises(GatewayError, match="stream"):
        await client.query("chat", {**HELLO, "stream": True})


async def test_a_stream_of_embeddings_is_refused(client: Any) -> None:
    """The error comes where the stream is opened or first read."""
    with pytest.raises(InvalidRequest, match="stream"):
        await all_of(client.stream("embeddings", {"input": "a"}))


async def test_a_parameter_that_nobody_knows_is_kept(client: Any) -> None:
    """It may be a vendor's own."""
    assert (await client.query("chat", {**HELLO, "some_new_parameter": {"a": [1, None]}}))["object"]


async def test_null_means_not_given(client: Any) -> None:
    """As with OpenAI."""
    answer = await client.query("chat", {**HELLO, "temperature": None, "max_tokens": None, "stream": None})

    assert answer["choices"][0]["message"]["content"] == SAID


async def test_many_calls_run_side_by_side(client: Any) -> None:
    """One client, fifty calls at once, each with its own answer."""
    import anyio

    said: dict[int, str] = {}

    async def ask(number: int) -> None:
        answer = await client.query("chat", {"messages": [{"role": "user", "content": f"number {number}"}]})
        said[number] = answer["choices"][0]["message"]["content"]

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(ask, number)

    assert said == {number: f"You said: number {number}" for number in range(50)}
