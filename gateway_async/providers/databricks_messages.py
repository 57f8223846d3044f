"""A conversation as Databricks takes it: OpenAI's, but for thoughts, which stand in an assistant's content.

https://docs.databricks.com/aws/en/machine-learning/model-serving/query-reason-models.
"""

from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json

_THOUGHTS = ("reasoning_content", "thinking_blocks")


def conversation(messages: list[Json]) -> list[Json]:
    """The messages, thoughts of an earlier answer in their place.

    Raises:
        InvalidRequest: The thoughts are not those of an answer; the error names them.
    """
    return [
        _message(message, f"messages.{index}") if any(name in message for name in _THOUGHTS) else message
        for index, message in enumerate(messages)
    ]


def _message(message: Json, at: str) -> Json:
    rest = {name: value for name, value in message.items() if name not in _THOUGHTS}
    if not (blocks := message.get("thinking_blocks")):
        return rest
    content = message.get("content") or []
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**rest, "content": [*_reasoning(blocks, f"{at}.thinking_blocks"), *said]}


def _reasoning(blocks: Any, at: str) -> list[Json]:
    if not isinstance(blocks, list) or not all(
        isinstance(block, dict) and isinstance(block.get("thinking"), str) for block in blocks
    ):
        raise InvalidRequest.field(at, "the blocks of an earlier answer are expected, unchanged")
    return [{"type": "reasoning", "summary": [_summary(block)]} for block in blocks]


def _summary(block: Json) -> Json:
    signature = {"signature": block["signature"]} if "signature" in block else {}
    return {"type": "summary_text", "text": block["thinking"], **signature}
