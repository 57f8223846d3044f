"""Mistral's answers and errors, where they depart from OpenAI's: contents in chunks, thoughts, reasons, calls.

https://docs.mistral.ai/api/endpoint/chat, https://docs.mistral.ai/capabilities/reasoning.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway_async.providers._answers import text_of
from gateway_async.providers._base import Json
from gateway_async.providers._errors import reported_error
from gateway_async.providers.mistral.messages import BLOCKS, call_id

NAME = "mistral"

_FINISH: Mapping[str, str] = {"model_length": "length"}


def mend_choice(choice: Json, message: Json) -> None:
    """Bring a choice and its message, or its delta, into OpenAI's form.

    Raises:
        UpstreamError: The model failed before its answer was complete.
        KeyError: And the others of `MALFORMED`: it is not what the API promises.
    """
    if (reason := choice.get("finish_reason")) is not None:
        if reason == "error":
            raise reported_error(NAME, "the model failed before its answer was complete")
        choice["finish_reason"] = _FINISH.get(reason, reason)
    message.pop("prefix", None)  # the request's own
    if isinstance(content := message.get("content"), list):
        _join(message, content)
    if calls := message.get("tool_calls"):
        numbers = [call.get("index") for call in calls]
        for position, call in enumerate(calls):
            if "delta" not in choice:
                call.pop("index", None)
            elif len(set(numbers)) < len(calls):
                call["index"] = position
            if "delta" in choice and not call["function"].get("name"):
                _mend_piece(call)
            else:
                _mend_call(call, position)


def _join(message: Json, content: list[Json]) -> None:
    """The chunks of a content as one text, the thoughts beside it, and what is neither beside both."""
    message["content"] = "".join(text_of(chunk["text"]) for chunk in content if chunk["type"] == "text")
    if thoughts := "".join(_thoughts(content)):
        message["reasoning_content"] = thoughts
    others = [chunk for chunk in content if chunk["type"] not in ("text", "thinking")]
    if others:
        message[BLOCKS] = [{"index": index, **chunk} for index, chunk in enumerate(others)]


def _thoughts(content: list[Json]) -> Iterator[str]:
    for chunk in content:
        if chunk["type"] == "thinking":
            parts = chunk["thinking"]
            yield from (
                [parts] if isinstance(parts, str) else (text_of(part.get("text", "")) for part in parts)
            )


def _mend_call(call: Json, position: int) -> None:
    function = call["function"]
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = orjson.dumps(function.get("arguments") or {}).decode()
    call["type"] = call.get("type") or "function"
    if call.get("id") in (None, "", "null"):
        call["id"] = call_id(f"{position} {text_of(function['name'])} {function['arguments']}")


def _mend_piece(call: Json) -> None:
    """A later piece of a call in a stream: it has arguments, and neither the name nor the id again."""
    call["function"] = {"arguments": text_of(call["function"].get("arguments", ""))}
    call.pop("id", None)
    call.pop("type", None)


def said(body: bytes) -> str | None:
    """What an error says where it lists the fields that are wrong; None where it does not.

    The list stands under `detail`, under `message`, or under a `detail` within that.
    """
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    for key in ("message", "detail"):
        if isinstance(value, dict) and isinstance(value.get(key), dict | list):
            value = value[key]
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return None
    return "; ".join(f"{_place(entry.get('loc'))}: {entry.get('msg')}" for entry in value) or None


def _place(loc: Any) -> str:
    return ".".join(str(part) for part in loc[1:]) if isinstance(loc, list) else "body"
