"""Streams of the Gemini API in the standard shape: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent.

Each event is an answer with the next piece of each candidate. The last reason to end that a candidate gives is the one
that counts, and so are the last counts of tokens; that no more comes, only the end of the stream says. An error may
stand between the events, or behind the last one, as bare JSON without `data:`.
"""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.providers._answers import Chunks, count_of, text_of
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid
from gateway_async.providers._google import google_stream_error
from gateway_async.providers._streams import JsonReader
from gateway_async.providers.gemini.answer import NAME, Candidate, blocked, logprobs, usage
from gateway_async.sse import Decoder, Event, Pieces

_FIELD = re.compile(rb"(\xef\xbb\xbf)?((data|event|id|retry)?:|[\r\n])")


class GenerateReader(JsonReader):
    """The pieces of the candidates, as chunks.

    Args:
        model: The model, for answers that do not name theirs.
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, model: str, *, include_usage: bool) -> None:
        super().__init__(NAME, BareErrors())
        self._chunks = Chunks(RouteType.LLM_V1_CHAT, model)
        self._include_usage = include_usage
        self._used: Json = {}
        self._usage: Json | None = None
        self._begun = False
        self._blocked = False
        self._candidates: dict[int, Candidate] = {}

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        if (error := value.get("error")) is not None:
            raise google_stream_error(NAME, error)
        self._begin(value)
        if used := value.get("usageMetadata"):
            self._used |= used
            self._usage = usage(self._used)
        candidates = value.get("candidates") or ()
        if not self._candidates and (value.get("promptFeedback") or {}).get("blockReason"):
            refusal = blocked(value)
            self._blocked = True
            yield self._chunks.delta({"role": "assistant", "content": "", **refusal}, "content_filter")
        for candidate in candidates:
            yield from self._piece(candidate)

    def end(self) -> Iterable[bytes]:
        """The last chunks: how each candidate ends, and what was used."""
        yield from super().end()
        self.done = True
        for index, candidate in self._candidates.items():
            finish, rest = candidate.ending()
            try:
                yield self._chunks.delta(rest, finish, index=index)
            except orjson.JSONEncodeError:
                invalid(NAME, "what it says of its answer is nested too deeply")
        if self._include_usage and self._usage:
            yield self._chunks.usage(self._usage)

    def complete(self) -> bool:
        """Every candidate has come to its end."""
        reasons = [candidate.reason for candidate in self._candidates.values()]
        return self._blocked or (bool(reasons) and all(reasons))

    def _begin(self, value: Json) -> None:
        if not self._begun:
            names = {"id": value.get("responseId"), "model": value.get("modelVersion")}
            self._chunks.frame |= {name: text_of(given) for name, given in names.items() if given}
            self._begun = True

    def _piece(self, candidate: Json) -> Iterable[bytes]:
        index = count_of(candidate.get("index"))
        delta: Json = {}
        if index not in self._candidates:
            self._candidates[index] = Candidate()
            delta = {"role": "assistant", "content": ""}
        delta |= self._candidates[index].add(candidate)
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": None}
        if found := candidate.get("logprobsResult"):
            choice["logprobs"] = logprobs(found)
        if delta or found:
            yield orjson.dumps({**self._chunks.frame, "choices": [choice]})


class BareErrors:
    """Finds server-sent events, and takes lines that are no fields of theirs for data."""

    def __init__(self) -> None:
        self._events = Decoder()
        self._rest = Pieces()

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if b"\n" not in data and b"\r" not in data:
            self._rest.add(data)
            return []
        lines = self._rest.take(data).splitlines(keepends=True)
        # A carriage return at the end may be half of a line end.
        if not lines[-1].endswith(b"\n"):
            self._rest.add(lines.pop())
        return self._events.feed(b"".join(map(_as_field, lines)))

    def close(self) -> list[Event]:
        """The event that the end of the stream leaves without its blank line."""
        lines = self._rest.take().splitlines(keepends=True)
        return [*self._events.feed(b"".join(map(_as_field, lines))), *self._events.close()]


def _as_field(line: bytes) -> bytes:
    return line if not line or _FIELD.match(line) else b"data: " + line
