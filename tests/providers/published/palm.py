"""PaLM's types, which no SDK has any more: the service is gone.

Written down from the API's published definitions in version v1beta3, `text_service.proto`, `discuss_service.proto`,
`safety.proto` and `citation.proto` under https://github.com/googleapis/googleapis/tree/master/google/ai/generativelanguage,
and https://ai.google.dev/api/palm. JSON names are in camel case; Google reads the names of the definitions as well, and a
single value where a list is expected.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from tests.providers.published import gemini

Json = dict[str, Any]


class Strict(BaseModel):
    """Fields under the names of JSON or those of the definitions, and none beside them."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


HarmCategory = Literal[
    "HARM_CATEGORY_UNSPECIFIED",
    "HARM_CATEGORY_DEROGATORY",
    "HARM_CATEGORY_TOXICITY",
    "HARM_CATEGORY_VIOLENCE",
    "HARM_CATEGORY_SEXUAL",
    "HARM_CATEGORY_MEDICAL",
    "HARM_CATEGORY_DANGEROUS",
]


class SafetySetting(Strict):
    """What is blocked."""

    category: HarmCategory
    threshold: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE"]


class SafetyRating(Strict):
    """How likely a harm is."""

    category: HarmCategory
    probability: Literal["NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"]


class SafetyFeedback(Strict):
    """Why a harm was blocked."""

    rating: SafetyRating
    setting: SafetySetting


class ContentFilter(Strict):
    """Why there is no answer."""

    reason: Literal["BLOCKED_REASON_UNSPECIFIED", "SAFETY", "OTHER"]
    message: str | None = None


class CitationSource(Strict):
    """Where a part of an answer comes from."""

    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    license: str | None = None


class CitationMetadata(Strict):
    """Where an answer comes from."""

    citation_sources: list[CitationSource]


class Message(Strict):
    """A message of a conversation."""

    author: str | None = None
    content: str
    citation_metadata: CitationMetadata | None = None


class Example(Strict):
    """A question and its answer, as an example."""

    input: Message
    output: Message


class MessagePrompt(Strict):
    """A conversation."""

    context: str | None = None
    examples: list[Example] | None = None
    messages: list[Message]


class _Sampling(Strict):
    temperature: float | None = Field(None, ge=0, le=1)
    candidate_count: int | None = Field(None, ge=1, le=8)
    top_p: float | None = None
    top_k: int | None = None


class GenerateMessageRequest(_Sampling):
    """The body of `:generateMessage`."""

    prompt: MessagePrompt


class GenerateMessageResponse(Strict):
    """The answer of `:generateMessage`."""

    candidates: list[Message] | None = None
    messages: list[Message] | None = None
    filters: list[ContentFilter] | None = None


class TextPrompt(Strict):
    """A prompt."""

    text: str


class GenerateTextRequest(_Sampling):
    """The body of `:generateText`."""

    prompt: TextPrompt
    max_output_tokens: int | None = None
    safety_settings: list[SafetySetting] | None = None
    stop_sequences: list[str] | None = Field(None, max_length=5)


class TextCompletion(Strict):
    """One of the texts."""

    output: str
    safety_ratings: list[SafetyRating] | None = None
    citation_metadata: CitationMetadata | None = None


class GenerateTextResponse(Strict):
    """The answer of `:generateText`."""

    candidates: list[TextCompletion] | None = None
    filters: list[ContentFilter] | None = None
    safety_feedback: list[SafetyFeedback] | None = None


class BatchEmbedTextRequest(Strict):
    """The body of `:batchEmbedText`."""

    texts: list[str] | str


class Embedding(Strict):
    """A vector."""

    value: list[float]


class BatchEmbedTextResponse(Strict):
    """The answer of `:batchEmbedText`."""

    embeddings: list[Embedding]


ADDS = ()

_TYPES: Mapping[str, tuple[type[Strict], type[Strict]]] = {
    "generateMessage": (GenerateMessageRequest, GenerateMessageResponse),
    "generateText": (GenerateTextRequest, GenerateTextResponse),
    "batchEmbedText": (BatchEmbedTextRequest, BatchEmbedTextResponse),
}


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    TypeAdapter(_TYPES[gemini.operation(url)][0]).validate_python(body)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    TypeAdapter(_TYPES[gemini.operation(url)][1]).validate_python(json.loads(body))


check_error = gemini.check_error
