"""OpenAI's types: what goes in, what comes out, how its SDK folds a stream."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion, CompletionChoice, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams as ChatParams
from openai.types.completion_create_params import CompletionCreateParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.shared import ErrorObject
from pydantic import BaseModel, ConfigDict

from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class UnfinishedChoice(CompletionChoice):
    """A choice of a streamed completion: OpenAI's type knows finished ones only, its API does not."""

    finish_reason: Literal["stop", "length", "content_filter"] | None = None  # type: ignore[assignment]


class CompletionPiece(Completion):
    """A piece of a streamed completion."""

    choices: list[UnfinishedChoice]  # type: ignore[assignment]


class ErrorBody(BaseModel):
    """OpenAI's error. https://platform.openai.com/docs/guides/error-codes."""

    model_config = ConfigDict(extra="allow")

    error: ErrorObject


_SENT = {
    "llm/v1/chat": strict(ChatParams),
    "llm/v1/completions": strict(CompletionCreateParams),
    "llm/v1/embeddings": strict(EmbeddingCreateParams),
}
_ANSWERED: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": ChatCompletion,
    "llm/v1/completions": Completion,
    "llm/v1/embeddings": CreateEmbeddingResponse,
}
_PIECES: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": ChatCompletionChunk,
    "llm/v1/completions": CompletionPiece,
}

STRANGERS = (
    *("content_filter_results", "content_filter_offsets", "prompt_filter_results"),  # Azure's
    *("reasoning_content", "cache_write_tokens"),  # what others have and OpenAI has not
)
"""Keys that are there though OpenAI's types do not know them."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[kind].validate_python({"model": "named in the address", **body}, strict=True)


def check_answered(kind: str, url: str, body: bytes, *, adds: Sequence[str] = ()) -> None:
    """Accept an answer that the API may give."""
    check(_ANSWERED[kind], body, known=(*STRANGERS, *adds))


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body, known=STRANGERS)


def check_event(kind: str, url: str, data: Json, *, adds: Sequence[str] = ()) -> None:
    """Accept the data of one event of a stream."""
    if data.get("object") != "":  # what Azure's filters say: OpenAI's SDK passes over it, too
        known = ErrorBody if "error" in data else _PIECES[kind]
        check(known, json.dumps(data).encode(), known=(*STRANGERS, *adds))


def fold_chunks(chunks: Sequence[Json]) -> Json:
    """The answer that OpenAI's SDK makes of a stream."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        if chunk["object"] != "":
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot.to_dict()
