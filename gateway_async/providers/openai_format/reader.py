"""Streams in the OpenAI wire format: each chunk checked, or like one that was, and passed on as the bytes that came."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_async.providers._answers import new_id, now
from gateway_async.providers._base import Json
from gateway_async.providers._errors import reported_error
from gateway_async.providers._streams import EventReader
from gateway_async.providers.openai_format.likeness import Likeness
from gateway_async.providers.openai_format.shape import (
    CHOICE,
    FRAME,
    MESSAGE,
    NOTHING,
    choices_of,
    complete,
    dumped,
)
from gateway_async.sse import Decoder, Event


class ChatReader(EventReader):
    """Chat chunks, under one id and one time where the upstream gives none.

    Args:
        provider: Name of the provider.
        model: Name of the model, for chunks that have none.
    """

    kind = "chat.completion.chunk"
    missing: Mapping[str, Any] = {"index": 0, "delta": NOTHING}
    """What a choice gets that has it not: what Azure's asynchronous filter reports has no delta."""

    def __init__(self, provider: str, model: str) -> None:
        self._events = Decoder()
        super().__init__(provider, self._events)
        self._frame = {"id": new_id("chatcmpl"), "object": self.kind, "created": now(), "model": model}
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._spoken: set[int] = set()
        self._likeness = Likeness()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete; those that are like an earlier one go on as they are."""
        if (chunks := self._events.plain(data)) is None:
            return self._feed(data)
        if len(chunks) == 1 and not self.done and self._likeness.holds(chunks[0]):
            return chunks
        return self._pass(chunks)

    def _pass(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        holds = self._likeness.holds
        for chunk in chunks:
            if self.done:
                return
            if holds(chunk):
                yield chunk
            else:
                yield from self.event(Event("", chunk))

    def _feed(self, data: bytes) -> Iterable[bytes]:
        for event in self.events(data):
            if not event.name:
                yield from self._pass([event.data])
            elif not self.done:
                yield from self.event(event)

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
            yield dumped(value, self.provider)
        else:
            self._likeness.learn(event.data, value)
            yield event.data

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape; whether that changed it."""
        changed = complete(value, FRAME, self._frame, self.provider, "a chunk of its stream")
        for position, choice in enumerate(choices_of(value, self.provider)):
            missing = {**self.missing, "index": position} if position else self.missing
            changed |= complete(choice, CHOICE, missing, self.provider, "a choice of its stream")
            if delta := choice.get("delta"):
                complete(delta, MESSAGE, NOTHING, self.provider, "a delta of its stream")
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
                choice["text"] = (choice.pop("delta", None) or NOTHING).get("content")
                complete(choice, CHOICE, NOTHING, self.provider, "a choice of its stream")
        return True

    def _role_once(self, delta: Json, index: int) -> bool:
        """A delta beside a text is the provider's own."""
        return False
