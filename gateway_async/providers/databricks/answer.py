"""Answers and streams of Databricks in the standard shape: https://docs.databricks.com/aws/en/machine-learning.

Models that think answer with a list of content: thoughts under `reasoning`, the text behind them. Every chunk of a
stream has a role, and what was used so far. Thoughts stand under `reasoning_content` to be read, and signed or encrypted
under `thinking_blocks`, to be sent back with the next request.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from gateway_async.providers._answers import MALFORMED, embedding_list, text_of
from gateway_async.providers._base import Json
from gateway_async.providers._errors import error_message, invalid, reported_error
from gateway_async.providers.databricks.messages import PARTS
from gateway_async.providers.openai_format import reader as openai_reader
from gateway_async.sse import Event

_DETAILS = (
    ("cache_read_input_tokens", "prompt_tokens_details", "cached_tokens"),
    ("cache_creation_input_tokens", "prompt_tokens_details", "cache_write_tokens"),
    ("reasoning_tokens", "completion_tokens_details", "reasoning_tokens"),
)

_STATUS = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_EXHAUSTED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""What a code of an error would have answered, had it been known in time."""


def mend_answer(value: Json, provider: str) -> bool:
    """Bring an answer's content and usage into OpenAI's form; whether that changed anything.

    Raises:
        UpstreamError: It is an error.
    """
    _raise_reported(value, provider)
    changed = _mend_usage(value.get("usage"))
    for choice in _choices(value):
        message = choice.get("message")
        if isinstance(message, dict) and (thoughts := _mend_content(message, provider)) is not None:
            changed = True
            if kept := [thought for thought in thoughts if _goes_back(thought)]:
                message["thinking_blocks"] = kept
    return changed


def words_of(body: bytes) -> str | None:
    """What an error says where it passes on another's model's words; None where it does not."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    if not (inner := value.get("external_model_message") or value.get("external_model_error")):
        return None
    said, outer = error_message(orjson.dumps(inner)), value.get("error") or value.get("message")
    return f"{outer}: {said}" if isinstance(outer, str) else said


def as_base64(body: bytes, provider: str) -> bytes:
    """Embeddings, their vectors in base64."""
    value = orjson.loads(body)
    try:
        vectors = [row["embedding"] for row in value["data"]]
        if all(isinstance(vector, str) for vector in vectors):
            return body
        return orjson.dumps({**value, "data": embedding_list("", vectors, None, encoding="base64")["data"]})
    except MALFORMED:
        invalid(provider, "its answer holds a vector that is none")


class ChatReader(openai_reader.ChatReader):
    """Chunks of a chat.

    Args:
        provider: Name of the provider.
        model: Name of the model, for chunks that have none.
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, provider: str, model: str, *, include_usage: bool) -> None:
        super().__init__(provider, model)
        self._include_usage = include_usage
        self._used: Json | None = None
        self._last: Json = {}
        self._open: dict[int, Json] = {}
        self._thoughts: dict[int, int] = {}

    def event(self, event: Event) -> Iterable[bytes]:
        """The event's own bytes, if it is a chunk in the standard shape; at the end the usage."""
        if event.data == b"[DONE]":
            yield from self._usage()
        yield from super().event(event)

    def end(self) -> Iterable[bytes]:
        """The last chunks, where the stream ends without `[DONE]`."""
        yield from super().end()
        if not self.done:
            yield from self._usage()

    def json(self, event: Event) -> Json:
        """The event's data in OpenAI's form."""
        value = super().json(event)
        _raise_reported(value, self.provider)
        if isinstance(used := value.get("usage"), dict):
            self._used = value.pop("usage")
            _mend_usage(used)
            if value.get("choices") == []:
                value["choices"] = None  # it told of nothing else
        for choice in _choices(value):
            index, delta = choice.get("index"), choice.get("delta")
            if isinstance(index, int) and isinstance(delta, dict):
                self._mend_delta(index, delta, ends=choice.get("finish_reason") is not None)
        return value

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape."""
        super().standard_chunk(value)
        self._last = {name: value[name] for name in ("id", "object", "created", "model")}
        return True  # each has a usage, which was taken out of it

    def _mend_delta(self, index: int, delta: Json, *, ends: bool) -> None:
        whole: list[Json] = []
        for thought in _mend_content(delta, self.provider) or ():
            if "data" in thought:
                whole += [*self._closed(index), thought]
                continue
            block = self._open.setdefault(index, {"type": "thinking", "thinking": ""})
            block["thinking"] += thought["thinking"]
            if thought.get("signature"):
                block["signature"] = thought["signature"]
        if ends or delta.get("content") or delta.get("tool_calls"):
            whole += self._closed(index)
        if whole:
            first = self._thoughts.get(index, 0)
            self._thoughts[index] = first + len(whole)
            delta["thinking_blocks"] = [
                {"index": number, **block} for number, block in enumerate(whole, first)
            ]

    def _closed(self, index: int) -> list[Json]:
        """The thought that has been read so far, if it may go back."""
        block = self._open.pop(index, None)
        return [block] if block is not None and _goes_back(block) else []

    def _usage(self) -> Iterable[bytes]:
        used, self._used = self._used, None
        if self._include_usage and used is not None and self._last:
            yield orjson.dumps({**self._last, "choices": [], "usage": used})


class CompletionReader(ChatReader, openai_reader.CompletionReader):
    """Chunks of a completion."""


def _raise_reported(value: Json, provider: str) -> None:
    if (code := value.get("error_code")) and "choices" not in value:
        status = _STATUS.get(code) if isinstance(code, str) else None
        raise reported_error(provider, {"message": value.get("message") or code, "code": status})


def _choices(value: Json) -> list[Json]:
    choices = value.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _mend_usage(used: Any) -> bool:
    """Name the details of a usage as OpenAI does; they stay under their own names too."""
    changed = False
    for own, group, name in _DETAILS if isinstance(used, dict) else ():
        if isinstance(count := used.get(own), int) and count and isinstance(used.get(group) or {}, dict):
            used[group] = {**(used.get(group) or {}), name: count}
            changed = True
    return changed


def _mend_content(message: Json, provider: str) -> list[Json] | None:
    """Make a text of a message's content where it is a list; its thoughts, or None where it is none."""
    if not isinstance(parts := message.get("content"), list):
        return None
    try:
        thoughts = [
            _thought(item) for part in parts if part["type"] == "reasoning" for item in part["summary"]
        ]
        said = [part["text"] for part in parts if part["type"] == "text"]
        others = [part for part in parts if part["type"] not in ("reasoning", "text")]
        message["content"] = "".join(said) if said or others else None
        if thought := "".join(thought.get("thinking", "") for thought in thoughts):
            message["reasoning_content"] = thought
    except MALFORMED:
        invalid(provider, "a part of its content lacks what it should have")
    if others:
        message[PARTS] = others
    return thoughts


def _thought(item: Json) -> Json:
    if item.get("type") == "summary_encrypted_text":
        return {"type": "redacted_thinking", "data": text_of(item["data"])}
    signature = {"signature": item["signature"]} if item.get("signature") else {}
    return {"type": "thinking", "thinking": item["text"] or "", **signature}


def _goes_back(thought: Json) -> bool:
    """Whether a thought is of use in the next request: it is signed or encrypted."""
    return "data" in thought or bool(thought.get("signature"))
