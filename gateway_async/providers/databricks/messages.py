"""A conversation as Databricks takes it: OpenAI's, but for thoughts, which stand in an assistant's content.

https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models. It refuses fields that it does not
know, so that those of an answer's message that say nothing (`annotations: []`) do not go back.
"""

from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json

PARTS = "databricks_parts"
"""Where an answer's message has what is neither text nor thoughts."""

_IN_CONTENT = ("reasoning_content", "thinking_blocks", PARTS)
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def conversation(messages: list[Json]) -> list[Json]:
    """The messages, thoughts and other parts of an earlier answer in their place.

    Raises:
        InvalidRequest: The thoughts are not those of an answer; the error names them.
    """
    return [_message(message, f"messages.{index}") for index, message in enumerate(messages)]


def _message(message: Json, at: str) -> Json:
    rest = {
        name: value
        for name, value in message.items()
        if name in ("role", "content") or (name not in _IN_CONTENT and value not in _NOTHING)
    }
    if rest["role"] == "developer":
        rest["role"] = "system"  # which OpenAI's models take as well, and the others only
    if "tool_calls" in rest:
        rest["tool_calls"] = [_call(call) for call in rest["tool_calls"]]
    blocks, others = message.get("thinking_blocks") or [], message.get(PARTS) or []
    if not blocks and not others:
        return rest
    if not isinstance(others, list):
        raise InvalidRequest.field(f"{at}.{PARTS}", "the parts of an earlier answer are expected, unchanged")
    content = message.get("content") or []
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**rest, "content": [*_reasoning(blocks, f"{at}.thinking_blocks"), *said, *others]}


def _call(call: Json) -> Json:
    """A call without its number, which it has where a stream was put together, and without what is null in it."""
    made = {name: value for name, value in call.items() if name != "index"}
    if isinstance(function := made.get("function"), dict):
        made["function"] = {name: value for name, value in function.items() if value is not None}
    return made


def _reasoning(blocks: Any, at: str) -> list[Json]:
    if not isinstance(blocks, list):
        blocks = [None]
    return [{"type": "reasoning", "summary": [_summary(block, at)]} for block in blocks]


def _summary(block: Any, at: str) -> Json:
    match block:
        case {"type": "redacted_thinking", "data": str(data)}:
            return {"type": "summary_encrypted_text", "data": data}
        case {"thinking": str(text)}:
            signature = {"signature": block["signature"]} if "signature" in block else {}
            return {"type": "summary_text", "text": text, **signature}
    raise InvalidRequest.field(at, "the blocks of an earlier answer are expected, unchanged")
