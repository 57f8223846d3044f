"""Mistral's types, as its SDK has them."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from mistralai.client.models import (
    ChatCompletionRequestTypedDict,
    ChatCompletionResponseTypedDict,
    CompletionChunkTypedDict,
    EmbeddingRequestTypedDict,
    EmbeddingResponseTypedDict,
    FIMCompletionRequestTypedDict,
    FIMCompletionResponseTypedDict,
    UsageInfoTypedDict,
)
from pydantic import BaseModel, ConfigDict, TypeAdapter, with_config

from tests.providers.published._strict import strict

Json = dict[str, Any]

# The SDK's own type of the usage keeps whatever stands there beside.
with_config(ConfigDict(extra="allow"))(UsageInfoTypedDict)

_SENT = {
    "chat/completions": strict(ChatCompletionRequestTypedDict),
    "fim/completions": strict(FIMCompletionRequestTypedDict),
    "embeddings": strict(EmbeddingRequestTypedDict),
}
_ANSWERED: Mapping[str, TypeAdapter[Any]] = {
    "chat/completions": strict(ChatCompletionResponseTypedDict),
    "fim/completions": strict(FIMCompletionResponseTypedDict),
    "embeddings": strict(EmbeddingResponseTypedDict),
}
_EVENT = strict(CompletionChunkTypedDict)

_RENAMED = {"input": "inputs", "schema": "schema_definition", "bytes": "bytes_"}
"""Names on the wire that stand under another in the SDK's types."""

ADDS = (
    *("mistral_blocks", "prompt_audio_seconds", "service_tier", "token_id"),
    *("id", "completion_tokens", "prompt_tokens_details"),  # of embeddings
)
"""Chunks that OpenAI's answers have no place for, and what Mistral tells of a usage and of tokens beside."""


class _Error(BaseModel):
    """https://docs.mistral.ai/api and the answers in https://github.com/mistralai/client-python/issues/441."""

    model_config = ConfigDict(extra="forbid", strict=True)

    object: Literal["error", "Error"]
    message: str | Json | list[Json]
    type: str
    param: str | None = None
    code: str | int | None = None
    detail: list[Json] | None = None
    raw_status_code: int | None = None


class _Gate(BaseModel):
    """What stands before the API, where the key or the rate is wrong: `Unauthorized` and the like."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: str
    request_id: str | None = None


class _Detail(BaseModel):
    """The same without more, or the SDK's `HTTPValidationErrorData`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    detail: str | list[Json]


_ERROR: TypeAdapter[_Error | _Gate | _Detail] = TypeAdapter(_Error | _Gate | _Detail)


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[_operation(url)].validate_python(_named(body), strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    _ANSWERED[_operation(url)].validate_python(_named(json.loads(body)), strict=True)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    _ERROR.validate_json(body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    if "choices" in data:
        _EVENT.validate_python(_named(data), strict=True)
    else:
        _ERROR.validate_python(data)


def _operation(url: str) -> str:
    return url.partition("/v1/")[2]


def _named(value: Any) -> Any:
    """The value with the SDK's names, but for what a caller names himself: the schemas of tools and of answers."""
    if isinstance(value, list):
        return [_named(part) for part in value]
    if not isinstance(value, dict):
        return value
    own = ("parameters", "arguments", "schema", "metadata")
    return {_RENAMED.get(key, key): part if key in own else _named(part) for key, part in value.items()}
