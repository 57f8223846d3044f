"""Vertex AI's types: OpenAI's at its OpenAI endpoint, Anthropic's for Claude; what no SDK has is written down.

https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview,
https://docs.anthropic.com/en/api/claude-on-vertex-ai,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api.
"""

import json
from collections.abc import Sequence
from typing import Any, Required

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from tests.providers.published import anthropic, gemini, openai
from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class Instance(TypedDict, total=False):
    """A text."""

    content: Required[str]
    task_type: str
    title: str


class Parameters(TypedDict, total=False):
    """How its vector is made."""

    autoTruncate: bool
    outputDimensionality: int


class PredictParams(TypedDict, total=False):
    """A request of embeddings."""

    instances: Required[list[Instance]]
    parameters: Parameters


class Statistics(BaseModel):
    """What a text was."""

    model_config = ConfigDict(extra="allow")

    token_count: int
    truncated: bool


class Embeddings(BaseModel):
    """A vector."""

    model_config = ConfigDict(extra="allow")

    values: list[float]
    statistics: Statistics


class Prediction(BaseModel):
    """What is predicted of an instance."""

    model_config = ConfigDict(extra="allow")

    embeddings: Embeddings


class Metadata(BaseModel):
    """What is paid for."""

    model_config = ConfigDict(extra="allow")

    billableCharacterCount: int


class Predictions(BaseModel):
    """An answer of embeddings."""

    model_config = ConfigDict(extra="allow")

    predictions: list[Prediction]
    metadata: Metadata | None = None


_PREDICT = strict(PredictParams)

_GOOGLES = ("extra_content", "extra_properties")
"""What Google adds to OpenAI's answers: signatures of thoughts, and how the traffic is paid for."""

ADDS = (*_GOOGLES, *anthropic.ADDS)


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes at this address."""
    if url.endswith(":predict"):
        _PREDICT.validate_python(body, strict=True)
    elif url.endswith(("rawPredict", "RawPredict")):
        rest = {name: value for name, value in body.items() if name != "anthropic_version"}
        assert body["anthropic_version"] == "vertex-2023-10-16"
        assert "model" not in body
        anthropic.check_sent(kind, "/messages", {"model": "named in the address", **rest})
    else:
        rest = {name: value for name, value in body.items() if name != "extra_body"}
        assert body.get("extra_body", {}).keys() <= {"google"}
        openai.check_sent("llm/v1/chat", url, rest)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    if url.endswith(":predict"):
        check(Predictions, body)
    elif url.endswith("rawPredict"):
        anthropic.check_answered(kind, "/messages", body)
    else:
        openai.check_answered("llm/v1/chat", url, body, adds=_GOOGLES)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error, of Google's or of Anthropic's."""
    if b'"type": "error"' in body:
        anthropic.check_error(status, body)
    else:
        gemini.check_error(status, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    if "type" in data:
        anthropic.check_event(kind, "/messages", data)
    elif "error" in data:
        gemini.check_error(0, json.dumps(data).encode())
    else:
        openai.check_event("llm/v1/chat", url, data, adds=_GOOGLES)


def fold_events(events: Sequence[Json]) -> Json:
    """What the SDKs make of a stream."""
    if "type" in events[0]:
        return anthropic.fold_events(events)
    return openai.fold_chunks([events[0], *map(_without_role, events[1:])])


def _without_role(chunk: Json) -> Json:
    """Google repeats the role in every chunk, and OpenAI's SDK would add them up."""
    choices = [
        {**choice, "delta": {name: value for name, value in choice["delta"].items() if name != "role"}}
        for choice in chunk["choices"]
    ]
    return {**chunk, "choices": choices}
