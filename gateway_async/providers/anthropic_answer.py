"""Answers and streams of Anthropic's Messages API in the standard shape.

https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming. Thoughts stand
under `reasoning_content` to be read, and whole with their signature under `thinking_blocks`, to be sent back with the
next request.
"""

import json
from collections.abc import Iterable
from typing import Any

import orjson

from gateway_async.errors import UpstreamError, UpstreamRefused, UpstreamUnavailable
from gateway_async.providers._answers import count_of, now, text_of, token_usage
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid
from gateway_async.providers._streams import JsonReader

NAME = "anthropic"

_FINISH = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_THOUGHTS = ("thinking", "redacted_thinking")


def chat_answer(value: Json) -> Json:
    """The answer to a chat."""
    blocks = value.get("content")
    if not isinstance(blocks, list) or not isinstance(value.get("usage"), dict):
        invalid(NAME, "its answer has no content or no usage")
    message: Json = {"role": "assistant", "content": None}
    texts = [text_of(block["text"]) for block in blocks if block.get("type") == "text"]
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    thoughts = [block for block in blocks if block.get("type") in _THOUGHTS]
    others = [block for block in blocks if block.get("type") not in ("text", "tool_use", *_THOUGHTS)]
    if texts or not calls:
        message["content"] = "".join(texts)
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["thinking_blocks"] = thoughts
    if thought := "".join(block.get("thinking", "") for block in thoughts):
        message["reasoning_content"] = thought
    if others or any(block.get("citations") for block in blocks):
        message["anthropic_blocks"] = blocks
    if explanation := (value.get("stop_details") or {}).get("explanation"):
        message["refusal"] = text_of(explanation)
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(value.get("stop_reason"))}
    return {
        "id": text_of(value["id"]),
        "object": "chat.completion",
        "created": now(),
        "model": text_of(value["model"]),
        "choices": [choice],
        "usage": usage(value["usage"]),
    }


def finish_reason(reason: str | None) -> str:
    """Why the answer ends, in OpenAI's words."""
    return _FINISH.get(reason or "", "stop")


def usage(used: Json) -> Json:
    """Tokens as OpenAI counts them: what was read from the cache or written to it belongs to the prompt."""
    cached, written = used.get("cache_read_input_tokens"), used.get("cache_creation_input_tokens")
    return token_usage(
        count_of(used.get("input_tokens")) + count_of(cached) + count_of(written),
        used.get("output_tokens"),
        cached=cached,
        written=written,
        reasoning=(used.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


def stream_error(error: Any) -> UpstreamError:
    """The error that Anthropic reports within a stream, by its type."""
    kind, said = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, error)
    text = f"{NAME} reports an error in its stream: {said or kind}"
    if kind == "overloaded_error":
        return UpstreamUnavailable(text, provider=NAME, upstream_status=529)
    if kind == "rate_limit_error":
        return UpstreamRefused(text, provider=NAME, status=429, error_code="REQUEST_LIMIT_EXCEEDED")
    if kind == "invalid_request_error":
        return UpstreamRefused(text, provider=NAME)
    return UpstreamError(text, provider=NAME)


class MessagesReader(JsonReader):
    """The events of a message, as chunks.

    Args:
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, *, include_usage: bool) -> None:
        super().__init__(NAME)
        self._include_usage = include_usage
        self._frame: Json = {}
        self._used: Json = {}
        self._blocks: dict[int, Json] = {}
        self._calls = 0
        self._thoughts = 0
        self._finished = False

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        kind = value.get("type")
        if kind == "error":
            raise stream_error(value.get("error"))
        if kind == "message_start":
            yield from self._begin(value["message"])
        elif kind == "content_block_start":
            yield from self._block(value["index"], value["content_block"])
        elif kind == "content_block_delta":
            yield from self._delta(self._blocks[value["index"]], value["delta"])
        elif kind == "content_block_stop":
            yield from self._block_end(self._blocks.pop(value["index"]))
        elif kind == "message_delta":
            yield from self._message_delta(value["delta"], value.get("usage") or {})
        elif kind == "message_stop":
            yield from self._end()

    def _begin(self, message: Json) -> Iterable[bytes]:
        if self._frame:
            invalid(NAME, "its stream begins twice")
        self._used = dict(message.get("usage") or {})
        self._frame = {
            "id": text_of(message["id"]),
            "object": "chat.completion.chunk",
            "created": now(),
            "model": text_of(message["model"]),
        }
        yield self._chunk({"role": "assistant", "content": ""})

    def _block(self, index: int, block: Json) -> Iterable[bytes]:
        self._blocks[index] = block
        kind = block["type"]
        if kind == "tool_use":
            block["call"], block["begun"] = self._calls, False
            self._calls += 1
            function = {"name": text_of(block["name"]), "arguments": ""}
            call = {
                "index": block["call"],
                "id": text_of(block["id"]),
                "type": "function",
                "function": function,
            }
            yield self._chunk({"tool_calls": [call]})
        elif kind == "text" and block.get("text"):
            yield self._chunk({"content": text_of(block["text"])})
        elif kind == "thinking" and block.get("thinking"):
            yield self._chunk({"reasoning_content": text_of(block["thinking"])})

    def _delta(self, block: Json, delta: Json) -> Iterable[bytes]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self._chunk({"content": text_of(delta["text"])})
        elif kind == "input_json_delta":
            if text_of(delta["partial_json"]) and block["type"] == "tool_use":
                block["begun"] = True
                yield self._arguments(block, delta["partial_json"])
        elif kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
            yield self._chunk({"reasoning_content": delta["thinking"]})
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]

    def _block_end(self, block: Json) -> Iterable[bytes]:
        if block["type"] == "tool_use" and not block["begun"]:
            yield self._arguments(block, json.dumps(block.get("input") or {}))
        elif block["type"] in _THOUGHTS:
            yield self._chunk({"thinking_blocks": [{"index": self._thoughts, **block}]})
            self._thoughts += 1

    def _message_delta(self, delta: Json, used: Json) -> Iterable[bytes]:
        self._used |= {key: count for key, count in used.items() if count is not None}
        # It may come several times; the reason stands in one of them.
        if (reason := delta.get("stop_reason")) is None:
            return
        self._finished = True
        refusal = (delta.get("stop_details") or {}).get("explanation")
        yield self._chunk({"refusal": text_of(refusal)} if refusal else {}, finish_reason(reason))

    def _end(self) -> Iterable[bytes]:
        if not self._finished:
            invalid(NAME, "its stream ends without a stop reason")
        self.done = True
        if self._include_usage:
            yield orjson.dumps({**self._frame, "choices": [], "usage": usage(self._used)})

    def _arguments(self, block: Json, piece: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": block["call"], "function": {"arguments": piece}}]})

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        if not self._frame:
            invalid(NAME, "its stream does not begin with 'message_start'")
        return orjson.dumps(
            {**self._frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        )


def _call(block: Json) -> Json:
    if not isinstance(block["input"], dict):
        raise TypeError("an object is expected")
    function = {"name": text_of(block["name"]), "arguments": json.dumps(block["input"])}
    return {"id": text_of(block["id"]), "type": "function", "function": function}
