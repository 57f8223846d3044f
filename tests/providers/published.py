"""What the vendors publish: the types of what goes in and what comes out, and how they fold their own streams.

The types are those of their SDKs, held strictly: no key that they do not know, no number in a string. What their SDKs
no longer have, though the API still takes it, is written down here with the page that says so.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, MetadataParam, ParsedMessage, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsBase
from anthropic.types.shared import ErrorResponse
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion, CompletionChoice, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams as ChatParams
from openai.types.completion_create_params import CompletionCreateParams
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.shared import ErrorObject
from pydantic import BaseModel, ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict, get_type_hints, is_typeddict

Json = dict[str, Any]


class MessagesParams(MessageCreateParamsBase, total=False):
    """`POST /v1/messages` in version 2023-06-01, which has what 2026-10-21, and with it the SDK, has no more.

    https://platform.claude.com/docs/en/api/versioning
    """

    temperature: float
    top_p: float
    top_k: int
    stream: bool


class TextCompletionParams(TypedDict, total=False):
    """`POST /v1/complete`, which the SDK has no more. https://docs.anthropic.com/en/api/complete."""

    model: Required[str]
    prompt: Required[str]
    max_tokens_to_sample: Required[int]
    stop_sequences: list[str]
    temperature: float
    top_p: float
    top_k: int
    metadata: MetadataParam
    stream: bool


class TextCompletion(BaseModel):
    """What `/v1/complete` answers, whole or piece by piece. https://docs.anthropic.com/en/api/complete."""

    model_config = ConfigDict(extra="allow")

    type: Literal["completion"]
    id: str
    completion: str
    stop_reason: Literal["stop_sequence", "max_tokens"] | None
    model: str


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


@cache
def _eager(kind: Any) -> Any:
    """A type of parameters that is checked to its depths at once: lists for iterables, and none of the types of answers.

    pydantic looks into an iterable only when somebody reads it, and takes the first kind of it that it meets; and the
    types of answers, which some lists accept too, keep keys that they do not know.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        fields = {name: _field(hint, required=name in kind.__required_keys__) for name, hint in hints.items()}
        made = TypedDict(kind.__name__, fields, total=False)  # type: ignore[misc] # made at run time
        config = getattr(kind, "__pydantic_config__", ConfigDict(extra="forbid"))
        return with_config(config)(made)
    if origin is Annotated:
        return _eager(arguments[0])
    if origin is Union:
        return Union[tuple(_eager(one) for one in arguments if not _is_answer(one))]  # noqa: UP007 # made at run time
    if origin in (list, Iterable, Sequence):
        return list[_eager(arguments[0])]  # type: ignore[misc] # made at run time
    if origin is dict:
        return dict[arguments[0], _eager(arguments[1])]  # type: ignore[misc, valid-type] # made at run time
    return kind


def _field(hint: Any, *, required: bool) -> Any:
    if get_origin(hint) is Required:
        required, hint = True, get_args(hint)[0]
    return Required[_eager(hint)] if required else _eager(hint)


def _is_answer(kind: Any) -> bool:
    one = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return any(isinstance(part, type) and issubclass(part, BaseModel) for part in get_args(one) or (one,))


def _strict(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_eager(kind))


_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)

_SENT = {
    ("openai", "llm/v1/chat"): _strict(ChatParams),
    ("openai", "llm/v1/completions"): _strict(CompletionCreateParams),
    ("openai", "llm/v1/embeddings"): _strict(EmbeddingCreateParams),
    ("anthropic", "llm/v1/chat"): _strict(MessagesParams),
    ("anthropic", "llm/v1/completions"): _strict(TextCompletionParams),
}

_ANSWERED: Mapping[tuple[str, str], type[BaseModel]] = {
    ("openai", "llm/v1/chat"): ChatCompletion,
    ("openai", "llm/v1/completions"): Completion,
    ("openai", "llm/v1/embeddings"): CreateEmbeddingResponse,
    ("anthropic", "llm/v1/chat"): Message,
    ("anthropic", "llm/v1/completions"): TextCompletion,
}

_ERRORS: Mapping[str, type[BaseModel]] = {"openai": ErrorBody, "anthropic": ErrorResponse}

_STRANGERS = {
    *("content_filter_results", "content_filter_offsets", "prompt_filter_results"),  # Azure's
    *("stop", "log_id"),  # of Anthropic's older completions
    *("reasoning_content", "thinking_blocks", "anthropic_blocks"),  # ours, for what Anthropic adds
}
"""Keys that are there though OpenAI's and Anthropic's types do not know them."""


def check_sent(provider: str, kind: str, body: Json) -> None:
    """Accept a body that the vendor's API takes.

    Raises:
        ValidationError: A key is unknown, missing, or of another type.
    """
    _SENT[provider, kind].validate_python({"model": "named in the address", **body}, strict=True)


def check_answered(provider: str, kind: str, body: bytes) -> None:
    """Accept an answer that the vendor's API may give."""
    _check(_ANSWERED[provider, kind], body)


def check_error(provider: str, body: bytes) -> None:
    """Accept the body of an error of the vendor's API."""
    _check(_ERRORS[provider], body)


def check_event(provider: str, kind: str, data: Json) -> None:
    """Accept the data of one event of the vendor's stream."""
    body = json.dumps(data).encode()
    if provider == "openai":
        if data.get("object") != "":  # what Azure's filters say: OpenAI's SDK passes over it, too
            _check(ErrorBody if "error" in data else _PIECES[kind], body)
    elif data["type"] == "error":
        _check(ErrorResponse, body)
    elif data["type"] != "ping":
        _check(_EVENT if kind == "llm/v1/chat" else TextCompletion, body)


_PIECES: Mapping[str, type[BaseModel]] = {
    "llm/v1/chat": ChatCompletionChunk,
    "llm/v1/completions": CompletionPiece,
}


def _check(kind: type[BaseModel] | TypeAdapter[Any], body: bytes) -> None:
    if isinstance(kind, TypeAdapter):
        checked = kind.validate_json(body, strict=True)
    else:
        checked = kind.model_validate_json(body, strict=True)
    assert set(_strangers(checked)) <= _STRANGERS


def _strangers(value: Any) -> Iterator[str]:
    """The keys that stand in a model which does not know them."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _strangers(part)


def fold_chunks(chunks: Sequence[Json]) -> Json:
    """The answer that OpenAI's SDK makes of a stream."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        if chunk["object"] != "":
            state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot.to_dict()


def fold_events(events: Sequence[Json]) -> Json:
    """The message that Anthropic's SDK makes of a stream."""
    snapshot: ParsedMessage[None] | None = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] != "ping":
            checked = _EVENT.validate_python(event)
            snapshot = accumulate_event(event=checked, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return snapshot.to_dict()
