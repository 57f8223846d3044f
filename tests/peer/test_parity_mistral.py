"""Mistral behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`: `created` is the second of the answer, of a completion too. mlflow has no chat and no
streams here.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply, events
from tests.peer.parity import (
    Case,
    Pair,
    assert_holds,
    assert_same,
    assert_same_answer,
    assert_same_request,
    without_nulls,
)

HI = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "created": 1702256327,
    "model": "mistral-small-2503",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "tool_calls": None, "prefix": False},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}
EMBEDDINGS: dict[str, Any] = {
    "id": "embd-1",
    "object": "list",
    "data": [
        {"object": "embedding", "embedding": [0.5, 0.25], "index": 0},
        {"object": "embedding", "embedding": [1.0, 0.125], "index": 1},
    ],
    "model": "mistral-embed-2312",
    "usage": {"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0},
}
TOO_LONG = {**CHAT, "choices": [{**CHAT["choices"][0], "finish_reason": "length"}]}


def completion(name: str, reply: Any = CHAT, /, **body: Any) -> Case:
    """A completion, which is a chat upstream."""
    reply = reply if isinstance(reply, Reply) else Reply(reply)
    return Case(name, "mistral-completions", {"prompt": "Hi", **body}, reply)


def embeddings(name: str, given: Any, reply: Any = EMBEDDINGS, /, **body: Any) -> Case:
    """Embeddings of what is given."""
    reply = reply if isinstance(reply, Reply) else Reply(reply)
    return Case(name, "mistral-embeddings", {"input": given, **body}, reply)


COMPLETIONS = [
    completion("minimal"),
    completion("hot", temperature=2),
    completion("halved", TOO_LONG, temperature=0.3, max_tokens=10, top_p=0.5),
    completion("left-out", stop=["END"], n=1),
    completion("several-asked-for", n=2),
    completion("vendor-parameters", safe_prompt=True, random_seed=7),
    completion("nulls", max_tokens=None, stop=None, stream=None),
]


@pytest.mark.parametrize("case", COMPLETIONS, ids=lambda case: case.name)
def test_a_completion_is_mlflows(case: Case, pair: Pair) -> None:
    """One message of the user's, half the temperature; the answer is the route's model's. Ours keeps its id."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json["created"] - theirs.json["created"]) <= 2
    expected = {**without_nulls(theirs.json), "id": "cmpl-1", "created": 0}
    assert without_nulls({**ours.json, "created": 0}) == expected


VECTORS = [
    embeddings("list", ["a", "b"]),
    embeddings("text", "a"),
    embeddings("vendor-parameters", ["a", "b"], output_dtype="float", output_dimension=2),
    replace(
        embeddings("dimensions", ["a"], dimensions=2),
        why="mlflow sends OpenAI's name, which Mistral refuses",
        sends={"model": "mistral-model", "input": ["a"], "output_dimension": 2},
    ),
    embeddings("format", ["a"], encoding_format="float"),
]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case.name)
def test_embeddings_are_mlflows(case: Case, pair: Pair) -> None:
    """The same request; the answer is the route's model's, with what Mistral tells beside."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs, upstream=case.reply.body)
    assert ours.json["model"] == "mistral-model"


OWN = "the sentence is ours"
REFUSED = [
    replace(
        completion("model", model="a"), why=OWN, answers={"detail": lambda detail: "model" in str(detail)}
    ),
    replace(
        embeddings("embeddings-model", "a", model="a"),
        why=OWN,
        answers={"detail": lambda detail: "model" in str(detail)},
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_mlflow_refuses_is_refused(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called."""
    case = replace(case, sends=None)
    assert_same(pair, case)


def failure(status: int, **headers: str) -> Reply:
    """An error in Mistral's own shape, which mlflow passes on whole."""
    body = {"object": "error", "message": "that went wrong", "type": "invalid_request_error", "code": "1"}
    return Reply(body, status, headers=headers)


@pytest.mark.parametrize("kind", ["completions", "embeddings"])
@pytest.mark.parametrize(
    ("status", "answered"),
    [(400, 400), (401, 502), (403, 502), (404, 404), (422, 422), (429, 429), (500, 502), (503, 503)],
)
def test_an_upstream_failure_is_told_in_its_words(kind: str, status: int, answered: int, pair: Pair) -> None:
    """The caller's own errors keep their status. mlflow's detail is the whole body, ours the sentence in it."""
    reply = failure(status, **({"retry-after": "7"} if status == 429 else {}))
    ours, theirs = pair.ask(
        completion("failed", reply) if kind == "completions" else embeddings("failed", "a", reply)
    )

    assert theirs.status == status
    assert theirs.json["detail"]["message"] == "that went wrong"
    assert ours.status == answered
    assert "that went wrong" in ours.json["detail"]
    assert ours.headers.get("retry-after") == reply.headers.get("retry-after")
    assert "sk-mistral-test" not in ours.text


def test_chat_is_ours_alone(pair: Pair) -> None:
    """mlflow has none for Mistral (501)."""
    case = replace(completion("chat"), route="mistral-chat", body={"messages": HI, "seed": 7})
    ours, theirs = pair.ask(case)

    assert (ours.status, theirs.status) == (200, 501)
    assert ours.requests[0].path == "/v1/chat/completions"
    assert ours.requests[0].json == {"model": "mistral-model", "messages": HI, "random_seed": 7}
    assert_holds(ours.json, {"id": "cmpl-1", "choices": [{"message": {"content": "Hello"}}]})


def test_streams_are_ours_alone(pair: Pair) -> None:
    """mlflow has none for Mistral (501)."""
    frame = {key: value for key, value in CHAT.items() if key not in ("choices", "usage", "object")}
    chunk = {"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    reply = events({**frame, "object": "chat.completion.chunk", "choices": [chunk]}, done=True)
    ours, theirs = pair.ask(completion("stream", reply, stream=True))

    assert (ours.status, theirs.status) == (200, 501)
    assert_holds(ours.chunks, [{"object": "text_completion_chunk", "choices": [{"text": "Hello"}]}])
