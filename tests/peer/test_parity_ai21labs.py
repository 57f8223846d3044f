"""AI21's Jurassic-2 behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`, `created` is the second of the answer, mlflow forces `numResults: 1` as it forces `n`, and
AI21's `endoftext` is OpenAI's `stop` here.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import Case, Pair, assert_same, assert_same_answer, assert_same_request, without_nulls

HI = [{"role": "user", "content": "Hi"}]


def made(*completions: tuple[str, str]) -> dict[str, Any]:
    """AI21's answer: texts and why they end."""
    return {
        "id": "7921a78e-d905-c9df-27e3-88e4831e3c3b",
        "prompt": {"text": "Hi"},
        "completions": [
            {"data": {"text": text}, "finishReason": {"reason": reason, "length": 2}}
            for text, reason in completions
        ],
    }


def completion(name: str, reply: Any = None, /, **body: Any) -> Case:
    """A completion."""
    sent = reply if isinstance(reply, Reply) else Reply(reply or made((" Hello", "length")))
    return Case(name, "ai21labs-completions", {"prompt": "Hi", **body}, sent)


def ask(case: Case, pair: Pair) -> Any:
    """What both did with a case, whose upstream requests are the same."""
    ours, theirs = pair.ask(case)
    expected = theirs.requests[0].json
    for name, asked in {"temperature": "temperature", "numResults": "n"}.items():
        if asked not in case.body:
            expected.pop(name, None)
    assert_same_request(replace(case, why="forced parameters", sends=expected), ours, theirs)
    return ours, theirs


ANSWERED = [
    completion("minimal"),
    completion("sampling", temperature=0.5, max_tokens=10, stop=["END"], n=1),
    completion("hottest", temperature=2),
    completion("coldest", temperature=0),
    completion("stopped", made((" Hello", "stop")), stop=["."]),
    completion("two", made((" Hello", "stop"), (" Hi", "length")), n=2, temperature=1),
    completion("vendor-parameters", topP=0.9, minTokens=1, topKReturn=0, countPenalty={"scale": 1}),
    completion("nulls", max_tokens=None, stop=None, stream=None),
    completion("no-stream", stream=False),
    completion("empty", made(("", "length")), prompt=""),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_completion_is_mlflows(case: Case, pair: Pair) -> None:
    """The same call of the model's own address, and the same answer."""
    ours, theirs = ask(case, pair)

    assert ours.status == theirs.status == 200
    assert abs(ours.json["created"] - theirs.json["created"]) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


def test_the_end_of_a_text_is_a_stop(pair: Pair) -> None:
    """Ours: AI21's word is one of OpenAI's."""
    ours, theirs = ask(completion("end", made((" Hello", "endoftext"))), pair)

    assert theirs.json["choices"][0]["finish_reason"] == "endoftext"
    assert ours.json["choices"][0]["finish_reason"] == "stop"


BETTER = [
    replace(
        completion("top-p", top_p=0.9),
        why="AI21's name for it is 'topP'",
        sends={"prompt": "Hi", "topP": 0.9},
    ),
    replace(
        completion("stop-as-text", stop="END"),
        why="mlflow refuses what OpenAI's API takes",
        status=200,
        sends={"prompt": "Hi", "stopSequences": ["END"]},
    ),
]


@pytest.mark.parametrize("case", BETTER, ids=lambda case: case.name)
def test_what_mlflow_leaves_untranslated_reaches_ai21_in_its_own_shape(case: Case, pair: Pair) -> None:
    """Names and shapes of parameters."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert_same_answer(replace(case, answers={"choices": [{"text": " Hello"}]}), ours, theirs)


REFUSED = [
    completion("stop-sequences", stopSequences=["END"]),
    completion("num-results", numResults=2),
    completion("max-tokens", maxTokens=5),
    completion("model", model="j2-mid"),
    completion("stream", stream=True),
    replace(completion("chat"), route="ai21labs-chat", body={"messages": HI}),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_jurassic_can_not_do_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    case = replace(case, why="the sentence is ours", sends=None, answers={})
    assert_same(pair, case)


@pytest.mark.parametrize(
    ("told", "status"),
    [(400, 400), (401, 502), (403, 502), (422, 422), (429, 429), (500, 502), (503, 503)],
)
def test_an_upstream_failure_is_told_with_its_message(told: int, status: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials and of the upstream it is 502-class."""
    headers = {"retry-after": "7"} if told == 429 else {}
    ours, theirs = ask(completion("failed", Reply({"detail": "no way"}, told, headers=headers)), pair)

    assert theirs.status == told
    assert ours.status == status
    assert "no way" in ours.json["detail"]
    assert ours.headers.get("retry-after") == headers.get("retry-after")
    assert "ai21-test" not in ours.text
