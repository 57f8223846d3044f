"""MLflow's model server behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`, `created` is the second of the answer, and the temperature and the number of answers that
mlflow forces stand among the `params`.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import Case, Pair, assert_same, assert_same_request, without_nulls

HI = [{"role": "user", "content": "Hi"}]
TEXTS = {"predictions": ["Hello"]}
VECTORS = {"predictions": [[0.5, -0.25]]}


def chat(name: str, reply: Any = TEXTS, /, **body: Any) -> Case:
    """A chat."""
    sent = reply if isinstance(reply, Reply) else Reply(reply)
    return Case(name, "mlflow-model-serving-chat", {"messages": HI, **body}, sent)


def completion(name: str, reply: Any = TEXTS, /, **body: Any) -> Case:
    """A completion."""
    return Case(name, "mlflow-model-serving-completions", {"prompt": "Hi", **body}, Reply(reply))


def embeddings(name: str, reply: Any = VECTORS, /, **body: Any) -> Case:
    """Embeddings."""
    return Case(name, "mlflow-model-serving-embeddings", {"input": "Hi", **body}, Reply(reply))


PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]

ANSWERED = [
    chat("minimal"),
    chat("sampling", temperature=0.5, max_tokens=10, n=2, stop=["END"], top_k=5, stream=False, seed=1),
    chat("nulls", max_tokens=None, stop=None),
    chat("parts", messages=PARTS),
    chat("system-alone", messages=[{"role": "system", "content": "Be brief."}]),
    chat("one-key", {"predictions": {"candidates": ["Hello", "Hi"]}}),
    chat("choices", {"predictions": {"choices": ["Hello"], "more": 1}}),
    completion("completion"),
    completion("completion-sampling", temperature=1, max_tokens=5, stop=["END"], n=1, top_k=5),
    completion("completion-one-key", {"predictions": {"a": ["Hello"]}}),
    embeddings("embeddings"),
    embeddings("embeddings-several", {"predictions": [[0.5, 1], [1.5, 2]]}, input=["Hi", "Ho"]),
    embeddings("embeddings-alone", {"predictions": [0.5, -0.25]}, output_value="token_embeddings"),
    embeddings("embeddings-one-empty", {"predictions": [[0.5], []]}),
    embeddings("embeddings-tokens", input=[1, 2]),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_call_is_mlflows(case: Case, pair: Pair) -> None:
    """The same inputs and parameters, and the same answer."""
    ours, theirs = pair.ask(case)

    expected = dict(theirs.requests[0].json)
    params = expected.pop("params", {})
    if kept := {name: value for name, value in params.items() if name in case.body}:
        expected["params"] = kept
    assert_same_request(replace(case, why="forced parameters", sends=expected), ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json.get("created", 0) - theirs.json.get("created", 0)) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


@pytest.mark.parametrize(
    "case",
    [
        chat("two-messages", messages=[*HI, *HI]),
        chat("stream", stream=True),
        completion("completion-stream", stream=True),
    ],
    ids=lambda case: case.name,
)
def test_what_can_not_be_asked_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why="the sentence is ours", sends=None, answers={})
    assert_same(pair, case)


@pytest.mark.parametrize(
    "predictions", [[], {}, "Hi", [1], {"choices": []}, {"a": ["x"], "b": ["y"]}], ids=json.dumps
)
@pytest.mark.parametrize("ask", [chat, completion])
def test_predictions_that_are_no_texts_are_502_in_both(ask: Any, predictions: Any, pair: Pair) -> None:
    """The served model is at fault."""
    ours, theirs = pair.ask(ask("predictions", {"predictions": predictions}))

    assert ours.status == theirs.status == 502


@pytest.mark.parametrize("predictions", [[], {}, [[]], ["Hi"], [1, 2], [0.5, 1], [[True]]], ids=json.dumps)
def test_predictions_that_are_no_vectors_are_502_in_both(predictions: Any, pair: Pair) -> None:
    """The served model is at fault."""
    ours, theirs = pair.ask(embeddings("predictions", {"predictions": predictions}))

    assert ours.status == theirs.status == 502


@pytest.mark.parametrize(
    ("status", "told"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502), (503, 503)]
)
def test_a_failure_is_told_with_its_message(status: int, told: int, pair: Pair) -> None:
    """The server's words reach the caller."""
    ours, theirs = pair.ask(chat("failed", Reply({"error_code": "X", "message": "that went wrong"}, status)))

    assert (ours.status, theirs.status) == (told, status)
    assert theirs.json["detail"]["message"] in ours.json["detail"]
