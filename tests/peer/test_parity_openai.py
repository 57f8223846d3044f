"""OpenAI and Azure behind both gateways: the same upstream requests, the same answers."""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply, events
from tests.peer.openai_answers import (
    BASE64,
    CALL,
    CHAT,
    CHUNKS,
    COMPLETION,
    COMPLETION_FOR_MLFLOW,
    EMBEDDINGS,
    REFUSAL,
    TEXT_CHUNKS,
    TEXT_CHUNKS_FOR_MLFLOW,
    TOOL_CALLS,
    TOOL_CHUNKS,
    TWO_CHOICES,
    USAGE_CHUNK,
    chunk,
    refused,
    stream,
)
from tests.peer.parity import (
    Case,
    Pair,
    assert_holds,
    assert_same,
    assert_same_answer,
    assert_same_request,
    assert_same_stream,
    without_nulls,
)

HI = [{"role": "user", "content": "Hi"}]
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
RICH = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/b"}]}},
            "$defs": {"b": {"type": "object", "properties": {"c": {"type": "string", "minLength": 1}}}},
        },
    },
}
TOOL_TURN = [
    *HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "2"},
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}]
KEPT = "mlflow drops it; the contract keeps any extra field"
WIDER = "mlflow refuses what OpenAI's API takes"


def chat(name: str, reply: Any = CHAT, /, *, route: str = "openai-chat", **body: Any) -> Case:
    """A chat with one message, or those of `messages`."""
    return Case(name, route, {"messages": HI, **body}, reply if isinstance(reply, Reply) else Reply(reply))


def completion(name: str, *, route: str = "openai-completions", **body: Any) -> Case:
    """A completion; mlflow gets its answer in the shape that its parser reads."""
    case = Case(name, route, {"prompt": "Hi", **body}, Reply(COMPLETION))
    return replace(case, their_reply=Reply(COMPLETION_FOR_MLFLOW))


def embeddings(
    name: str, given: Any, *, route: str = "openai-embeddings", reply: Any = EMBEDDINGS, **body: Any
) -> Case:
    """Embeddings of what is given."""
    return Case(name, route, {"input": given, **body}, Reply(reply))


ANSWERED = [
    *(
        chat(f"{kind}-chat", route=f"{kind}-chat")
        for kind in ("openai", "organization", "azure", "azuread", "version")
    ),
    *(
        completion(f"{kind}-completion", route=f"{kind}-completions")
        for kind in ("openai", "organization", "azure", "azuread")
    ),
    *(
        embeddings(f"{kind}-embeddings", "Hi", route=f"{kind}-embeddings")
        for kind in ("openai", "organization", "azure", "azuread")
    ),
    chat("sampling", temperature=0.5, max_tokens=10, stop=["END"], top_p=0.3),
    chat("system", messages=[{"role": "system", "content": "Be brief."}, *HI]),
    chat("asked-for-zero", temperature=0, n=1),
    chat("two-choices", TWO_CHOICES, n=2),
    chat("tools", TOOL_CALLS, tools=[ADD], tool_choice="auto"),
    chat("tool-results", messages=TOOL_TURN),
    chat("refusal", REFUSAL),
    chat("parts", messages=PARTS),
    chat(
        "vendor-parameters",
        seed=7,
        user="u",
        logit_bias={"1": 2},
        foo={"bar": [1, None]},
        response_format={"type": "json_object"},
    ),
    chat("nulls", max_tokens=None, stop=None, tools=None, stream=None, seed=None, foo=None, model=None),
    chat("logprobs-as-number", logprobs=5),
    chat("any-role", messages=[{"role": "wizard", "content": "Hi"}]),
    chat("stream-false", stream=False),
    completion("completion-sampling", temperature=1, max_tokens=5, stop=["x"], top_p=0.5, echo=True),
    embeddings("list", ["a", "b"], dimensions=2),
    embeddings("tokens", [1, 2, 3]),
    embeddings("token-lists", [[1, 2], [3]]),
    embeddings("base64", "a", encoding_format="base64", reply=BASE64),
    replace(chat("newer-path"), path="/endpoints/openai-chat/invocations"),
    # --- where ours differs
    replace(
        chat("message-fields", messages=[{"role": "user", "content": "Hi", "name": "ada", "x": 1}]),
        why=KEPT,
        sends={
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Hi", "name": "ada", "x": 1}],
        },
    ),
    replace(
        chat("rich-tool-schema", TOOL_CALLS, tools=[RICH]),
        why="mlflow cuts a tool's JSON schema to its first level",
        sends={"model": "gpt-4o-mini", "messages": HI, "tools": [RICH]},
    ),
    replace(
        chat("stop-as-text", stop="END"),
        why=WIDER,
        status=200,
        sends={"model": "gpt-4o-mini", "messages": HI, "stop": "END"},
        answers=CHAT,
    ),
    replace(
        chat("null-for-a-number", temperature=None, n=None),
        why="mlflow refuses null for these two parameters and takes it for all others",
        status=200,
        sends={"model": "gpt-4o-mini", "messages": HI},
        answers=CHAT,
    ),
    replace(
        completion("prompts", prompt=["Hi", "Ho"]),
        why=WIDER,
        status=200,
        sends={"model": "gpt-4o-mini", "prompt": ["Hi", "Ho"]},
        answers=COMPLETION,
    ),
    replace(
        embeddings("text", None),
        body={"text": ["Hi"]},
        why="the documented examples say `text`",
        status=200,
        sends={"model": "gpt-4o-mini", "input": ["Hi"]},
        answers=EMBEDDINGS,
    ),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_the_upstream_sees_what_mlflow_sends(case: Case, pair: Pair) -> None:
    """Path, query, authentication and body are those that mlflow's users' upstreams know."""
    assert_same_request(case, *pair.ask(case))


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_the_caller_gets_what_mlflow_answers(case: Case, pair: Pair) -> None:
    """What mlflow answers, and what it drops of the upstream's answer."""
    assert_same_answer(case, *pair.ask(case), upstream=case.reply.body)


def has(*words: str) -> Any:
    """An error whose sentence holds these words."""
    return {
        "detail": lambda detail: all(word in detail for word in words),
        "message": lambda message: message != "",
    }


def has_field(name: str) -> Any:
    """A refusal that lists this field of the body."""
    return {"detail": lambda detail: [entry["loc"] for entry in detail] == [["body", name]]}


OWN_WORDS = "the sentence is ours"


def not_read(name: str, body: Any, **more: Any) -> Case:
    """A body that no upstream gets to see."""
    return replace(Case(name, "openai-chat", body, Reply(CHAT)), sends=None, **more)


REFUSED = [
    not_read("not-json", b"{oops"),
    not_read("empty", b""),
    not_read("no-object", [1]),
    not_read("no-messages", {}),
    not_read("empty-messages", {"messages": []}),
    not_read("messages-as-text", {"messages": "Hi"}),
    not_read("no-role", {"messages": [{"content": "Hi"}]}),
    not_read("content-as-number", {"messages": [{"role": "user", "content": 1}]}),
    not_read("temperature-too-high", {"messages": HI, "temperature": 3}),
    not_read("temperature-as-word", {"messages": HI, "temperature": "hot"}),
    not_read("no-choices", {"messages": HI, "n": 0}),
    not_read("no-tokens", {"messages": HI, "max_tokens": 0}),
    not_read("tokens-as-word", {"messages": HI, "max_tokens": "many"}),
    not_read("two-problems", {"messages": HI, "n": 0, "max_tokens": 0}),
    not_read(
        "number-as-text",
        {"messages": HI, "temperature": "0.5"},
        why="a wrong type is refused; mlflow reads a number out of a text",
        status=422,
        answers=has_field("temperature"),
    ),
    not_read(
        "number-too-large",
        {"messages": HI, "foo": 2**70 + 1},
        why="a number that can't be carried exactly is refused rather than changed",
        status=422,
        answers=has_field("foo"),
    ),
    not_read("no-prompt", {}, route="openai-completions"),
    not_read("no-input", {}, route="openai-embeddings"),
    not_read("input-as-number", {"input": 1}, route="openai-embeddings"),
    not_read("model-for-chat", {"messages": HI, "model": "gpt-4o"}, why=OWN_WORDS, answers=has("model")),
    not_read(
        "model-for-completions",
        {"prompt": "Hi", "model": "gpt-4o"},
        route="openai-completions",
        why=OWN_WORDS,
        answers=has("model"),
    ),
    not_read(
        "model-for-embeddings",
        {"input": "Hi", "model": "gpt-4o"},
        route="openai-embeddings",
        why=OWN_WORDS,
        answers=has("model"),
    ),
    not_read("wrong-method", b"", method="GET", why=OWN_WORDS, answers=has("GET")),
    not_read("no-such-route", {"messages": HI}, route="nobody", why=OWN_WORDS, answers=has("nobody")),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_wrong_request_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """Status and problems are the same, and no upstream is called."""
    assert_same(pair, case)


CREDENTIALS = "the gateway's credentials, not the caller's: 502-class"
PASSING = "an upstream 5xx is 502/503/504"
UNREADABLE = "an answer that is not what the API promises is 502 with the reason; mlflow's is a bare 500"


FAILED = [
    *(chat(f"upstream-{status}", refused(status)) for status in (400, 404, 408, 413, 422, 429)),
    *(
        replace(
            chat(f"upstream-{status}", refused(status)),
            why=CREDENTIALS,
            status=502,
            answers=has("that went wrong"),
        )
        for status in (401, 403)
    ),
    *(
        replace(
            chat(f"upstream-{status}", refused(status)),
            why=PASSING,
            status=ours,
            answers=has("that went wrong"),
        )
        for status, ours in ((500, 502), (502, 502), (503, 503), (504, 504))
    ),
    replace(
        chat("html-for-an-answer", Reply(b"<html>", content_type="text/html")), why=OWN_WORDS, answers=has()
    ),
    replace(
        chat("html-for-an-error", Reply(b"<html>", 500, content_type="text/html")),
        why=OWN_WORDS,
        answers=has(),
    ),
    replace(
        chat("text-for-an-error", Reply(b"sorry", 500, content_type="text/plain")),
        why=PASSING,
        status=502,
        answers=has("sorry"),
    ),
    replace(
        chat("text-for-an-answer", Reply(b"sorry", content_type="text/plain")),
        why=UNREADABLE,
        status=502,
        answers=has(),
    ),
    replace(chat("broken-json", Reply(b"{oops")), why=UNREADABLE, status=502, answers=has()),
    replace(chat("empty-object", Reply({})), why=UNREADABLE, status=502, answers=has()),
    replace(
        chat("error-without-envelope", Reply({"oops": 1}, 400)),
        why="mlflow's detail is the object",
        status=400,
        answers=has("oops"),
    ),
    replace(
        chat("error-as-text", Reply({"error": "nope"}, 400)), why=UNREADABLE, status=400, answers=has("nope")
    ),
    replace(
        chat("no-usage", {key: value for key, value in CHAT.items() if key != "usage"}),
        why="mlflow answers 500; the contract's answer is there but for the usage",
        status=200,
        answers={"choices": CHAT["choices"]},
    ),
]


@pytest.mark.parametrize("case", FAILED, ids=lambda case: case.name)
def test_an_upstream_failure_is_told_with_its_message(case: Case, pair: Pair) -> None:
    """The upstream's words reach the caller; the status says whose fault it is; no key is told."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs)
    assert "sk-openai-test" not in ours.text


def test_a_key_that_the_upstream_repeats_is_not_told(pair: Pair) -> None:
    """OpenAI's own sentence about a wrong key holds part of it. mlflow passes it on."""
    said = {"error": {"message": "Incorrect API key provided: sk-openai-test"}}

    ours, theirs = pair.ask(chat("key", Reply(said, 400)))

    assert "sk-openai-test" in theirs.text
    assert "Incorrect API key provided" in ours.text
    assert "sk-openai-test" not in ours.text


def test_a_refused_caller_learns_when_to_come_back(pair: Pair) -> None:
    """Ours: `Retry-After` of the upstream's 429 reaches the caller. mlflow drops it."""
    ours, theirs = pair.ask(chat("slow-down", refused(429, retry_after="7")))

    assert (ours.status, theirs.status) == (429, 429)
    assert ours.headers["retry-after"] == "7"
    assert "retry-after" not in theirs.headers


# --- streams ----------------------------------------------------------------------------------------------------

STREAMED = [
    (chat("chat", stream(*CHUNKS), stream=True), CHUNKS),
    (chat("no-done", events(*CHUNKS), stream=True), CHUNKS),
    (
        chat("with-usage", stream(*CHUNKS, USAGE_CHUNK), stream=True, stream_options={"include_usage": True}),
        [*CHUNKS, USAGE_CHUNK],
    ),
    (chat("tool-calls", stream(*TOOL_CHUNKS), stream=True, tools=[ADD]), TOOL_CHUNKS),
    (chat("azure", stream(*CHUNKS), stream=True, route="azure-chat"), CHUNKS),
    (
        replace(
            completion("completion", stream=True),
            reply=stream(*TEXT_CHUNKS),
            their_reply=stream(*TEXT_CHUNKS_FOR_MLFLOW),
        ),
        TEXT_CHUNKS,
    ),
]


@pytest.mark.parametrize(("case", "chunks"), STREAMED, ids=lambda part: getattr(part, "name", ""))
def test_a_stream_is_mlflows_chunk_by_chunk(case: Case, chunks: list[Any], pair: Pair) -> None:
    """The same request upstream, the same events for the caller, and what mlflow drops of them; no `[DONE]`."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_stream(ours, theirs, upstream=chunks)


@pytest.mark.parametrize(("status", "answered"), [(400, 400), (401, 502), (429, 429), (500, 502)])
def test_an_upstream_that_refuses_a_stream_refuses_it_here(status: int, answered: int, pair: Pair) -> None:
    """Ours: an error as for any other call. mlflow answers 200 and an empty stream."""
    ours, theirs = pair.ask(chat("refused", refused(status), stream=True))

    assert (theirs.status, theirs.text) == (200, "")
    assert ours.status == answered
    assert "that went wrong" in ours.json["detail"]


def test_an_error_in_a_stream_is_told_there(pair: Pair) -> None:
    """Ours: the last event is the error. mlflow cuts the connection."""
    broken = events(
        chunk({"content": "Hel"}), {"error": {"message": "that went wrong", "type": "server_error"}}
    )

    ours, theirs = pair.ask(chat("breaks", broken, stream=True))

    assert theirs.cut
    first, last = ours.chunks
    assert without_nulls(first) == without_nulls(chunk({"content": "Hel"}))
    assert_holds(last, has("that went wrong"))


# --- the other paths --------------------------------------------------------------------------------------------


def get(path: str, **more: Any) -> Case:
    """A call without a body."""
    return replace(Case(path, "", b"", Reply({}), path=path, method="GET"), **more)


OURS = "mlflow has no such path"
BAD_TOKEN = "a token that is not base64 of an index is 400; mlflow's is a bare 500"
BASE = "/api/2.0/gateway"
OPENAI_SHAPE = "OpenAI's error envelope on /v1"

OTHER = [
    get("/health"),
    get(f"{BASE}/routes/"),
    get(f"{BASE}/routes/?page_token=eyJpbmRleCI6IDN9"),
    get(f"{BASE}/routes/?page_token=eyJpbmRleCI6IDMwMDB9"),
    get(f"{BASE}/routes/openai-chat"),
    get(f"{BASE}/routes/limited-chat"),
    get(f"{BASE}/routes/nobody", status=404, why=OWN_WORDS, answers=has("nobody")),
    get("/api/2.0/endpoints/"),
    get("/api/2.0/endpoints/openai-chat"),
    get("/api/2.0/endpoints/nobody", status=404, why=OWN_WORDS, answers=has("nobody")),
    get("/nothing", status=404, why=OWN_WORDS, answers=has()),
    get("/health", method="POST", why=OWN_WORDS, answers=has("POST")),
    *(
        get(f"/api/2.0/{kind}/?page_token={token}", status=400, why=BAD_TOKEN, answers=has())
        for kind in ("gateway/routes", "endpoints")
        for token in ("zzz", "eyJpbmRleCI6IC0xfQ==")
    ),
]


@pytest.mark.parametrize("case", OTHER, ids=lambda case: f"{case.method} {case.path}")
def test_another_path_answers_what_mlflows_does(case: Case, pair: Pair) -> None:
    """Health, routes and endpoints. Limits are told here, where mlflow answers 501."""
    assert_same_answer(case, *pair.ask(case))


@pytest.mark.parametrize("path", ["/", f"{BASE}/routes", "/gateway/openai-chat/invocations/"])
def test_a_redirect_leads_where_mlflows_does(path: str, pair: Pair) -> None:
    """`/` to the documentation, a missing or superfluous slash to the right address."""
    ours, theirs = pair.ask(get(path, method="POST" if "invocations" in path else "GET"))

    assert ours.status == theirs.status == 307
    assert ours.headers["location"].removeprefix(pair.ours.url) == theirs.headers["location"].removeprefix(
        pair.theirs.url
    )


# --- OpenAI's own paths -----------------------------------------------------------------------------------------

V1 = [
    replace(chat("chat", model="openai-chat"), path="/v1/chat/completions"),
    replace(completion("completion", model="openai-completions"), path="/v1/completions"),
    replace(embeddings("embeddings", "Hi", model="openai-embeddings"), path="/v1/embeddings"),
]


@pytest.mark.parametrize("case", V1, ids=lambda case: case.name)
def test_openais_paths_take_the_route_from_the_model(case: Case, pair: Pair) -> None:
    """The request names the route as its `model`; the upstream sees the route's own model."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs, upstream=case.reply.body)


def test_a_stream_on_openais_path_ends_as_openais_clients_expect(pair: Pair) -> None:
    """mlflow's chunks, and ours adds `[DONE]`."""
    case = replace(chat("v1", stream(*CHUNKS), stream=True, model="openai-chat"), path="/v1/chat/completions")

    ours, theirs = pair.ask(case)

    assert ours.chunks[-1] == "[DONE]"
    assert without_nulls(ours.chunks[:-1]) == without_nulls(CHUNKS)
    assert len(theirs.chunks) == len(CHUNKS)


def test_an_error_in_a_stream_on_openais_path_is_in_openais_envelope(pair: Pair) -> None:
    """OpenAI's clients look for `error` in an event."""
    broken = events(
        chunk({"content": "Hel"}), {"error": {"message": "that went wrong", "type": "server_error"}}
    )
    case = replace(chat("v1", broken, stream=True, model="openai-chat"), path="/v1/chat/completions")

    ours, theirs = pair.ask(case)

    assert theirs.cut
    assert "that went wrong" in ours.chunks[1]["error"]["message"]


@pytest.mark.parametrize(
    ("model", "mlflows", "status", "code"),
    [("nobody", 400, 404, "model_not_found"), ("openai-embeddings", 400, 400, None)],
)
def test_openais_paths_refuse_in_openais_envelope(
    model: str, mlflows: int, status: int, code: str | None, pair: Pair
) -> None:
    """Ours: unknown is 404 `model_not_found`, the wrong type 400; mlflow's are 400 with `detail`."""
    ours, theirs = pair.ask(replace(chat("v1", model=model), path="/v1/chat/completions"))

    assert (theirs.status, ours.status) == (mlflows, status)
    assert model in ours.json["error"]["message"]
    assert code in (None, ours.json["error"]["code"])


def test_openais_paths_pass_an_upstreams_refusal_on(pair: Pair) -> None:
    """The upstream's words, in OpenAI's envelope instead of `detail`."""
    ours, theirs = pair.ask(
        replace(chat("v1", refused(429), model="openai-chat"), path="/v1/chat/completions")
    )

    assert ours.status == theirs.status == 429
    assert theirs.json["detail"] in ours.json["error"]["message"]
