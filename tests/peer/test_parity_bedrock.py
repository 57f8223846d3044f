"""Bedrock behind both gateways: the same calls of InvokeModel, signed with the same keys, and the same answers.

Beside the rules of `parity`, `created` is the second of the answer, and of a signature only whose it is and for what can
be compared: its time is that of the call, and boto3 signs other headers. mlflow drops what equals its own defaults, a
temperature of 0 among them; what the caller sends is sent here, but for `n: 1`, which asks for nothing.
"""

import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.peer.harness import Received, Reply
from tests.peer.parity import Case, Exchange, Pair, assert_same_answer, without_nulls
from tests.peer.routes_bedrock import MODELS

ANSWERS: dict[str, Any] = {
    "ai21": {
        "id": 1234,
        "prompt": {"text": "Hi", "tokens": []},
        "completions": [{"data": {"text": "Hello", "tokens": []}, "finishReason": {"reason": "endoftext"}}],
    },
    "amazon": {
        "inputTextTokenCount": 1,
        "results": [{"tokenCount": 2, "outputText": "Hello", "completionReason": "FINISH"}],
    },
    "anthropic": {"completion": " Hello", "stop_reason": "stop_sequence", "stop": "\n\nHuman:"},
    "cohere": {
        "id": "a",
        "generations": [{"id": "b", "text": "Hello", "finish_reason": "COMPLETE"}],
        "prompt": "Hi",
    },
}


def completion(vendor: str, name: str, reply: Any = None, /, **body: Any) -> Case:
    """A completion by a vendor's model."""
    answer = reply if isinstance(reply, Reply) else Reply(reply or ANSWERS[vendor])
    return Case(f"{vendor}-{name}", f"bedrock-{vendor}-completions", {"prompt": "Hi", **body}, answer)


def frame(request: Received) -> dict[str, Any]:
    """All of a request but its body and the time and the rest of its signature."""
    scope = re.search(r"Credential=(\w+)/\d{8}/([\w/-]+),", request.headers["authorization"])
    assert scope is not None
    names = ("content-type", "accept", "x-amz-security-token")
    headers = {name: request.headers.get(name) for name in names}
    return {"to": (request.method, request.path), "query": request.query, "signed": scope.groups(), **headers}


def assert_same_call(ours: Exchange, theirs: Exchange) -> None:
    """Both asked the same of Bedrock."""
    (one,), (other,) = ours.requests, theirs.requests
    assert frame(one) == frame(other)
    assert one.json == other.json


EVERY = sorted(MODELS)
ANSWERED = [
    *(completion(vendor, "minimal") for vendor in EVERY),
    *(completion(vendor, "n", n=1) for vendor in EVERY),
    *(completion(vendor, "nulls", max_tokens=None, stop=None) for vendor in EVERY),
    *(completion(vendor, "sampling", temperature=0.5, max_tokens=10, stop=["END", "."]) for vendor in EVERY),
    *(completion(vendor, "hottest", temperature=2) for vendor in EVERY),
    *(completion(vendor, "vendor-parameters", top_k=5, foo={"a": 1}) for vendor in EVERY),
    completion("anthropic", "in-turns", prompt="Human: Hi"),
    completion("anthropic", "in-full", prompt="\n\nHuman: Hi\n\nAssistant:"),
    completion("anthropic", "stop-given", stop=["\n\nHuman:", "END"]),
    completion("anthropic", "many-tokens", max_tokens=9000),
    completion("anthropic", "cut", {**ANSWERS["anthropic"], "stop_reason": "max_tokens"}, max_tokens=1),
    completion("ai21", "two", {**ANSWERS["ai21"], "completions": ANSWERS["ai21"]["completions"] * 2}, n=2),
    completion(
        "cohere", "two", {**ANSWERS["cohere"], "generations": ANSWERS["cohere"]["generations"] * 2}, n=2
    ),
    completion("amazon", "two-results", {"results": ANSWERS["amazon"]["results"] * 2}),
    Case("alias", "amazon-bedrock-completions", {"prompt": "Hi"}, Reply(ANSWERS["amazon"])),
]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_completion_is_mlflows(case: Case, pair: Pair) -> None:
    """The same call, and the same answer."""
    ours, theirs = pair.ask(case)

    assert_same_call(ours, theirs)
    assert ours.status == theirs.status == 200
    assert abs(ours.json["created"] - theirs.json["created"]) <= 2
    assert without_nulls({**ours.json, "created": 0}) == without_nulls({**theirs.json, "created": 0})


def test_the_path_of_a_model_is_boto3s(pair: Pair) -> None:
    """With its colons percent-encoded."""
    ours, _ = pair.ask(completion("amazon", "path"))

    assert ours.requests[0].path == f"/model/{quote(MODELS['amazon'], safe='')}/invoke"


@pytest.mark.parametrize(
    "case",
    [
        completion("anthropic", "two", n=2),
        completion("amazon", "two", n=2),
        completion("anthropic", "top-p", top_p=0.5),
        completion("anthropic", "tokens", max_tokens=1_000_001),
    ],
    ids=lambda case: case.name,
)
def test_what_can_not_be_asked_is_refused_as_mlflow_refuses_it(case: Case, pair: Pair) -> None:
    """The same status, and no upstream is called; the sentence is ours."""
    ours, theirs = pair.ask(case)

    assert ours.requests == theirs.requests == []
    assert ours.status == theirs.status == 422


@pytest.mark.parametrize(
    ("vendor", "scale"), [("ai21", 1), ("amazon", 0.5), ("anthropic", 0.5), ("cohere", 2.5)]
)
def test_a_temperature_of_nothing_is_sent(vendor: str, scale: float, pair: Pair) -> None:
    """Ours: it is what the caller wants. mlflow takes it for its own default, and the model uses another."""
    ours, theirs = pair.ask(completion(vendor, "cold", temperature=0))

    sent = dict(ours.requests[0].json)
    place = sent["textGenerationConfig"] if vendor == "amazon" else sent
    assert place.pop("temperature") == 0
    assert sent == theirs.requests[0].json


@pytest.mark.parametrize(("vendor", "name"), [("ai21", "topP"), ("amazon", "topP"), ("cohere", "p")])
def test_top_p_has_the_vendors_name(vendor: str, name: str, pair: Pair) -> None:
    """Ours: mlflow sends OpenAI's, which the model does not know."""
    ours, theirs = pair.ask(completion(vendor, "top-p", top_p=0.5))

    sent, other = ours.requests[0].json, theirs.requests[0].json
    place, there = (one["textGenerationConfig"] if vendor == "amazon" else one for one in (sent, other))
    assert (place[name], there["top_p"]) == (0.5, 0.5)


def test_models_of_others_are_served(pair: Pair) -> None:
    """Ours: through Converse. mlflow answers 422."""
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    }
    for route, asked, there in (
        ("bedrock-meta-completions", {"prompt": "Hi"}, 422),
        ("bedrock-chat", {"messages": [{"role": "user", "content": "Hi"}]}, 501),
    ):
        ours, theirs = pair.ask(Case("converse", route, asked, Reply(body)))

        assert theirs.status == there
        assert ours.status == 200
        assert ours.requests[0].path.endswith("/converse")


@pytest.mark.parametrize(("status", "ours_is"), [(400, 400), (403, 502), (404, 404)])
def test_a_failure_is_told_with_its_message(status: int, ours_is: int, pair: Pair) -> None:
    """The caller's own errors keep their status; of the gateway's credentials it is 502. mlflow answers a bare 500."""
    ours, theirs = pair.ask(completion("amazon", "failed", Reply({"message": "that went wrong"}, status)))

    assert theirs.status == 500
    assert ours.status == ours_is
    assert "that went wrong" in ours.json["detail"]


def test_an_unknown_field_is_refused_alike(pair: Pair) -> None:
    """Where a body is not well-formed, both say where."""
    case = Case("prompt", "bedrock-amazon-completions", {"prompt": 5}, Reply(ANSWERS["amazon"]))
    ours, theirs = pair.ask(case)

    assert_same_answer(case, ours, theirs)
