"""AI21's types: those of its SDK for Jamba, held strictly; Jurassic-2, which the SDK has no more, is written down.

https://docs.ai21.com/reference/jamba-api-response, https://docs.ai21.com/reference/j2-complete-api-ref.
"""

import json
from typing import Any, Literal, Required

from ai21.models.chat import (
    AssistantMessage,
    ChatCompletionChunk,
    ChatCompletionResponse,
    DocumentSchema,
    ResponseFormat,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from tests.providers.published._mirrored import answered, sent
from tests.providers.published._strict import check, strict

Json = dict[str, Any]

_Message = UserMessage | AssistantMessage | ToolMessage | SystemMessage


class JambaParams(TypedDict, total=False):
    """`POST /chat/completions`: the parameters of the SDK's `chat.completions.create`."""

    model: Required[str]
    messages: Required[list[Any]]
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | list[str]
    n: int
    stream: bool
    tools: list[ToolDefinition]
    response_format: ResponseFormat
    documents: list[DocumentSchema]


class Penalty(TypedDict, total=False):
    """How much a repetition costs."""

    scale: Required[float]
    applyToWhitespaces: bool
    applyToPunctuations: bool
    applyToNumbers: bool
    applyToStopwords: bool
    applyToEmojis: bool


class JurassicParams(TypedDict, total=False):
    """`POST /{model}/complete`."""

    prompt: Required[str]
    numResults: int
    maxTokens: int
    minTokens: int
    temperature: float
    topP: float
    stopSequences: list[str]
    topKReturn: int
    frequencyPenalty: Penalty
    presencePenalty: Penalty
    countPenalty: Penalty
    logitBias: dict[str, float]


class Text(BaseModel):
    """A text, with its tokens."""

    model_config = ConfigDict(extra="forbid")

    text: str
    tokens: list[dict[str, Any]] | None = None


class FinishReason(BaseModel):
    """Why a text ends."""

    model_config = ConfigDict(extra="forbid")

    reason: Literal["length", "stop", "endoftext"]
    length: int | None = None
    sequence: str | None = None


class Completion(BaseModel):
    """One text."""

    model_config = ConfigDict(extra="forbid")

    data: Text
    finishReason: FinishReason


class Completions(BaseModel):
    """The answer of `/{model}/complete`."""

    model_config = ConfigDict(extra="forbid")

    id: str
    prompt: Text
    completions: list[Completion]


class ErrorBody(BaseModel):
    """An error. No page says what its body is; this is what the API's users saw of it."""

    model_config = ConfigDict(extra="allow")

    detail: str | list[dict[str, Any]]


_MESSAGES, _JAMBA, _JURASSIC = sent(list[_Message]), strict(JambaParams), strict(JurassicParams)
_ANSWER, _CHUNK = answered(ChatCompletionResponse), answered(ChatCompletionChunk)

_STRANGERS = ("model",)
"""What the page of the answer has and the SDK has not."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    if url.endswith("/complete"):
        _JURASSIC.validate_python(body, strict=True)
    else:
        _JAMBA.validate_python(body, strict=True)
        _MESSAGES.validate_python(body["messages"], strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(Completions if url.endswith("/complete") else _ANSWER, body, known=_STRANGERS)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    check(_CHUNK, json.dumps(data).encode(), known=_STRANGERS)
