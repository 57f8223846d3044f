"""Anthropic's types: what goes in, what comes out, how its SDK folds a stream."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, MetadataParam, ParsedMessage, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsBase
from anthropic.types.shared import ErrorResponse
from pydantic import BaseModel, ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from tests.providers.published._strict import check, strict

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


_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_SENT = {"/messages": strict(MessagesParams), "/complete": strict(TextCompletionParams)}
_ANSWERED: Mapping[str, type[BaseModel]] = {"/messages": Message, "/complete": TextCompletion}

ADDS = ("thinking_blocks", "anthropic_blocks")
"""Thoughts with their signatures, and the blocks that OpenAI's answers have no place for."""

_STRANGERS = ("stop", "log_id")
"""Keys of the older completions that are there though no page knows them."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[_operation(url)].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    check(_ANSWERED[_operation(url)], body, known=_STRANGERS)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    check(ErrorResponse, body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    if data["type"] == "error":
        check(ErrorResponse, json.dumps(data).encode())
    elif data["type"] != "ping":
        known = _EVENT if _operation(url) == "/messages" else TextCompletion
        check(known, json.dumps(data).encode(), known=_STRANGERS)


def _operation(url: str) -> str:
    return url[url.rindex("/") :]


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
