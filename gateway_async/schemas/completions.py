"""Completions: a text that the model continues.

Wire format: https://platform.openai.com/docs/api-reference/completions. Fields that are not listed are kept.
"""

from typing import Annotated, Any

from pydantic import Field

from gateway_async.base_models import ResponseModel, Several
from gateway_async.schemas.sampling import PositiveInt64, SamplingParameters
from gateway_async.schemas.usage import Usage


class CompletionRequest(SamplingParameters):
    """A text to continue."""

    prompt: str | Several[str] | Several[int] | Several[Several[int]]
    """A text, several, or the same as tokens."""

    suffix: str | None = None
    echo: bool | None = None
    """Repeat the prompt before the answer."""

    best_of: PositiveInt64 | None = None
    logprobs: Annotated[int, Field(ge=0)] | None = None


class CompletionChoice(ResponseModel):
    """One of the answers, whole or, in a stream, the next piece of it."""

    index: int
    text: str | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class CompletionResponse(ResponseModel):
    """The answer to a completion request."""

    id: str | None = None
    object: str = "text_completion"
    created: int
    """Seconds since 1970."""

    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None


class CompletionChunk(ResponseModel):
    """A piece of a streamed answer."""

    id: str | None = None
    object: str = "text_completion_chunk"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
