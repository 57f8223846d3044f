"""Answers of Cohere's API v1, and its streams, which are lines of JSON.

https://docs.cohere.com/v1/docs/streaming.
"""

from collections.abc import Iterable

from gateway_async.config import RouteType
from gateway_async.providers._answers import Chunks, count_of, text_of, token_usage
from gateway_async.providers._base import Json
from gateway_async.providers._errors import reported_error
from gateway_async.providers._streams import JsonReader, Lines
from gateway_async.providers.cohere.api import NAME, finish_reason, usage

_FOUND = ("citations", "documents", "search_queries", "search_results")
"""What an answer says beside its text, where it was given documents or somewhere to search."""


def found(value: Json) -> Json:
    """What a chat's answer says beside its text."""
    return {name: value[name] for name in _FOUND if value.get(name)}


def chat_usage(value: Json) -> Json | None:
    """The tokens of a chat, which stood under `token_count` before `meta` had them."""
    if counts := value.get("token_count"):
        return token_usage(
            counts.get("prompt_tokens"), counts.get("response_tokens"), total=counts.get("total_tokens")
        )
    return usage(value.get("meta"))


class _Reader(JsonReader):
    """Events of either stream, which begin and end alike."""

    kind: RouteType

    def __init__(self, model: str, *, include_usage: bool) -> None:
        super().__init__(NAME, Lines())
        self._chunks = Chunks(self.kind, model)
        self._include_usage = include_usage

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        kind = value.get("event_type")
        if kind == "text-generation":
            yield self.text(value)
        elif kind == "stream-end":
            yield from self.last(value)
            used = self.used(value["response"])
            if self._include_usage and used:
                yield self._chunks.usage(used)
            self.done = True
        elif kind == "stream-error":
            raise reported_error(NAME, {"message": value.get("err"), "type": value.get("finish_reason")})
        elif kind is None:  # the body of an error
            raise reported_error(NAME, value)
        elif kind == "stream-start":
            self.begin(value)

    def begin(self, value: Json) -> None:
        """Take note of how the stream begins."""

    def text(self, value: Json) -> bytes:
        """The chunk of a piece of text."""
        raise NotImplementedError

    def last(self, value: Json) -> Iterable[bytes]:
        """The chunks that say why the answer ends."""
        raise NotImplementedError

    def used(self, response: Json) -> Json | None:
        """The tokens of the call."""
        return usage(response.get("meta"))


class ChatReader(_Reader):
    """The events of a chat, as chunks."""

    kind = RouteType.LLM_V1_CHAT

    def __init__(self, model: str, *, include_usage: bool) -> None:
        super().__init__(model, include_usage=include_usage)
        self._begun = False

    def begin(self, value: Json) -> None:
        """Take over the id of the answer; it is the only one that is known while the answer comes."""
        if not self._begun and value.get("generation_id"):
            self._chunks.frame["id"] = text_of(value["generation_id"])

    def text(self, value: Json) -> bytes:
        """The chunk of a piece of text."""
        return self._delta({"content": text_of(value["text"])})

    def last(self, value: Json) -> Iterable[bytes]:
        """The chunk with the reason, and with what the text rests on."""
        yield self._delta(found(value["response"]), finish_reason(value.get("finish_reason")))

    def used(self, response: Json) -> Json | None:
        """The tokens of the call."""
        return chat_usage(response)

    def _delta(self, delta: Json, finish: str | None = None) -> bytes:
        begun, self._begun = self._begun, True
        return self._chunks.delta(delta if begun else {"role": "assistant", **delta}, finish)


class GenerateReader(_Reader):
    """The events of texts, as chunks."""

    kind = RouteType.LLM_V1_COMPLETIONS

    def text(self, value: Json) -> bytes:
        """The chunk of a piece of text."""
        return self._chunks.text(text_of(value["text"]), index=count_of(value.get("index")))

    def last(self, value: Json) -> Iterable[bytes]:
        """A chunk for each text, with its reason."""
        for at, made in enumerate(value["response"].get("generations") or [{}]):
            reason = made.get("finish_reason") or value.get("finish_reason")
            yield self._chunks.text(None, finish_reason(reason), index=count_of(made.get("index", at)))
