"""Answers and streams in the OpenAI wire format: checked, filled in where something is missing, and else left alone.

https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming. What a check leaves as it was goes to
the caller as the bytes that came; each says whether it changed anything.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.providers._answers import json_object, new_id, now
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid, reported_error
from gateway_async.providers._streams import EventReader
from gateway_async.providers.openai_format.likeness import Likeness
from gateway_async.sse import Event

_Shape = Mapping[str, type | tuple[type, ...]]
"""The types of the fields that a caller reads; null is as good as absent, and other fields are the upstream's."""

_FRAME: _Shape = {"id": str, "object": str, "created": int, "model": str, "usage": dict}
_CHOICE: _Shape = {"index": int, "finish_reason": str, "message": dict, "delta": dict, "text": str}
_MESSAGE: _Shape = {"role": str, "content": (str, list), "refusal": str, "tool_calls": list}
_ROW: _Shape = {"index": int, "object": str, "embedding": (list, str)}

_NOTHING: Mapping[str, Any] = {}


def standard_answer(
    body: bytes, provider: str, kind: RouteType, model: str, *, mend: Callable[[Json], bool] | None = None
) -> bytes:
    """The answer in the standard shape.

    Args:
        body: The upstream's answer.
        provider: Name of the provider.
        kind: The type of the route.
        model: Name of the model, for an answer that has none.
        mend: Changes what the provider does in its own way, before all else; whether it changed anything.

    Raises:
        UpstreamInvalid: It is not what the format promises.
        UpstreamError: It is an error, under a status that says otherwise.
    """
    value = json_object(body, provider)
    mended = mend is not None and mend(value)
    if "choices" not in value and "data" not in value and value.get("error"):
        raise reported_error(provider, value["error"])
    if kind is RouteType.LLM_V1_EMBEDDINGS:
        changed = _complete_embeddings(value, provider, model)
    elif kind is RouteType.LLM_V1_COMPLETIONS:
        changed = _complete_texts(value, provider, model)
    else:
        changed = _complete_chat(value, provider, model)
    return _dumps(value, provider) if changed or mended else body


def _complete_chat(value: Json, provider: str, model: str) -> bool:
    changed = _complete_frame(value, provider, "chatcmpl", "chat.completion", model)
    for position, choice in enumerate(_choices(value, provider)):
        changed |= _complete(choice, _CHOICE, {"index": position}, provider, "a choice of its answer")
        if choice.get("message") is None:
            invalid(provider, "a choice of its answer has no message")
        _complete(choice["message"], _MESSAGE, _NOTHING, provider, "a message of its answer")
    return changed


def _complete_texts(value: Json, provider: str, model: str) -> bool:
    changed = _complete_frame(value, provider, "cmpl", "text_completion", model)
    for position, choice in enumerate(_choices(value, provider)):
        changed |= _complete(choice, _CHOICE, {"index": position}, provider, "a choice of its answer")
        # Some servers answer a completion in the shape of a chat.
        if "text" not in choice and (message := choice.pop("message", None)):
            choice["text"], changed = message.get("content") or "", True
        if not isinstance(choice.get("text"), str):
            invalid(provider, "a choice of its answer has no text")
    if value["object"] != "text_completion":
        value["object"], changed = "text_completion", True
    return changed


def _complete_embeddings(value: Json, provider: str, model: str) -> bool:
    changed = _complete(value, _FRAME, {"object": "list", "model": model}, provider, "its answer")
    if not isinstance(rows := value.get("data"), list):
        invalid(provider, "its answer has no data")
    for position, row in enumerate(rows):
        missing = {"index": position, "object": "embedding"}
        changed |= _complete(row, _ROW, missing, provider, "a row of its answer")
        if row.get("embedding") is None:
            invalid(provider, "a row of its answer has no embedding")
    return changed


class ChatReader(EventReader):
    """Chat chunks, under one id and one time where the upstream gives none.

    Args:
        provider: Name of the provider.
        model: Name of the model, for chunks that have none.
    """

    kind = "chat.completion.chunk"
    missing: Mapping[str, Any] = {"index": 0, "delta": _NOTHING}
    """What a choice gets that has it not: what Azure's asynchronous filter reports has no delta."""

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider)
        self._frame = {"id": new_id("chatcmpl"), "object": self.kind, "created": now(), "model": model}
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._spoken: set[int] = set()
        self._likeness = Likeness()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete; one that is like an earlier one goes on as it is."""
        if not self.done and data.startswith(b"data: ") and data.endswith(b"\n\n") and self.between_events:
            chunk = data[6:-2]
            if self._likeness.holds(chunk):  # then there is no line end in it: it is one event, as most are
                return (chunk,)
        return self._feed(data)

    def _feed(self, data: bytes) -> Iterable[bytes]:
        holds = self._likeness.holds
        for name, chunk in self.events(data):
            if self.done:
                return
            if not name and holds(chunk):
                yield chunk
            else:
                yield from self.event(Event(name, chunk))

    def event(self, event: Event) -> Iterable[bytes]:
        """The event's own bytes, if it is a chunk in the standard shape."""
        if event.data == b"[DONE]":
            self.done = True
            return
        value = self.json(event)
        if error := value.get("error") or (event.name == "error" and value):
            raise reported_error(self.provider, error)
        if value.get("choices") is None:
            return
        # A line end within the JSON would end the event too early on its way out.
        if self.standard_chunk(value) or b"\n" in event.data:
            yield _dumps(value, self.provider)
        else:
            self._likeness.learn(event.data, value)
            yield event.data

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape; whether that changed it."""
        changed = _complete(value, _FRAME, self._frame, self.provider, "a chunk of its stream")
        for position, choice in enumerate(_choices(value, self.provider)):
            missing = {**self.missing, "index": position} if position else self.missing
            changed |= _complete(choice, _CHOICE, missing, self.provider, "a choice of its stream")
            if delta := choice.get("delta"):
                _complete(delta, _MESSAGE, _NOTHING, self.provider, "a delta of its stream")
                changed |= self._role_once(delta, choice["index"])
            self._begun.add(choice["index"])
            if choice.get("finish_reason") is not None:
                self._finished.add(choice["index"])
        return changed

    def _role_once(self, delta: Json, index: int) -> bool:
        """Take out a role that was given before: OpenAI's client would write it behind the first."""
        if delta.get("role") is None:
            return False
        if index in self._spoken:
            del delta["role"]
            return True
        self._spoken.add(index)
        return False

    def complete(self) -> bool:
        """Some servers close after the finish reason without `[DONE]`."""
        return bool(self._finished) and self._begun <= self._finished


class CompletionReader(ChatReader):
    """Completion chunks, named as the documented pages name them."""

    kind = "text_completion_chunk"
    missing: Mapping[str, Any] = {"index": 0}

    def standard_chunk(self, value: Json) -> bool:
        """The chunk with its object's name and its texts; a delta of a chat becomes one."""
        super().standard_chunk(value)
        value["object"] = self.kind
        for choice in value["choices"]:
            if "text" not in choice:
                choice["text"] = (choice.pop("delta", None) or _NOTHING).get("content")
                _complete(choice, _CHOICE, _NOTHING, self.provider, "a choice of its stream")
        return True

    def _role_once(self, delta: Json, index: int) -> bool:
        """A delta beside a text is the provider's own."""
        return False


def _complete(value: Any, shape: _Shape, missing: Mapping[str, Any], provider: str, what: str) -> bool:
    """Put in what is missing; whether anything was.

    Raises:
        UpstreamInvalid: A field is not of its type, or the value is no object.
    """
    if not isinstance(value, dict):
        invalid(provider, f"{what} is not an object")
    changed = False
    for key, kind in shape.items():
        found = value.get(key)
        if found is None:
            if key in missing:
                value[key], changed = missing[key], True
        elif not isinstance(found, kind):
            invalid(provider, f"{key!r} in {what} is not of its type")
    return changed


def _complete_frame(value: Json, provider: str, prefix: str, kind: str, model: str) -> bool:
    missing: Json = {"object": kind, "model": model}
    if not value.get("id"):
        value["id"], missing["id"] = None, new_id(prefix)
    if value.get("created") is None:
        missing["created"] = now()
    return _complete(value, _FRAME, missing, provider, "its answer")


def _choices(value: Json, provider: str) -> list[Any]:
    if not isinstance(choices := value.get("choices"), list):
        invalid(provider, "its answer has no choices")
    return choices


def _dumps(value: Json, provider: str) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        invalid(provider, "its answer is nested too deeply")
