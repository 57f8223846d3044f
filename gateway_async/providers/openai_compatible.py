"""The OpenAI wire format, for everybody who speaks it.

Requests go out as they came in, with the model's name; answers that are in the standard shape already are passed on
as bytes, checked and not written anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from gateway_async.config import RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._base import (
    EventReader,
    Json,
    UpstreamRequest,
    UpstreamResponse,
    invalid,
    json_object,
    new_id,
    now,
    upstream_error,
)
from gateway_async.sse import Event

PATHS: Mapping[RouteType, str] = {
    RouteType.LLM_V1_CHAT: "chat/completions",
    RouteType.LLM_V1_COMPLETIONS: "completions",
    RouteType.LLM_V1_EMBEDDINGS: "embeddings",
}
"""An operation's path behind the base address."""


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """The OpenAI format, bound to one route."""

    provider: str
    kind: RouteType
    url: str
    headers: Mapping[str, str]
    model: str | None
    """Sent as `model`; None where the address names the model."""

    secrets: tuple[str, ...] = ()

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The caller's own request, with the model's name."""
        body = data if self.model is None else {"model": self.model, **data}
        return UpstreamRequest(self.url, self.headers, orjson.dumps(body))

    def answer(self, response: UpstreamResponse) -> bytes:
        """The upstream's own answer, once it is known to have the standard shape."""
        value = json_object(response.body, self.provider)
        if self.kind is RouteType.LLM_V1_CHAT:
            changed = self._check_chat(value)
        elif self.kind is RouteType.LLM_V1_COMPLETIONS:
            changed = self._check_completion(value)
        else:
            changed = self._check_embeddings(value)
        return orjson.dumps(value) if changed else response.body

    def reader(self, data: Json) -> EventReader:
        """A reader that passes chat chunks on as bytes."""
        if self.kind is RouteType.LLM_V1_COMPLETIONS:
            return CompletionReader(self.provider)
        return ChatReader(self.provider)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(self.provider, response, secrets=self.secrets)

    def _check_chat(self, value: Json) -> bool:
        for choice in _choices(value, self.provider):
            if not isinstance(choice.get("message"), dict):
                invalid(self.provider, "a choice of its answer has no message")
        return self._complete(value, "chatcmpl", "chat.completion")

    def _check_completion(self, value: Json) -> bool:
        changed = False
        for choice in _choices(value, self.provider):
            # Some servers answer a completion in the shape of a chat.
            if "text" not in choice and isinstance(message := choice.pop("message", None), dict):
                choice["text"], changed = message.get("content") or "", True
            if not isinstance(choice.get("text"), str):
                invalid(self.provider, "a choice of its answer has no text")
        if value.get("object") != "text_completion":
            value["object"], changed = "text_completion", True
        return self._complete(value, "cmpl", "text_completion") or changed

    def _check_embeddings(self, value: Json) -> bool:
        if not isinstance(rows := value.get("data"), list):
            invalid(self.provider, "its answer has no data")
        changed = False
        for index, row in enumerate(rows):
            if not isinstance(row, dict) or not isinstance(row.get("embedding"), list | str):
                invalid(self.provider, "a row of its answer has no embedding")
            if "index" not in row or "object" not in row:
                row.setdefault("index", index)
                row.setdefault("object", "embedding")
                changed = True
        if "object" not in value or "model" not in value:
            value.setdefault("object", "list")
            value.setdefault("model", self.model or "")
            changed = True
        return changed

    def _complete(self, value: Json, prefix: str, kind: str) -> bool:
        """Add what the standard shape has and the upstream left out; whether there was anything."""
        if value.get("id") and "object" in value and "created" in value and "model" in value:
            return False
        value["id"] = value.get("id") or new_id(prefix)
        value.setdefault("object", kind)
        value.setdefault("created", now())
        value.setdefault("model", self.model or "")
        return True


class ChatReader(EventReader):
    """Chat chunks: looked at, not written anew."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self._finished = False

    def event(self, event: Event) -> Iterable[bytes]:
        """The event's own bytes, if it is a chunk."""
        if event.data == b"[DONE]":
            self.done = True
            return
        value = self.json(event)
        choices = value.get("choices")
        if not isinstance(choices, list):
            if error := value.get("error"):
                raise stream_error(self.provider, error)
            return
        for choice in choices:
            if not isinstance(choice, dict):
                invalid(self.provider, "a choice of its stream is not an object")
            if choice.get("finish_reason") is not None:
                self._finished = True
        yield from self.chunk(event.data, value)

    def chunk(self, data: bytes, value: Json) -> Iterable[bytes]:
        """The chunk in the standard shape."""
        # A line end within the JSON would end the event too early on its way out.
        yield data if b"\n" not in data else orjson.dumps(value)

    def complete(self) -> bool:
        """Some servers close after the finish reason without `[DONE]`."""
        return self._finished


class CompletionReader(ChatReader):
    """Completion chunks, named as the documented pages name them."""

    def chunk(self, data: bytes, value: Json) -> Iterable[bytes]:
        """The chunk with its object's name; a delta of a chat becomes its text."""
        value["object"] = "text_completion_chunk"
        for choice in value["choices"]:
            if "text" not in choice:
                choice["text"] = (choice.pop("delta", None) or {}).get("content")
        yield orjson.dumps(value)


def stream_error(provider: str, error: object) -> UpstreamError:
    """The error that an upstream reports within its stream."""
    said = error.get("message") if isinstance(error, dict) else error
    return UpstreamError(f"{provider} reports an error in its stream: {said or error}", provider=provider)


def _choices(value: Json, provider: str) -> list[Json]:
    choices = value.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        invalid(provider, "its answer has no choices")
    return choices
