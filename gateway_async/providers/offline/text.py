"""What an offline model reads: the texts of a request, and tokens, which are words and punctuation marks."""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


def tokens(text: str) -> list[str]:
    """The text in the offline model's tokens; joined they give the text."""
    return _TOKEN.findall(text)


def content_of(message: Json) -> str:
    """The text of a message; parts that are no text by the names of their kinds."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(
        part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in content
    )


def texts_of(data: Json, *, chat: bool) -> Iterator[str]:
    """Every text of a request that counts as prompt."""
    if not chat:
        prompt = data["prompt"]
        yield from (
            text for text in (prompt if isinstance(prompt, list) else [prompt]) if isinstance(text, str)
        )
        return
    for message in data["messages"]:
        yield content_of(message)
        for call in message.get("tool_calls") or ():
            yield (call.get("function") or {}).get("arguments") or ""
    if tools := data.get("tools"):
        try:
            yield orjson.dumps(tools).decode()
        except orjson.JSONEncodeError as problem:
            raise InvalidRequest.field("tools", f"the offline model can't read them: {problem}") from None


def token_lists(prompt: Any) -> list[list[int]]:
    """The token lists of a prompt that is given as tokens."""
    if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], str):
        return []
    return prompt if isinstance(prompt[0], list) else [prompt]


def inputs_of(data: Json) -> list[Any]:
    """The texts of an embeddings request, one by one."""
    given = data["input"]
    return given if isinstance(given, list) and not isinstance(given[0], int) else [given]
