"""Together AI's types, as its SDK has them, and what its API takes and says beside."""

import json
from collections.abc import Mapping
from typing import Any, Literal, Required

from pydantic import BaseModel, ConfigDict
from together.types import Completion, Embedding
from together.types import completion_chunk as text
from together.types.chat import ChatCompletion, chat_completion_chunk
from together.types.chat.chat_completion_assistant_message_param import ChatCompletionAssistantMessageParam
from together.types.chat.chat_completion_system_message_param import ChatCompletionSystemMessageParam
from together.types.chat.chat_completion_tool_message_param import ChatCompletionToolMessageParam
from together.types.chat.chat_completion_user_message_param import ChatCompletionUserMessageParam
from together.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParamsBase
from together.types.completion_create_params import CompletionCreateParamsBase
from together.types.embedding_create_params import EmbeddingCreateParams
from typing_extensions import TypedDict

from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class _Named(TypedDict):
    name: str


class NamedFunction(TypedDict):
    """One function that must be called. https://docs.together.ai/docs/function-calling (tool_choice)."""

    type: Literal["function"]
    function: _Named


class _Called(TypedDict):
    name: str
    arguments: str


class Call(TypedDict, total=False):
    """A call sent back; its number may be left out. https://docs.together.ai/docs/function-calling."""

    id: Required[str]
    type: Required[Literal["function"]]
    function: Required[_Called]
    index: float


class Assistant(ChatCompletionAssistantMessageParam, total=False):
    """What the model has said before."""

    tool_calls: list[Call]  # type: ignore[misc]


class ChatParams(ChatParamsBase, total=False):
    """`POST /v1/chat/completions`."""

    messages: Required[  # type: ignore[misc]
        list[
            ChatCompletionSystemMessageParam
            | ChatCompletionUserMessageParam
            | Assistant
            | ChatCompletionToolMessageParam
        ]
    ]
    tool_choice: Literal["auto", "none", "required"] | NamedFunction  # type: ignore[misc]
    stream: bool


class CompletionParams(CompletionCreateParamsBase, total=False):
    """`POST /v1/completions`."""

    stream: bool


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message: str
    type: str | None
    param: str | None
    code: str | int | None


class ErrorBody(BaseModel):
    """https://docs.together.ai/docs/error-codes; https://github.com/HeyPuter/puter/issues/3168."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    error: _Said


_SENT = {
    "llm/v1/chat": strict(ChatParams),
    "llm/v1/completions": strict(CompletionParams),
    "llm/v1/embeddings": strict(EmbeddingCreateParams),
}
_ANSWERED: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": ChatCompletion,
    "llm/v1/completions": Completion,
    "llm/v1/embeddings": Embedding,
}
_PIECES: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": chat_completion_chunk.ChatCompletionChunk,
    "llm/v1/completions": text.CompletionChunk,
}

ADDS = (
    *("prompt", "reasoning", "seed", "text", "warnings", "request_id"),
    *("token", "token_id", "token_ids", "tokens", "token_logprobs", "top_logprobs", "delta"),
)
"""The prompt repeated, thoughts under their own name too, the seed used, the ids and likelihoods of tokens, the text twice."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[kind].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(_ANSWERED[kind], body)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    check(ErrorBody if "error" in data else _PIECES[kind], json.dumps(data).encode())
