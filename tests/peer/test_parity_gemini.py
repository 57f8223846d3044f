"""Gemini behind both gateways: embeddings are mlflow's; chat and completions, which mlflow has not, are ours."""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import Case, Pair, assert_same, assert_same_answer, assert_same_request, without_nulls

VECTORS: list[dict[str, Any]] = [{"values": [0.5, -0.25]}, {"values": [1.5, 2]}]
TEXT = {"candidates": [{"content": {"parts": [{"text": "Hello"}], "role": "model"}, "finishReason": "STOP"}]}


def embeddings(name: str, reply: Any, /, **body: Any) -> Case:
    """Embeddings."""
    return Case(name, "gemini-embeddings", body, reply if isinstance(reply, Reply) else Reply(reply))


ANSWERED = [
    embeddings("one", {"embedding": VECTORS[0]}, input="Hi"),
    embeddings("one-in-a-list", {"embedding": VECTORS[0]}, input=["Hi"]),
    embeddings("one-in-a-batch", {"embeddings": VECTORS[:1]}, input="Hi"),
    embeddings("several", {"embeddings": VECTORS}, input=["Hi", "Ho"]),
    embeddings("empty", {"embedding": VECTORS[0]}, input=""),
    embeddings("no-numbers", {"embedding": {"values": []}}, input="Hi"),
    embeddings("nulls", {"embedding": VECTORS[0]}, input="Hi", user=None, encoding_format=None),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_embeddings_are_mlflows(case: Case, pair: Pair) -> None:
    """The same operation, body and key, and the same vectors."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    keys = [exchange.requests[0].headers["x-goog-api-key"] for exchange in (ours, theirs)]
    assert keys == ["gemini-test", "gemini-test"]
    assert ours.status == theirs.status == 200
    assert without_nulls(ours.json) == without_nulls(theirs.json)


def test_what_is_asked_of_the_vectors_goes_along(pair: Pair) -> None:
    """mlflow drops it in silence."""
    case = replace(
        embeddings(
            "options", {"embeddings": VECTORS}, input=["Hi", "Ho"], dimensions=2, taskType="CLUSTERING"
        ),
        why="mlflow drops it in silence",
        sends={
            "requests": [
                {
                    "model": "models/gemini-test",
                    "content": {"parts": [{"text": text}]},
                    "outputDimensionality": 2,
                    "taskType": "CLUSTERING",
                }
                for text in ("Hi", "Ho")
            ]
        },
    )

    assert_same(pair, case)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply({"error": {"code": 400, "message": "no such", "status": "INVALID_ARGUMENT"}}, 400), 400),
        (Reply({"error": {"code": 403, "message": "no such", "status": "PERMISSION_DENIED"}}, 403), 502),
        (Reply({"error": {"code": 404, "message": "no such", "status": "NOT_FOUND"}}, 404), 404),
        (Reply({"error": {"code": 429, "message": "no such", "status": "RESOURCE_EXHAUSTED"}}, 429), 429),
        (Reply({"error": {"code": 500, "message": "no such", "status": "INTERNAL"}}, 500), 502),
        (Reply({"error": {"code": 503, "message": "no such", "status": "UNAVAILABLE"}}, 503), 503),
    ],
    ids=["400", "403", "404", "429", "500", "503"],
)
def test_a_failure_is_told_with_its_message(reply: Reply, status: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    case = replace(embeddings("failed", reply, input="Hi"), status=status)
    ours, theirs = pair.ask(case)

    assert theirs.status == reply.status
    assert_same_request(case, ours, theirs)
    assert_same_answer(case, ours, theirs)


@pytest.mark.parametrize(
    "case",
    [
        Case("chat", "gemini-chat", {"messages": [{"role": "user", "content": "Hi"}]}, Reply(TEXT)),
        Case("completions", "gemini-completions", {"prompt": "Hi"}, Reply(TEXT)),
    ],
    ids=lambda case: case.name,
)
def test_chat_and_completions_are_ours(case: Case, pair: Pair) -> None:
    """mlflow answers that it has not implemented them."""
    ours, theirs = pair.ask(case)

    assert (theirs.status, theirs.requests) == (501, [])
    assert ours.status == 200
    (sent,) = ours.requests
    assert sent.path == "/v1beta/models/gemini-test:generateContent"
    assert sent.json == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    "case",
    [
        embeddings("model", {}, input="Hi", model="gemini"),
        embeddings("nothing", {}),
    ],
    ids=lambda case: case.name,
)
def test_what_can_not_be_asked_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why="the sentence is ours", sends=None, answers={})
    assert_same(pair, case)
