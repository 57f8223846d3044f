"""Answers of Anthropic's Messages API in the standard shape: https://docs.anthropic.com/en/api/messages.

Thoughts stand under `reasoning_content` to be read, and whole with their signature under `thinking_blocks`, to be sent
back with the next request. Where OpenAI's answers have no place for a block, all of them stand under
`anthropic_blocks`, to be sent back too.
"""

import json

from gateway_async.providers._answers import (
    chat_choice,
    chat_completion,
    count_of,
    text_of,
    token_usage,
    tool_call,
)
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid

NAME = "anthropic"

_FINISH = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

THOUGHTS = ("thinking", "redacted_thinking")


def chat_answer(value: Json, provider: str = NAME) -> Json:
    """The answer to a chat."""
    blocks = value.get("content")
    if not isinstance(blocks, list) or not isinstance(value.get("usage"), dict):
        invalid(provider, "its answer has no content or no usage")
    texts = [text_of(block["text"]) for block in blocks if block.get("type") == "text"]
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    thoughts = [block for block in blocks if block.get("type") in THOUGHTS]
    explanation = (value.get("stop_details") or {}).get("explanation")
    choice = chat_choice(
        0,
        "".join(texts) if texts or not calls else None,
        finish_reason(value.get("stop_reason")),
        calls=calls,
        thinking_blocks=thoughts or None,
        reasoning_content="".join(block.get("thinking", "") for block in thoughts) or None,
        anthropic_blocks=None if all(map(is_plain, blocks)) else blocks,
        refusal=text_of(explanation) if explanation else None,
    )
    return chat_completion(value["model"], [choice], usage(value["usage"]), answer_id=text_of(value["id"]))


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


def is_plain(block: Json) -> bool:
    """Whether OpenAI's answers have a place for all of a block."""
    return block.get("type") in ("text", "tool_use", *THOUGHTS) and not block.get("citations")


def _call(block: Json) -> Json:
    if not isinstance(block["input"], dict):
        raise TypeError("an object is expected")
    return tool_call(text_of(block["id"]), block["name"], json.dumps(block["input"]))
