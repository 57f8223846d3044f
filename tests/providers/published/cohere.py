"""Cohere's types: those of its SDK, held strictly; what v1 had and the SDK has no more is written down.

The SDK's models keep what they do not know; `_mirrored` makes strict ones of them.
"""

import json
from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any
from urllib.parse import urlsplit

from cohere.raw_base_client import RawBaseCohere
from cohere.types import (
    EmbedByTypeResponse,
    EmbeddingsByTypeEmbedResponse,
    EmbeddingsFloatsEmbedResponse,
    GenerateStreamedResponse,
    Generation,
    NonStreamedChatResponse,
    StreamedChatResponse,
)
from cohere.v2.raw_client import RawV2Client
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from tests.providers.published._mirrored import answered, mirrored
from tests.providers.published._strict import check

Json = dict[str, Any]

ADDS = ("tool_plan", "citations", "documents", "search_queries", "search_results")
"""The plan before calls of tools, and what a text rests on."""

_STRANGERS = (
    *("token_count", "tool_inputs"),  # v1's chat before `meta` had the tokens
    "is_finished",  # in events of v1's chat
    "response_type",  # in v1's embeddings of old
    "finish_reason",  # in v1's generations
    *("content", "tool_plan", "tool_calls", "citations"),  # the empty message that a stream of v2 begins with
)
"""Keys that are there though the SDK's types do not know them."""


def _parameters(method: Callable[..., Any], **more: Any) -> TypeAdapter[Any]:
    """The type of a body: the parameters of the SDK's method that sends it.

    Args:
        method: The method.
        more: What the API takes beyond them.
    """
    fields: dict[str, Any] = {}
    for name, parameter in signature(method).parameters.items():
        if name not in ("self", "accepts", "request_options"):
            kind = mirrored(parameter.annotation, "forbid")
            fields[name] = (kind, ... if parameter.default is Parameter.empty else None)
    fields |= {name: (kind, None) for name, kind in more.items()}
    return TypeAdapter(create_model(method.__name__, __config__=ConfigDict(extra="forbid"), **fields))


class ErrorBody(BaseModel):
    """An error. https://docs.cohere.com/reference/errors."""

    model_config = ConfigDict(extra="allow")

    message: str


_SENT = {
    "/v1/chat": _parameters(RawBaseCohere.chat_stream, preamble_override=str, stream=bool),
    "/v1/generate": _parameters(RawBaseCohere.generate_stream, stream=bool),
    "/v1/embed": _parameters(RawBaseCohere.embed),
    "/v2/chat": _parameters(RawV2Client.chat, stream=bool),
    "/v2/embed": _parameters(RawV2Client.embed),
}
"""`preamble_override` is what `preamble` was called at first, and what the documented gateway sends:
https://docs.cohere.com/v1/reference/chat."""

_ANSWERED = {
    "/v1/chat": answered(NonStreamedChatResponse),
    "/v1/generate": answered(Generation),
    "/v1/embed": answered(EmbeddingsFloatsEmbedResponse | EmbeddingsByTypeEmbedResponse),
    "/v2/chat": answered(V2ChatResponse),
    "/v2/embed": answered(EmbedByTypeResponse),
}
_EVENT = {
    "/v1/chat": answered(StreamedChatResponse),
    "/v1/generate": answered(GenerateStreamedResponse),
    "/v2/chat": answered(V2ChatStreamResponse),
}


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[_operation(url)].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(_ANSWERED[_operation(url)], body, known=_STRANGERS)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorBody, body, known=("id",))


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    check(_EVENT[_operation(url)], json.dumps(data).encode(), known=_STRANGERS)


def _operation(url: str) -> str:
    version, operation = urlsplit(url).path.split("/")[-2:]
    return f"/{version}/{operation}"
