"""Streams of Anthropic's Messages API in the standard shape: https://docs.anthropic.com/en/api/messages-streaming.

A block that OpenAI's chunks have no place for (what Anthropic's own tools did, citations) goes out whole, with all the
others of its message, before the message ends.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._answers import Chunks, text_of, tool_call
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid, told_error
from gateway_async.providers._streams import JsonReader
from gateway_async.providers.anthropic.answer import THOUGHTS, finish_reason, is_plain, usage

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What a type of error would have answered, had it been known in time: https://docs.anthropic.com/en/api/errors."""


def stream_error(provider: str, error: Any) -> UpstreamError:
    """The error that is reported within a stream, by its type."""
    kind, said = (error.get("type"), error.get("message")) if isinstance(error, dict) else (None, error)
    text = f"{provider} reports an error in its stream: {said or kind}"
    status = _STATUS.get(kind) if isinstance(kind, str) else None
    return told_error(provider, status, text, error)


class _Block:
    """A block of the message, as far as it has come."""

    def __init__(self, value: Json, call: int) -> None:
        self.kind = text_of(value["type"])
        self.value = value
        self.call = call
        """Which of the calls it is, if it is one."""

        self.json = ""
        """The pieces of its input."""

    def add(self, name: str, piece: Any) -> str:
        """Add to one of its texts; the piece."""
        self.value[name] = text_of(self.value.get(name) or "") + text_of(piece)
        return text_of(piece)

    def cite(self, citation: Json) -> None:
        """Add a citation."""
        self.value["citations"] = [*(self.value.get("citations") or ()), citation]

    def end(self) -> None:
        """Its input, now that it is whole."""
        if self.json:
            self.value["input"] = orjson.loads(self.json)


class MessagesReader(JsonReader):
    """The events of a message, as chunks.

    Args:
        provider: Name of the provider; others than Anthropic stream its messages, too.
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, provider: str, *, include_usage: bool) -> None:
        super().__init__(provider)
        self._include_usage = include_usage
        self._frame: Chunks | None = None
        self._used: Json = {}
        self._blocks: dict[int, _Block] = {}
        self._all: list[Json] = []
        self._calls = 0
        self._thoughts = 0
        self._finished = False

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        kind = value.get("type")
        if kind == "error":
            raise stream_error(self.provider, value.get("error"))
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
        if self._frame is not None:
            invalid(self.provider, "its stream begins twice")
        self._used = dict(message.get("usage") or {})
        self._frame = Chunks(RouteType.LLM_V1_CHAT, message["model"], text_of(message["id"]))
        yield self._chunk({"role": "assistant", "content": ""})

    def _block(self, index: int, value: Json) -> Iterable[bytes]:
        block = self._blocks[index] = _Block(value, self._calls)
        self._all.append(value)
        if block.kind == "tool_use":
            self._calls += 1
            yield self._chunk({"tool_calls": [tool_call(value["id"], value["name"], "", index=block.call)]})
        elif block.kind == "text" and value.get("text"):
            yield self._chunk({"content": text_of(value["text"])})
        elif block.kind == "thinking" and value.get("thinking"):
            yield self._chunk({"reasoning_content": text_of(value["thinking"])})

    def _delta(self, block: _Block, delta: Json) -> Iterable[bytes]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self._chunk({"content": block.add("text", delta["text"])})
        elif kind == "thinking_delta":
            yield self._chunk({"reasoning_content": block.add("thinking", delta["thinking"])})
        elif kind == "signature_delta":
            block.value["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block.cite(delta["citation"])
        elif kind == "input_json_delta" and (piece := text_of(delta["partial_json"])):
            block.json += piece
            if block.kind == "tool_use":
                yield self._arguments(block, piece)

    def _block_end(self, block: _Block) -> Iterable[bytes]:
        if block.kind == "tool_use" and not block.json:
            yield self._arguments(block, orjson.dumps(block.value.get("input") or {}).decode())
        elif block.kind in THOUGHTS:
            yield self._chunk({"thinking_blocks": [{"index": self._thoughts, **block.value}]})
            self._thoughts += 1
        block.end()

    def _message_delta(self, delta: Json, used: Json) -> Iterable[bytes]:
        self._used |= {key: count for key, count in used.items() if count is not None}
        # It may come several times; the reason stands in one of them.
        if (reason := delta.get("stop_reason")) is None:
            return
        self._finished = True
        if not all(map(is_plain, self._all)):
            yield self._chunk({"anthropic_blocks": [{"index": i, **b} for i, b in enumerate(self._all)]})
        refusal = (delta.get("stop_details") or {}).get("explanation")
        yield self._chunk({"refusal": text_of(refusal)} if refusal else {}, finish_reason(reason))

    def _end(self) -> Iterable[bytes]:
        if not self._finished or self._frame is None:
            invalid(self.provider, "its stream ends without a stop reason")
        self.done = True
        if self._include_usage:
            yield self._frame.usage(usage(self._used))

    def _arguments(self, block: _Block, piece: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]})

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        if self._frame is None:
            invalid(self.provider, "its stream does not begin with 'message_start'")
        return self._frame.delta(delta, finish)
