"""Gemini's types: those of Google's SDK, which are lenient, held strictly; what the SDK has no type for is written down.

https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings.
"""

import base64
import json
import types as python_types
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from google.genai import types
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

Json = dict[str, Any]


class Camel(BaseModel, alias_generator=to_camel):
    """Fields that are written in camel case."""


class GenerateContentRequest(Camel):
    """The body of `:generateContent`; the SDK makes it of its own settings, and has no type of it."""

    contents: list[types.Content]
    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    safety_settings: list[types.SafetySetting] | None = None
    generation_config: types.GenerationConfig | None = None
    cached_content: str | None = None
    service_tier: types.ServiceTier | None = None
    store: bool | None = None


class EmbedContentRequest(Camel):
    """The body of `:embedContent`, and each of those of `:batchEmbedContents`, where the model is named."""

    content: types.Content
    model: str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(Camel):
    """The body of `:batchEmbedContents`."""

    requests: list[EmbedContentRequest]


class CitationMetadata(Camel):
    """Sources of an answer, under the name that they have on the wire; the SDK renames them."""

    citation_sources: list[types.Citation]


class Candidate(types.Candidate):
    """A candidate as it is on the wire."""

    citation_metadata: CitationMetadata | None = None  # type: ignore[assignment]


class UsageMetadata(types.GenerateContentResponseUsageMetadata):
    """Counts of tokens, and the tier that served; the SDK does not know it here."""

    service_tier: types.ServiceTier | None = None


class GenerateContentResponse(types.GenerateContentResponse):
    """The answer as it is on the wire."""

    candidates: list[Candidate] | None = None  # type: ignore[assignment]
    usage_metadata: UsageMetadata | None = None


class EmbedContentResponse(types.EmbedContentResponse):
    """The answer for one text or several: the SDK asks for several only."""

    embedding: types.ContentEmbedding | None = None


class Status(Camel):
    """https://cloud.google.com/apis/design/errors#http_mapping."""

    code: int
    message: str
    status: str
    details: list[dict[str, Any]] | None = None


class ErrorBody(Camel):
    """The body of an error."""

    error: Status


ADDS = ("extra_content",)
"""Where Google's own OpenAI format has what OpenAI's has no place for."""

_SENT: Mapping[str, type[BaseModel]] = {
    "generateContent": GenerateContentRequest,
    "streamGenerateContent": GenerateContentRequest,
    "embedContent": EmbedContentRequest,
    "batchEmbedContents": BatchEmbedContentsRequest,
}


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    hold(_SENT[operation(url)], body)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    embeds = "embed" in operation(url).lower()
    hold(EmbedContentResponse if embeds else GenerateContentResponse, json.loads(body))


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error; it is in a list where a stream was asked for."""
    value = json.loads(body)
    hold(ErrorBody, value[0] if isinstance(value, list) else value)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    hold(ErrorBody if "error" in data else GenerateContentResponse, data)


def operation(url: str) -> str:
    """What an address asks a model for."""
    return url.rpartition(":")[2].partition("?")[0]


def hold(kind: Any, value: Any, at: str = "body") -> None:
    """Accept JSON that is of a type: no unknown key, no number in a text, each name of an enumeration a known one.

    Raises:
        AssertionError: It is not; the message says where.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin is Annotated:
        hold(arguments[0], value, at)
    elif origin in (Union, python_types.UnionType):
        _hold_one(arguments, value, at)
    elif origin is list:
        assert isinstance(value, list), f"{at}: a list is expected"
        for index, part in enumerate(value):
            hold(arguments[0], part, f"{at}.{index}")
    elif origin is dict or kind is dict:
        assert isinstance(value, dict), f"{at}: an object is expected"
    elif issubclass(kind, BaseModel):
        _hold_fields(kind, value, at)
    elif issubclass(kind, Enum):
        assert value in {each.value for each in kind}, f"{at}: {value!r} is no {kind.__name__}"
    elif issubclass(kind, bytes):
        base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    elif issubclass(kind, datetime):
        datetime.fromisoformat(value)
    else:
        accepted = (int, float) if kind is float else kind
        assert isinstance(value, accepted), f"{at}: {value!r} is no {kind.__name__}"
        assert kind is bool or not isinstance(value, bool), f"{at}: {value!r} is no {kind.__name__}"


def _hold_one(kinds: tuple[Any, ...], value: Any, at: str) -> None:
    problems = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return hold(kind, value, at)
        except AssertionError as problem:
            problems.append(str(problem))
    raise AssertionError("; ".join(problems))


def _hold_fields(kind: type[BaseModel], value: Any, at: str) -> None:
    assert isinstance(value, dict), f"{at}: an object is expected"
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    assert set(value) <= set(fields), f"{at}: {kind.__name__} has no {set(value) - set(fields)}"
    missing = {name for name, field in fields.items() if field.is_required()} - set(value)
    assert not missing, f"{at}: {missing} of {kind.__name__} is missing"
    for name, part in value.items():
        hold(fields[name].annotation, part, f"{at}.{name}")
