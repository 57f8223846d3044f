"""Chat through Bedrock's Converse API: answers and streams in the standard shape.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and `…/API_runtime_ConverseStream.html`.
Thoughts stand under `reasoning_content` to be read, and whole with their signature under `thinking_blocks`, in the form
that Anthropic's own API gives them, to be sent back with the next request.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from gateway_async.config import RouteType
from gateway_async.providers._answers import (
    Chunks,
    chat_choice,
    chat_completion,
    count_of,
    text_of,
    token_usage,
    tool_call,
    wants_usage,
)
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid
from gateway_async.providers.bedrock.adapter import BedrockAdapter, FrameReader
from gateway_async.providers.bedrock.request import converse_request

_FINISH: Mapping[str, str] = {
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "guardrail_intervened": "content_filter",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}

_KEPT = ("metrics", "trace", "performanceConfig", "serviceTier", "additionalModelResponseFields")
"""What Bedrock tells of a call beside its answer."""


class ConverseAdapter(BedrockAdapter):
    """Chat through Converse and ConverseStream."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of both operations."""
        return converse_request(data, self.model)

    def translate(self, value: Json, data: Json) -> Json:
        """The message as a chat answer."""
        message, said = _Said(), value["output"]["message"]
        for block in said["content"]:
            message.add(block)
        finish = _finish(value["stopReason"])
        choice = chat_choice(0, message.text, finish, calls=message.calls, **message.more())
        answer = chat_completion(self.model, [choice], _usage(value["usage"]))
        return {**answer, **_kept(value)}

    def reader(self, data: Json) -> FrameReader:
        """A reader for the events of a message."""
        return ConverseReader(self.provider, self.model, include_usage=wants_usage(data))


class _Said:
    """What the blocks of a message say, kind by kind."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self._texts: list[str] = []
        self._thoughts: list[Json] = []
        self._citations: list[Json] = []
        self._others: list[Json] = []

    def add(self, block: Json) -> None:
        """Take one block in."""
        if "text" in block:
            self._texts.append(text_of(block["text"]))
        elif _is_call(use := block.get("toolUse")):
            self.calls.append(tool_call(use["toolUseId"], use["name"], _arguments(use["input"])))
        elif "reasoningContent" in block:
            self._thoughts.append(_thought(block["reasoningContent"]))
        elif "citationsContent" in block:
            cited = block["citationsContent"]
            self._texts += [text_of(piece["text"]) for piece in cited.get("content") or ()]
            self._citations += cited.get("citations") or ()
        else:
            self._others.append(block)

    @property
    def text(self) -> str | None:
        """The text; None where the model only calls tools."""
        return "".join(self._texts) if self._texts or not self.calls else None

    def more(self) -> Json:
        """Further fields of the message."""
        return {
            "reasoning_content": "".join(one.get("thinking", "") for one in self._thoughts) or None,
            "thinking_blocks": self._thoughts or None,
            "citations": self._citations or None,
            "bedrock_blocks": self._others or None,
        }


class ConverseReader(FrameReader):
    """The events of a message, as chunks.

    Args:
        provider: Name of the provider.
        model: Name of the model.
        include_usage: Send a last chunk that holds the usage.
    """

    def __init__(self, provider: str, model: str, *, include_usage: bool) -> None:
        super().__init__(provider)
        self._include_usage = include_usage
        self._chunks = Chunks(RouteType.LLM_V1_CHAT, model)
        self._begun = self._stopped = False
        self._blocks: dict[int, Json] = {}
        self._calls = self._thoughts = self._citations = 0

    def complete(self) -> bool:
        """The message is whole; only what it used is missing."""
        return self._stopped

    def chunks(self, name: str, value: Json) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        if name == "messageStart":
            if self._begun:
                invalid(self.provider, "its stream begins twice")
            self._begun = True
            yield self._chunks.delta({"role": "assistant", "content": ""})
        elif not self._begun and name in ("contentBlockStart", "contentBlockDelta", "messageStop"):
            invalid(self.provider, "its stream does not begin with 'messageStart'")
        elif name == "contentBlockStart":
            yield from self._start(self._block(value), value["contentBlockIndex"], value["start"])
        elif name == "contentBlockDelta":
            yield from self._delta(self._block(value), value["contentBlockIndex"], value["delta"])
        elif name == "contentBlockStop":
            yield from self._block_end(self._blocks.pop(value["contentBlockIndex"], {}))
        elif name == "messageStop":
            self._stopped = True
            yield self._chunks.delta({}, _finish(value["stopReason"]))
        elif name == "metadata":
            yield from self._end(value)

    def _block(self, value: Json) -> Json:
        return self._blocks.setdefault(value["contentBlockIndex"], {})

    def _start(self, block: Json, index: int, start: Json) -> Iterable[bytes]:
        if _is_call(use := start.get("toolUse")):
            block |= {"call": self._calls, "begun": False}
            yield self._chunks.delta(
                {"tool_calls": [tool_call(use["toolUseId"], use["name"], "", index=self._calls)]}
            )
            self._calls += 1
        else:
            yield self._other(index, start)

    def _delta(self, block: Json, index: int, delta: Json) -> Iterable[bytes]:
        if "text" in delta:
            yield self._chunks.delta({"content": text_of(delta["text"])})
        elif "toolUse" in delta and "call" in block:
            if piece := text_of(delta["toolUse"]["input"]):
                block["begun"] = True
                yield self._piece(block, piece)
        elif "reasoningContent" in delta:
            yield from self._think(block, delta["reasoningContent"])
        elif "citation" in delta:
            yield self._chunks.delta({"citations": [{"index": self._citations, **delta["citation"]}]})
            self._citations += 1
        else:
            yield self._other(index, delta)

    def _think(self, block: Json, delta: Json) -> Iterable[bytes]:
        if text := text_of(delta.get("text", "")):
            block["thinking"] = block.get("thinking", "") + text
            yield self._chunks.delta({"reasoning_content": text})
        if "signature" in delta:
            block["signature"] = block.get("signature", "") + text_of(delta["signature"])
        if "redactedContent" in delta:
            block["data"] = block.get("data", "") + text_of(delta["redactedContent"])

    def _block_end(self, block: Json) -> Iterable[bytes]:
        if "call" in block and not block["begun"]:
            yield self._piece(block, "{}")
        elif "thinking" in block or "signature" in block or "data" in block:
            kind = "redacted_thinking" if "data" in block else "thinking"
            thought = {"index": self._thoughts, "type": kind, **block}
            yield self._chunks.delta({"thinking_blocks": [thought]})
            self._thoughts += 1

    def _end(self, value: Json) -> Iterable[bytes]:
        if not self._stopped:
            invalid(self.provider, "its stream ends without a stop reason")
        self.done = True
        if self._include_usage:
            self._chunks.frame |= _kept(value)
            yield self._chunks.usage(_usage(value["usage"]))

    def _other(self, index: int, part: Json) -> bytes:
        return self._chunks.delta({"bedrock_blocks": [{"index": index, **part}]})

    def _piece(self, block: Json, piece: str) -> bytes:
        return self._chunks.delta(
            {"tool_calls": [{"index": block["call"], "function": {"arguments": piece}}]}
        )


def _is_call(use: Any) -> TypeGuard[Json]:
    """Whether it is a call for the caller to make, and not one that Bedrock makes itself."""
    return isinstance(use, dict) and use.get("type") is None


def _arguments(given: Any) -> str:
    if not isinstance(given, dict):
        raise TypeError("an object is expected")
    return json.dumps(given)


def _thought(content: Json) -> Json:
    if "redactedContent" in content:
        return {"type": "redacted_thinking", "data": text_of(content["redactedContent"])}
    said = content["reasoningText"]
    signed = {"signature": text_of(said["signature"])} if said.get("signature") else {}
    return {"type": "thinking", "thinking": text_of(said["text"]), **signed}


def _finish(reason: str) -> str:
    """Why the answer ends, in OpenAI's words."""
    return _FINISH.get(reason, "stop")


def _usage(used: Json) -> Json:
    """Tokens as OpenAI counts them: what was read from the cache or written to it belongs to the prompt."""
    cached, written = used.get("cacheReadInputTokens"), used.get("cacheWriteInputTokens")
    asked = count_of(used["inputTokens"]) + count_of(cached) + count_of(written)
    return token_usage(asked, used["outputTokens"], cached=cached, written=written)


def _kept(value: Json) -> Json:
    return {name: value[name] for name in _KEPT if value.get(name) is not None}
