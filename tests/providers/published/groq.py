"""Groq's types: what goes in and what comes out, by its SDK."""

import json
from typing import Any

from groq.types.chat import ChatCompletion, ChatCompletionChunk
from groq.types.chat.completion_create_params import CompletionCreateParams
from pydantic import BaseModel, ConfigDict

from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class ErrorObject(BaseModel):
    """https://console.groq.com/docs/errors."""

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    code: str | None = None
    param: str | None = None  # on no page, and in some of the answers


class ErrorBody(BaseModel):
    """What stands in the body of an error."""

    model_config = ConfigDict(extra="allow")

    error: ErrorObject


_SENT = strict(CompletionCreateParams)

ADDS = ("x_groq", "queue_time", "prompt_time", "completion_time", "total_time", "reasoning")


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes; completions are chats."""
    assert url.endswith("/openai/v1/chat/completions")
    # The chunk's type speaks of this one, the type of the parameters has forgotten it.
    known = {key: value for key, value in body.items() if key != "stream_options"}
    _SENT.validate_python(known, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(ChatCompletion, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    check(ChatCompletionChunk, json.dumps(data).encode())


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body)
