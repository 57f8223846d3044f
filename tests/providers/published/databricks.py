"""Databricks' types: OpenAI's, with what its own pages add. Its SDK knows the older half of them only.

https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference (requests, answers, usage),
…/machine-learning/model-serving/query-reason-models (thoughts), https://docs.databricks.com/api/workspace/servingendpoints/query
(what the endpoints of others' models take). Errors: `databricks.sdk.errors`.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Required

from databricks.sdk.service.serving import QueryEndpointResponse
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    chat_completion,
    chat_completion_chunk,
)
from openai.types.chat.chat_completion_function_tool_param import ChatCompletionFunctionToolParam
from openai.types.chat.chat_completion_message_function_tool_call_param import (
    ChatCompletionMessageFunctionToolCallParam,
)
from openai.types.chat.chat_completion_tool_choice_option_param import ChatCompletionToolChoiceOptionParam
from openai.types.chat.completion_create_params import ResponseFormat
from openai.types.completion_usage import CompletionUsage
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from tests.providers.published._strict import check, strict
from tests.providers.published.openai import STRANGERS, CompletionPiece

Json = dict[str, Any]


# --- requests -----------------------------------------------------------------------------------------------------


class CacheControl(TypedDict):
    """Asks for a cache of the prompt, with Claude."""

    type: Literal["ephemeral"]


class TextParam(TypedDict, total=False):
    """A text."""

    type: Required[Literal["text"]]
    text: Required[str]
    cache_control: CacheControl


class ImageURLParam(TypedDict, total=False):
    """Where an image is."""

    url: Required[str]
    detail: Literal["auto", "low", "high"]


class ImageParam(TypedDict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageURLParam


class SummaryParam(TypedDict, total=False):
    """A thought."""

    type: Required[Literal["summary_text"]]
    text: Required[str]
    signature: str


class EncryptedSummaryParam(TypedDict):
    """A thought that only the model reads."""

    type: Literal["summary_encrypted_text"]
    data: str


class ReasoningParam(TypedDict):
    """Thoughts of an earlier answer."""

    type: Literal["reasoning"]
    summary: list[SummaryParam | EncryptedSummaryParam]


class MessageParam(TypedDict, total=False):
    """A message."""

    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: str | list[TextParam | ImageParam | ReasoningParam]
    tool_calls: list[ChatCompletionMessageFunctionToolCallParam]
    tool_call_id: str


class ThinkingParam(TypedDict, total=False):
    """How much Claude thinks."""

    type: Required[Literal["enabled", "adaptive", "disabled"]]
    budget_tokens: int


class SamplingParams(TypedDict, total=False):
    """What chat and completions have in common."""

    max_tokens: int
    stream: bool
    temperature: float
    top_p: float
    top_k: int
    stop: list[str] | str
    n: int
    client_request_id: str
    usage_context: dict[str, str]
    extra_params: dict[str, str]
    frequency_penalty: float
    presence_penalty: float
    seed: int
    user: str


class ChatParams(SamplingParams, total=False):
    """A request of a chat."""

    messages: Required[list[MessageParam]]
    tools: list[ChatCompletionFunctionToolParam]
    tool_choice: ChatCompletionToolChoiceOptionParam
    response_format: ResponseFormat
    logprobs: bool
    top_logprobs: int
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"]
    thinking: ThinkingParam
    parallel_tool_calls: bool
    logit_bias: dict[str, int]


class CompletionParams(SamplingParams, total=False):
    """A request of a completion."""

    prompt: Required[str | list[str]]
    suffix: str
    echo: bool
    error_behavior: Literal["truncate", "error"]
    use_raw_prompt: bool
    logprobs: int


class EmbeddingParams(TypedDict, total=False):
    """A request of embeddings."""

    input: Required[str | list[str]]
    instruction: str | list[str]
    dimensions: int
    user: str


# --- answers ------------------------------------------------------------------------------------------------------


class TextItem(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="allow")

    type: Literal["text"]
    text: str


class Summary(BaseModel):
    """A thought."""

    model_config = ConfigDict(extra="allow")

    type: Literal["summary_text"]
    text: str
    signature: str | None = None


class EncryptedSummary(BaseModel):
    """A thought that only the model reads."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["summary_encrypted_text"]
    data: str


class ReasoningItem(BaseModel):
    """Thoughts."""

    model_config = ConfigDict(extra="allow")

    type: Literal["reasoning"]
    summary: list[Summary | EncryptedSummary]


Content = str | list[TextItem | ReasoningItem] | None


class Usage(CompletionUsage):
    """What was used."""

    reasoning_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Message(ChatCompletionMessage):
    """A message, whose content may be a list."""

    content: Content = None  # type: ignore[assignment]


class Choice(chat_completion.Choice):
    """A choice."""

    message: Message


class Chat(ChatCompletion):
    """An answer to a chat."""

    choices: list[Choice]  # type: ignore[assignment]
    usage: Usage | None = None


class Delta(chat_completion_chunk.ChoiceDelta):
    """A piece of a message, whose content may be a list."""

    content: Content = None  # type: ignore[assignment]


class ChunkChoice(chat_completion_chunk.Choice):
    """A choice of a chunk."""

    delta: Delta


class Chunk(ChatCompletionChunk):
    """A piece of an answer to a chat."""

    choices: list[ChunkChoice]  # type: ignore[assignment]
    usage: Usage | None = None


class ErrorBody(BaseModel):
    """An error of Databricks' APIs."""

    model_config = ConfigDict(extra="allow")

    error_code: str
    message: str
    details: list[Any] | None = None


_SENT = {
    "llm/v1/chat": strict(ChatParams),
    "llm/v1/completions": strict(CompletionParams),
    "llm/v1/embeddings": strict(EmbeddingParams),
}
_ANSWERED: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": Chat,
    "llm/v1/completions": Completion,
    "llm/v1/embeddings": CreateEmbeddingResponse,
}
_PIECES: Mapping[str, type[BaseModel]] = {"llm/v1/chat": Chunk, "llm/v1/completions": CompletionPiece}

ADDS = (
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "databricks_parts",
    "reasoning_tokens",
    "thinking_blocks",
)
"""Thoughts with their signatures, parts that are no text, and counts under Databricks' own names."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that an endpoint takes."""
    _SENT[kind].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that an endpoint may give; Databricks' SDK reads it, too."""
    check(_ANSWERED[kind], body, known=STRANGERS)
    QueryEndpointResponse.from_dict(json.loads(body))


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    known = ErrorBody if "error_code" in data else _PIECES[kind]
    check(known, json.dumps(data).encode(), known=STRANGERS)
