"""Answers and streams in the OpenAI wire format: checked, filled in where something is missing, and else left alone.

https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming. What a check leaves as it was goes to
the caller as the bytes that came; each says whether it changed anything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._base import EventReader, Json, invalid, json_object, new_id, now
from gateway_async.sse import Event

_Shape = Mapping[str, type | tuple[type, ...]]

_FRAME: _Shape = {"id": str, "object": str, "created": int, "model": str, "usage": dict}
_CHOICE: _Shape = {"index": int, "finish_reason": str}
_MESSAGE: _Shape = {"role": str, "content": (str, list), "refusal": str, "tool_calls": list}
_TEXT: _Shape = {"text": str}
_ROW: _Shape = {"index": int, "object": str, "embedding": (list, str)}
"""The types of the fields that a caller reads; null is as good as absent, and other fields are the upstream's."""


def standard_answer(body: bytes, provider: str, kind: RouteType, model: str) -> bytes:
    """The answer in the standard shape.

    Raises:
        UpstreamInvalid: It is not what the format promises.
    """
    value = json_object(body, provider)
    _check(value, _FRAME, provider, "its answer")
    if kind is RouteType.LLM_V1_EMBEDDINGS:
        changed = _complete_embeddings(value, provider, model)
    elif kind is RouteType.LLM_V1_COMPLETIONS:
        changed = _complete_texts(value, provider, model)
    else:
        changed = _complete_chat(value, provider, model)
    return _dumps(value, provider) if changed else body


def _complete_chat(value: Json, provider: str, model: str) -> bool:
    changed = _complete(value, "chatcmpl", "chat.completion", model)
    for position, choice in enumerate(_choices(value, provider)):
        if not isinstance(choice.get("message"), dict):
            invalid(provider, "a choice of its answer has no message")
        _check(choice["message"], _MESSAGE, provider, "a message of its answer")
        changed |= _fill(choice, {"index": position})
    return changed


def _complete_texts(value: Json, provider: str, model: str) -> bool:
    changed = _complete(value, "cmpl", "text_completion", model)
    for position, choice in enumerate(_choices(value, provider)):
        # Some servers answer a completion in the shape of a chat.
        if "text" not in choice and isinstance(message := choice.pop("message", None), dict):
            choice["text"], changed = message.get("content") or "", True
        if not isinstance(choice.get("text"), str):
            invalid(provider, "a choice of its answer has no text")
        changed |= _fill(choice, {"index": position})
    if value["object"] != "text_completion":
        value["object"], changed = "text_completion", True
    return changed


def _complete_embeddings(value: Json, provider: str, model: str) -> bool:
    if not isinstance(rows := value.get("data"), list):
        invalid(provider, "its answer has no data")
    changed = _fill(value, {"object": "list", "model": model})
    for position, row in enumerate(rows):
        if _check(row, _ROW, provider, "a row of its answer").get("embedding") is None:
            invalid(provider, "a row of its answer has no embedding")
        changed |= _fill(row, {"index": position, "object": "embedding"})
    return changed


class ChatReader(EventReader):
    """Chat chunks, under one id and one time where the upstream gives none.

    Args:
        provider: Name of the provider.
        model: Name of the model, for chunks that have none.
    """

    kind = "chat.completion.chunk"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider)
        self._frame = {"id": new_id("chatcmpl"), "object": self.kind, "created": now(), "model": model}
        self._begun: set[int] = set()
        self._finished: set[int] = set()

    def event(self, event: Event) -> Iterable[bytes]:
        """The event's own bytes, if it is a chunk in the standard shape."""
        if event.data == b"[DONE]":
            self.done = True
            return
        value = self.json(event)
        if error := value.get("error") or (event.name == "error" and value):
            raise stream_error(self.provider, error)
        if value.get("choices") is None:
            return
        # A line end within the JSON would end the event too early on its way out.
        changed = self.standard_chunk(value) or b"\n" in event.data
        yield _dumps(value, self.provider) if changed else event.data

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape; whether that changed it."""
        _check(value, _FRAME, self.provider, "a chunk of its stream")
        changed = _fill(value, self._frame)
        for position, choice in enumerate(_choices(value, self.provider)):
            changed |= self.standard_choice(choice)
            changed |= _fill(choice, {"index": position})
            self._begun.add(choice["index"])
            if choice.get("finish_reason") is not None:
                self._finished.add(choice["index"])
        return changed

    def standard_choice(self, choice: Json) -> bool:
        """Bring a choice into the standard shape; whether that changed it."""
        # What Azure's asynchronous filter reports has no delta.
        changed = _fill(choice, {"delta": {}})
        _check(choice["delta"], _MESSAGE, self.provider, "a delta of its stream")
        return changed

    def complete(self) -> bool:
        """Some servers close after the finish reason without `[DONE]`."""
        return bool(self._finished) and self._begun <= self._finished


class CompletionReader(ChatReader):
    """Completion chunks, named as the documented pages name them."""

    kind = "text_completion_chunk"

    def standard_chunk(self, value: Json) -> bool:
        """The chunk with its object's name."""
        super().standard_chunk(value)
        value["object"] = self.kind
        return True

    def standard_choice(self, choice: Json) -> bool:
        """The choice with its text; a delta of a chat becomes it."""
        if "text" not in choice:
            delta = _check(choice.pop("delta", None) or {}, {}, self.provider, "a delta of its stream")
            choice["text"] = delta.get("content")
        _check(choice, _TEXT, self.provider, "a choice of its stream")
        return True


def stream_error(provider: str, error: object) -> UpstreamError:
    """The error that an upstream reports within its stream."""
    said = error.get("message") if isinstance(error, dict) else error
    return UpstreamError(f"{provider} reports an error in its stream: {said or error}", provider=provider)


def _check(value: Any, shape: _Shape, provider: str, what: str) -> Json:
    """The object, whose fields must have the shape's types where they are there.

    Raises:
        UpstreamInvalid: They have not, or it is no object.
    """
    if not isinstance(value, dict):
        invalid(provider, f"{what} is not an object")
    for key, kind in shape.items():
        if (found := value.get(key)) is not None and not isinstance(found, kind):
            invalid(provider, f"{key!r} in {what} is not of its type")
    return value


def _choices(value: Json, provider: str) -> list[Json]:
    if not isinstance(choices := value.get("choices"), list):
        invalid(provider, "its answer has no choices")
    for choice in choices:
        _check(choice, _CHOICE, provider, "a choice of its answer")
    return choices


def _complete(value: Json, prefix: str, kind: str, model: str) -> bool:
    """Put in what stands around the choices and the upstream left out; whether there was anything."""
    if value.get("id") and all(value.get(key) is not None for key in ("object", "created", "model")):
        return False
    value["id"] = value.get("id") or new_id(prefix)
    _fill(value, {"object": kind, "created": now(), "model": model})
    return True


def _fill(value: Json, defaults: Mapping[str, Any]) -> bool:
    """Put in what is missing; whether anything was."""
    missing = [key for key in defaults if value.get(key) is None]
    for key in missing:
        value[key] = defaults[key]
    return bool(missing)


def _dumps(value: Json, provider: str) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        invalid(provider, "its answer is nested too deeply")
