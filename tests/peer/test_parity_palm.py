"""PaLM behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`, `created` is the second of the answer, and the number of answers that mlflow forces is
called `candidateCount`.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import (
    Case,
    Exchange,
    Pair,
    assert_same,
    assert_same_answer,
    assert_same_request,
    without_nulls,
)

HI = [{"role": "user", "content": "Hi"}]
HELLO = {
    "candidates": [{"author": "1", "content": "Hello"}],
    "messages": [{"author": "user", "content": "Hi"}],
}
TWO = {"candidates": [{"author": "1", "content": "Hello"}, {"author": "1", "content": "Hi"}]}
RATED = {
    "output": "Once",
    "safetyRatings": [{"category": "HARM_CATEGORY_VIOLENCE", "probability": "NEGLIGIBLE"}],
}
TEXT = {"candidates": [RATED]}
VECTORS = {"embeddings": [{"value": [0.5, -0.25]}]}


def chat(name: str, reply: Any = HELLO, /, **body: Any) -> Case:
    """A chat."""
    return Case(
        name, "palm-chat", {"messages": HI, **body}, reply if isinstance(reply, Reply) else Reply(reply)
    )


def completion(name: str, reply: Any = TEXT, /, **body: Any) -> Case:
    """A completion."""
    return Case(name, "palm-completions", {"prompt": "Hi", **body}, Reply(reply))


def embeddings(name: str, reply: Any = VECTORS, /, **body: Any) -> Case:
    """Embeddings."""
    return Case(name, "palm-embeddings", {"input": "Hi", **body}, Reply(reply))


def said(role: str, content: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": content}


EXAMPLES = [{"input": {"content": "a"}, "output": {"content": "b"}}]

ANSWERED = [
    chat("minimal"),
    chat("sampling", TWO, temperature=0.7, n=2, stop=["END"], top_p=0.9, top_k=5, topK=3),
    chat("hottest", temperature=2),
    chat("coldest", temperature=0, n=1),
    chat(
        "conversation", messages=[said("system", "S"), *HI, said("assistant", "Hello"), said("user", "Bye")]
    ),
    chat("other-roles", messages=[said("narrator", "Meanwhile"), said("1", "Hi")]),
    chat("context", context="Be brief.", examples=EXAMPLES),
    chat("nulls", stop=None, tools=None, max_tokens=None),
    chat("not-streamed", stream=False),
    chat("empty", {"candidates": [{"author": "", "content": ""}]}, messages=[said("user", "")]),
    completion("completion"),
    completion(
        "completion-sampling",
        {"candidates": [RATED, RATED]},
        temperature=0.3,
        n=2,
        stop=["END"],
        max_tokens=5,
        top_p=0.5,
        safetySettings=[],
    ),
    completion("completion-empty", {"candidates": [{"output": ""}]}, prompt=""),
    embeddings("embeddings"),
    embeddings("embeddings-empty", input=""),
    embeddings("embeddings-one-in-a-list", input=["Hi"]),
    embeddings(
        "embeddings-several", {"embeddings": [{"value": [0.5]}, {"value": [1.5]}]}, input=["Hi", "Ho"]
    ),
]


def unforced(case: Case, theirs: Exchange) -> dict[str, Any]:
    """mlflow's upstream body without what the caller did not ask for."""
    forced = {"temperature": "temperature", "n": "candidateCount"}
    dropped = {name for ours, name in forced.items() if ours not in case.body}
    return {name: value for name, value in theirs.requests[0].json.items() if name not in dropped}


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_call_is_mlflows(case: Case, pair: Pair) -> None:
    """The same body and key, and the same answer."""
    ours, theirs = pair.ask(case)

    assert_same_request(replace(case, why="forced", sends=unforced(case, theirs)), ours, theirs)
    keys = [exchange.requests[0].headers["x-goog-api-key"] for exchange in (ours, theirs)]
    assert keys == ["palm-test", "palm-test"]
    assert ours.status == theirs.status == 200
    assert abs(ours.json.get("created", 0) - theirs.json.get("created", 0)) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


@pytest.mark.parametrize(
    "case",
    [
        chat("max-tokens", max_tokens=5),
        chat("max-output-tokens", maxOutputTokens=5),
        chat("candidate-count", candidateCount=2),
        chat("stop-sequences", stopSequences=["END"]),
        chat("model", model="bison"),
        completion("completion-max-output-tokens", maxOutputTokens=5),
        completion("completion-candidate-count", candidateCount=2),
        embeddings("embeddings-texts", texts=["Hi"]),
        replace(chat("stream"), body={"messages": HI, "stream": True}),
        replace(completion("completion-stream"), body={"prompt": "Hi", "stream": True}),
    ],
    ids=lambda case: case.name,
)
def test_what_can_not_be_asked_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why="the sentence is ours", sends=None, answers={})
    assert_same(pair, case)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply({"error": {"code": 400, "message": "no such", "status": "INVALID_ARGUMENT"}}, 400), 400),
        (Reply({"error": {"code": 403, "message": "no such", "status": "PERMISSION_DENIED"}}, 403), 502),
        (Reply({"error": {"code": 404, "message": "no such", "status": "NOT_FOUND"}}, 404), 404),
        (Reply({"error": {"code": 429, "message": "no such", "status": "RESOURCE_EXHAUSTED"}}, 429), 429),
        (Reply({"error": {"code": 500, "message": "no such", "status": "INTERNAL"}}, 500), 502),
    ],
    ids=["400", "403", "404", "429", "500"],
)
def test_a_failure_is_told_with_its_message(reply: Reply, status: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    case = replace(chat("failed", reply), status=status)
    ours, theirs = pair.ask(case)

    assert theirs.status == reply.status
    assert_same_answer(case, ours, theirs)


def test_a_filtered_answer_is_an_answer(pair: Pair) -> None:
    """Ours: the reason is told. mlflow breaks."""
    case = chat("filtered", {"filters": [{"reason": "SAFETY"}], "messages": []})
    ours, theirs = pair.ask(case)

    assert theirs.status == 500
    assert ours.status == 200
    (choice,) = ours.json["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert "SAFETY" in choice["message"]["refusal"]


def test_text_in_parts_is_one_text(pair: Pair) -> None:
    """mlflow sends the parts, which PaLM does not take."""
    parts = [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]
    case = replace(
        chat("parts", messages=[{"role": "user", "content": parts}], n=1, temperature=1),
        why="PaLM takes a text",
        sends={
            "prompt": {"messages": [{"author": "user", "content": "Hi"}]},
            "candidateCount": 1,
            "temperature": 0.5,
        },
    )
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == 200
