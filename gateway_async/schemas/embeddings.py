"""Embeddings: texts as vectors.

Wire format: https://platform.openai.com/docs/api-reference/embeddings. Fields that are not listed are kept.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gateway_async.base_models import RequestModel, ResponseModel, Several
from gateway_async.schemas.usage import EmbeddingsUsage

Texts = Annotated[
    str
    | Annotated[Several[str], Field(min_length=1)]
    | Annotated[Several[int], Field(min_length=1)]
    | Annotated[Several[Annotated[Several[int], Field(min_length=1)]], Field(min_length=1)],
    Field(union_mode="smart"),
]


def text_as_input(data: Any) -> Any:
    """The request with its texts under `input`, where it has them under `text`."""
    if isinstance(data, dict) and "text" in data and data.get("input") is None:
        return {("input" if key == "text" else key): value for key, value in data.items() if key != "input"}
    return data


class EmbeddingRequest(RequestModel):
    """Texts to embed: a text, several, or the same as tokens.

    They stand under `input`, or under `text` as the documented examples of `mlflow.gateway` write it.
    """

    input: Texts
    dimensions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    model: str | None = None
    """The route's name under `/v1`; refused under `/gateway/…`, where the address names the route."""

    @model_validator(mode="before")
    @classmethod
    def take_text(cls, data: Any) -> Any:
        """Read `text` as `input`."""
        return text_as_input(data)


class Embedding(ResponseModel):
    """The vector of one text; base64 of little-endian 32-bit floats where the request asked for that."""

    object: str = "embedding"
    embedding: list[float] | str
    index: int


class EmbeddingResponse(ResponseModel):
    """The vectors, in the order of the texts."""

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage | None = None
