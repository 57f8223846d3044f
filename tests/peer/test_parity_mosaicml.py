"""MosaicML behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`, `created` is the second of the answer, and the temperature and the number of answers that
mlflow forces stand among the `parameters`.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import Case, Pair, assert_same, assert_same_request, without_nulls

HI = [{"role": "user", "content": "Hi"}]
TEXTS = {"outputs": ["Hello"]}
VECTORS = {"outputs": [[0.5, -0.25]]}


def chat(name: str, reply: Any = TEXTS, /, **body: Any) -> Case:
    """A chat."""
    sent = reply if isinstance(reply, Reply) else Reply(reply)
    return Case(name, "mosaicml-chat", {"messages": HI, **body}, sent)


def completion(name: str, /, **body: Any) -> Case:
    """A completion."""
    return Case(name, "mosaicml-completions", {"prompt": "Hi", **body}, Reply(TEXTS))


def embeddings(name: str, reply: Any = VECTORS, /, **body: Any) -> Case:
    """Embeddings."""
    return Case(name, "mosaicml-embeddings", {"input": "Hi", **body}, Reply(reply))


def said(role: str, content: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": content}


ANSWERED = [
    chat("minimal"),
    chat("sampling", temperature=0.5, max_tokens=10, n=1, stop=["END"], top_p=0.9, top_k=5, stream=False),
    chat("nulls", max_tokens=None, stop=None),
    chat("system", messages=[said("system", "Be brief."), *HI]),
    chat("systems", messages=[said("system", "Be brief."), said("system", "Be kind."), *HI, *HI]),
    chat(
        "conversation", messages=[said("system", "S"), *HI, said("assistant", "Hello"), said("user", "Bye")]
    ),
    chat("assistant-first", messages=[said("assistant", "Hello"), *HI]),
    chat("assistant-last", messages=[*HI, said("assistant", "Hel")]),
    chat("assistants", messages=[*HI, said("assistant", "Hel"), said("assistant", "lo"), *HI]),
    chat("system-between", messages=[*HI, said("assistant", "Hello"), said("system", "S"), *HI]),
    chat("system-alone", messages=[said("system", "Be brief.")]),
    chat("empty", messages=[said("user", "")]),
    chat("two-answers", {"outputs": ["Hello", "Hi"]}, n=2),
    completion("completion"),
    completion("completion-sampling", temperature=1, max_tokens=5, stop=["END"], n=1, do_sample=True),
    embeddings("embeddings"),
    embeddings(
        "embeddings-several", {"outputs": [[0.5], [1.5]]}, input=["Hi", "Ho"], instruction="Represent:"
    ),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_call_is_mlflows(case: Case, pair: Pair) -> None:
    """The same prompt and parameters, and the same answer."""
    ours, theirs = pair.ask(case)

    parameters = theirs.requests[0].json.get("parameters", {})
    forced = {name for name in ("temperature", "n") if name not in case.body}
    kept = {name: value for name, value in parameters.items() if name not in forced}
    expected = theirs.requests[0].json | (
        {"parameters": kept} if "parameters" in theirs.requests[0].json else {}
    )
    assert_same_request(replace(case, why="forced parameters", sends=expected), ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json.get("created", 0) - theirs.json.get("created", 0)) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


@pytest.mark.parametrize(
    "case",
    [
        chat("tool-role", messages=[*HI, said("tool", "1")]),
        chat("max-new-tokens", max_new_tokens=3),
        completion("completion-max-new-tokens", max_new_tokens=3),
        embeddings("embeddings-inputs", inputs=["Hi"]),
        replace(chat("stream"), body={"messages": HI, "stream": True}),
        replace(completion("completion-stream"), body={"prompt": "Hi", "stream": True}),
    ],
    ids=lambda case: case.name,
)
def test_what_can_not_be_asked_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why="the sentence is ours", sends=None, answers={})
    assert_same(pair, case)


TOO_MANY = "Error: max output tokens is limited to 500 but 2000 were requested"
TOO_LONG = "Error: prompt token count (5000) cannot exceed 4096."


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply({"message": TOO_MANY}, 500), 422),
        (Reply({"message": TOO_LONG}, 500), 422),
        (Reply(TOO_LONG.encode(), 500, "text/plain"), 422),
        (Reply({"message": "Internal server error"}, 500), 502),
        (Reply({"message": "Invalid input"}, 400), 400),
        (Reply({"message": "Invalid key"}, 401), 502),
        (Reply({"message": "Slow down"}, 429), 429),
    ],
    ids=["output", "prompt", "text", "500", "400", "401", "429"],
)
def test_a_failure_is_told_with_its_message(reply: Reply, status: int, pair: Pair) -> None:
    """What the service calls its own fault and is the caller's, is 422 in both."""
    ours, theirs = pair.ask(chat("failed", reply))

    assert ours.status == status
    assert theirs.status == (422 if status == 422 else reply.status)
    assert theirs.json["detail"]["message"] in ours.json["detail"]
