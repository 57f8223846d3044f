"""Text Generation Inference behind both gateways: the same upstream requests, the same answers.

Beside the rules of `parity`: `created` is the second of the answer; a finish reason of ours is OpenAI's (`stop` for
`eos_token` and `stop_sequence`), mlflow's is the server's. mlflow asks for the coldest temperature where none is given.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.peer.harness import Reply
from tests.peer.parity import (
    Case,
    Pair,
    assert_holds,
    assert_same,
    assert_same_request,
    without_nulls,
)

TOKEN = {"id": 1, "logprob": -0.34, "text": "Hello"}
TEXT: dict[str, Any] = {
    "generated_text": "Hello",
    "details": {
        "finish_reason": "length",
        "generated_tokens": 1,
        "prefill": [{**TOKEN, "logprob": None}, TOKEN],
        "seed": 42,
        "tokens": [{**TOKEN, "special": False}],
    },
}
DETAILS = {"details": True, "decoder_input_details": True}


def completion(name: str, reply: Any = TEXT, /, *, route: str = "tgi-completions", **body: Any) -> Case:
    """A completion."""
    return Case(name, route, {"prompt": "Hi", **body}, reply if isinstance(reply, Reply) else Reply(reply))


def ended(reason: str) -> dict[str, Any]:
    """A text that ends for a reason."""
    return {**TEXT, "details": {**TEXT["details"], "finish_reason": reason}}


COMPLETIONS = [
    completion("cold", temperature=0),
    completion("warm", temperature=0.5, max_tokens=10, stop=["END"]),
    completion("hottest", temperature=2),
    completion("barely-warm", temperature=1e-5),
    completion("asked-for-one", temperature=1, n=1),
    completion("vendor-parameters", temperature=1, top_k=5, top_p=0.9, seed=7, typical_p=0.5, best_of=1),
    completion("nulls", temperature=1, max_tokens=None, stop=None),
    completion("deeper", temperature=1, route="tgi-deeper-completions"),
    completion("end-of-text", ended("eos_token"), temperature=1),
    completion("stop-sequence", ended("stop_sequence"), temperature=1, stop=["END"]),
    replace(
        completion("minimal"),
        why="a parameter that the caller did not send is not sent",
        sends={"inputs": "Hi", "parameters": DETAILS},
    ),
]
FINISH = {"eos_token": "stop", "stop_sequence": "stop", "length": "length"}


@pytest.mark.parametrize("case", COMPLETIONS, ids=lambda case: case.name)
def test_a_completion_is_mlflows(case: Case, pair: Pair) -> None:
    """50 times the temperature, the details asked for, the tokens counted, no id."""
    ours, theirs = pair.ask(case)

    assert_same_request(case, ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json["created"] - theirs.json["created"]) <= 2
    expected = {**theirs.json, "created": 0}
    [choice] = expected["choices"]
    expected["choices"] = [{**choice, "finish_reason": FINISH[choice["finish_reason"]]}]
    assert without_nulls({**ours.json, "created": 0}) == without_nulls(expected)
    assert ours.json["id"] is None


def has(*words: str) -> Any:
    """An error whose sentence holds these words."""
    return {"detail": lambda detail: all(word in str(detail) for word in words)}


OWN = "the sentence is ours"
REFUSED = [
    replace(completion("two", n=2), why=OWN, answers=has("n")),
    replace(completion("own-name", max_new_tokens=3), why=OWN, answers=has("max_new_tokens", "max_tokens")),
    replace(completion("model", model="a"), why=OWN, answers=has("model")),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_mlflow_refuses_is_refused(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called."""
    case = replace(case, sends=None)
    assert_same(pair, case)


@pytest.mark.parametrize(
    ("status", "kind", "answered"),
    [(422, "validation", 422), (424, "generation", 502), (429, "overloaded", 429), (500, "incomplete", 502)],
)
def test_an_upstream_failure_is_told_in_its_words(status: int, kind: str, answered: int, pair: Pair) -> None:
    """mlflow answers a bare 500: it expects OpenAI's envelope."""
    ours, theirs = pair.ask(
        completion("failed", Reply({"error": "that went wrong", "error_type": kind}, status))
    )

    assert theirs.status == 500
    assert ours.status == answered
    assert "that went wrong" in ours.json["detail"]


def test_streams_and_chat_are_ours_alone(pair: Pair) -> None:
    """mlflow has neither (501)."""
    token = b'data:{"index":1,"token":{"id":1,"text":"Hello","logprob":-0.3,"special":false},"details":{"finish_reason":"length","generated_tokens":1,"input_length":2}}\n\n'
    ours, theirs = pair.ask(
        completion("stream", Reply(content_type="text/event-stream", chunks=[token]), stream=True)
    )
    assert (ours.status, theirs.status) == (200, 501)
    assert ours.requests[0].path == "/generate_stream"
    assert_holds(ours.chunks, [{"choices": [{"text": "Hello", "finish_reason": "length"}]}])

    message = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    answer = {"id": "", "created": 1706270835, "model": "m", "system_fingerprint": "3", "choices": [message]}
    case = replace(
        completion("chat", answer), route="tgi-chat", body={"messages": [{"role": "user", "content": "Hi"}]}
    )
    ours, theirs = pair.ask(case)
    assert (ours.status, theirs.status) == (200, 501)
    assert ours.requests[0].path == "/v1/chat/completions"
    assert_holds(ours.json, {"choices": [{"message": {"content": "Hello"}}]})
