"""MLflow's model server: what a chat may hold, and which predictions are an answer."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway_async.errors import InvalidRequest, NotSupported, UpstreamInvalid
from gateway_async.providers._base import UpstreamResponse
from tests.providers.cases import CASES, Case

CHAT, COMPLETIONS, EMBEDDINGS = (
    CASES[f"mlflow-model-serving/{name}"] for name in ("chat", "completions", "embeddings")
)
USER = {"role": "user", "content": "Hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("field", "messages"),
    [
        ("messages", [{"role": "system", "content": "Be brief."}, USER]),
        ("messages.0.content", [{"role": "user"}]),
        ("messages.0.content", [{"role": "user", "content": None}]),
        ("messages.0.tool_calls", [{"role": "assistant", "content": "Hi", "tool_calls": [CALL]}]),
    ],
)
def test_what_a_model_can_not_take_is_refused_by_name(field: str, messages: list[dict[str, Any]]) -> None:
    """A model takes the content of one message."""
    with pytest.raises(InvalidRequest) as refused:
        replace(CHAT, request={"messages": messages}).sent()

    assert refused.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize("case", [CHAT, COMPLETIONS])
def test_there_are_no_streams(case: Case) -> None:
    """A request for one is refused with 501."""
    with pytest.raises(NotSupported, match="no streams"):
        case.adapter().request({**case.request, "stream": True}, stream=True)


@pytest.mark.parametrize("case", [CHAT, COMPLETIONS], ids=lambda case: case.kind)
@pytest.mark.parametrize(
    "predictions",
    [
        None,
        [],
        {},
        "Hi",
        1,
        [1],
        ["Hi", None],
        [["Hi"]],
        {"choices": []},
        {"a": ["Hi"], "b": ["Ho"]},
        {"a": "Hi"},
    ],
    ids=json.dumps,
)
def test_predictions_that_are_no_texts_are_the_upstreams_fault(case: Case, predictions: Any) -> None:
    """A list of texts, or an object that holds one."""
    body = json.dumps({"predictions": predictions}).encode()

    with pytest.raises(UpstreamInvalid):
        case.adapter().answer(UpstreamResponse(200, {}, body), case.data())


@pytest.mark.parametrize(
    "predictions",
    [
        None,
        [],
        {},
        "Hi",
        1,
        [[]],
        [[], []],
        ["Hi"],
        [[0.1], "Hi"],
        [0.1, "Hi"],
        [1, 2],
        [[True]],
        [{}],
        {"a": [[0.1]]},
    ],
    ids=json.dumps,
)
def test_predictions_that_are_no_vectors_are_the_upstreams_fault(predictions: Any) -> None:
    """A list of lists of numbers, or one of floats."""
    body = json.dumps({"predictions": predictions}).encode()

    with pytest.raises(UpstreamInvalid):
        EMBEDDINGS.adapter().answer(UpstreamResponse(200, {}, body), EMBEDDINGS.data())


@pytest.mark.parametrize("case", [CHAT, COMPLETIONS, EMBEDDINGS], ids=lambda case: case.kind)
def test_an_answer_without_predictions_is_the_upstreams_fault(case: Case) -> None:
    """Another server's answer is none."""
    with pytest.raises(UpstreamInvalid):
        case.adapter().answer(UpstreamResponse(200, {}, b'{"outputs": ["Hi"]}'), case.data())
