"""Answers and streams of Cohere's API v2 in the standard shape.

https://docs.cohere.com/reference/chat, https://docs.cohere.com/docs/streaming. Thoughts stand under `reasoning_content`;
the plan before calls of tools stands under `tool_plan` and what a text rests on under `citations`, as Cohere has them,
to be read, and to be sent back.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.providers._answers import (
    Chunks,
    chat_choice,
    chat_completion,
    text_of,
    tool_call,
)
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid, reported_error
from gateway_async.providers._streams import JsonReader
from gateway_async.providers.cohere.api import NAME, finish_reason, usage


def chat_answer(value: Json, model: str) -> Json:
    """The answer to a chat.

    Raises:
        KeyError: And the others of `MALFORMED`: it is not what the API promises.
    """
    message = value["message"]
    content, calls = message.get("content") or [], message.get("tool_calls") or []
    finish = finish_reason(value["finish_reason"])
    words = [text_of(part["text"]) for part in content if part.get("type") == "text"]
    thoughts = [text_of(part["thinking"]) for part in content if part.get("type") == "thinking"]
    choice = chat_choice(
        0,
        "".join(words) if words or not calls else None,
        finish,
        calls=[_call(call) for call in calls],
        reasoning_content="".join(thoughts) or None,
        tool_plan=message.get("tool_plan") or None,
        citations=message.get("citations") or None,
    )
    if value.get("logprobs"):
        choice["logprobs"] = _logprobs(value["logprobs"])
    return chat_completion(model, [choice], usage(value.get("usage")), answer_id=text_of(value["id"]))


class ChatReader(JsonReader):
    """The events of a message, as chunks.

    Args:
        model: Name of the model.
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, model: str, *, include_usage: bool) -> None:
        super().__init__(NAME)
        self._chunks = Chunks(RouteType.LLM_V1_CHAT, model)
        self._include_usage = include_usage
        self._begun = False
        self._calls: dict[int, int] = {}
        """A call's index in Cohere's stream → its number among ours."""

        self._without_arguments: set[int] = set()
        self._citations: list[Any] = []

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        kind = value.get("type")
        if kind is None:  # the body of an error
            raise reported_error(NAME, value)
        if kind == "message-start":
            yield self._begin(value)
        elif not self._begun:
            invalid(NAME, "its stream does not begin with 'message-start'")
        elif kind == "message-end":
            yield from self._end(value["delta"])
        elif kind in ("content-start", "content-delta"):
            yield from self._content(value["delta"]["message"]["content"], value.get("logprobs"))
        elif kind == "tool-plan-delta":
            yield self._chunks.delta({"tool_plan": text_of(value["delta"]["message"]["tool_plan"])})
        elif kind == "tool-call-start":
            yield self._call(value["index"], value["delta"]["message"]["tool_calls"])
        elif kind == "tool-call-delta":
            function = value["delta"]["message"]["tool_calls"]["function"]
            yield self._arguments(value["index"], text_of(function["arguments"]))
        elif kind == "tool-call-end" and value["index"] in self._without_arguments:
            yield self._arguments(value["index"], "{}")
        elif kind == "citation-start":
            found = value["delta"]["message"]["citations"]
            self._citations += found if isinstance(found, list) else [found]

    def _begin(self, value: Json) -> bytes:
        if self._begun:
            invalid(NAME, "its stream begins twice")
        self._begun = True
        self._chunks.frame["id"] = text_of(value.get("id") or self._chunks.frame["id"])
        return self._chunks.delta({"role": "assistant", "content": ""})

    def _content(self, content: Json, logprobs: Any) -> Iterable[bytes]:
        if thought := content.get("thinking"):
            yield self._chunks.delta({"reasoning_content": text_of(thought)})
        if text := content.get("text"):
            delta = {"index": 0, "delta": {"content": text_of(text)}, "finish_reason": None}
            told = {"logprobs": _logprobs([logprobs])} if logprobs else {}
            yield orjson.dumps({**self._chunks.frame, "choices": [{**delta, **told}]})

    def _call(self, index: int, call: Json) -> bytes:
        number = self._calls[index] = len(self._calls)
        arguments = call["function"].get("arguments") or ""
        if not arguments:
            self._without_arguments.add(index)
        made = tool_call(call["id"], call["function"]["name"], arguments, index=number)
        return self._chunks.delta({"tool_calls": [made]})

    def _arguments(self, index: int, piece: str) -> bytes:
        if piece:
            self._without_arguments.discard(index)
        function = {"arguments": piece}
        return self._chunks.delta({"tool_calls": [{"index": self._calls[index], "function": function}]})

    def _end(self, delta: Json) -> Iterable[bytes]:
        # All at once: OpenAI's clients can't add up a list whose pieces have no numbers.
        last = {"citations": self._citations} if self._citations else {}
        yield self._chunks.delta(last, finish_reason(delta["finish_reason"], delta.get("error")))
        if self._include_usage and (used := usage(delta.get("usage"))):
            yield self._chunks.usage(used)
        self.done = True


def _call(call: Json) -> Json:
    function = call["function"]
    return tool_call(call["id"], function["name"], function.get("arguments") or "{}")


def _logprobs(pieces: Any) -> Json:
    """How likely each piece of the text was; Cohere has the numbers of its tokens, which count together."""
    lines = [
        {
            "token": text_of(piece["text"]),
            "logprob": float(sum(piece["logprobs"])),
            "bytes": list(piece["text"].encode()),
            "top_logprobs": [],
        }
        for piece in pieces
    ]
    return {"content": lines, "refusal": None}
