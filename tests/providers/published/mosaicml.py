"""MosaicML's types. There is no SDK any more; https://docs.mosaicml.com/en/latest/inference.html is where they stood.

`n`, `stop` and `stream` stand on no page; mlflow, whose makers ran the service, sends them.
"""

from collections.abc import Mapping
from typing import Any, Required

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class Parameters(TypedDict, total=False):
    """How a text is made."""

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    do_sample: bool
    n: int
    stop: list[str] | str
    stream: bool


class TextParams(TypedDict, total=False):
    """A request to a model of texts."""

    inputs: Required[list[str]]
    parameters: Parameters


class EmbeddingParams(TypedDict, total=False):
    """A request to an Instructor model."""

    inputs: Required[list[str]]
    instruction: str


class Texts(BaseModel):
    """What a model of texts answers."""

    model_config = ConfigDict(extra="allow")

    outputs: list[str]


class Vectors(BaseModel):
    """What an Instructor model answers."""

    model_config = ConfigDict(extra="allow")

    outputs: list[list[float]]


class ErrorBody(BaseModel):
    """An error, as mlflow reads it."""

    model_config = ConfigDict(extra="allow")

    message: str


_SENT = {
    "llm/v1/chat": strict(TextParams),
    "llm/v1/completions": strict(TextParams),
    "llm/v1/embeddings": strict(EmbeddingParams),
}
_ANSWERED: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": Texts,
    "llm/v1/completions": Texts,
    "llm/v1/embeddings": Vectors,
}


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[kind].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(_ANSWERED[kind], body)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error; what stands before the service answers 503 with a text."""
    if status != 503:
        check(ErrorBody, body)
