"""The shape of answers in the OpenAI wire format: of which type each field is, and what stands for one that is missing.

https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid

Shape = Mapping[str, type | tuple[type, ...]]
"""The types of the fields that a caller reads; null is as good as absent, and other fields are the upstream's."""

FRAME: Shape = {"id": str, "object": str, "created": int, "model": str, "usage": dict}
CHOICE: Shape = {"index": int, "finish_reason": str, "message": dict, "delta": dict, "text": str}
MESSAGE: Shape = {"role": str, "content": (str, list), "refusal": str, "tool_calls": list}
ROW: Shape = {"index": int, "object": str, "embedding": (list, str)}

NOTHING: Mapping[str, Any] = {}


def complete(value: Any, shape: Shape, missing: Mapping[str, Any], provider: str, what: str) -> bool:
    """Put in what is missing; whether anything was.

    Raises:
        UpstreamInvalid: A field is not of its type, or the value is no object.
    """
    if not isinstance(value, dict):
        invalid(provider, f"{what} is not an object")
    changed = False
    for key, kind in shape.items():
        found = value.get(key)
        if found is None:
            if key in missing:
                value[key], changed = missing[key], True
        elif not isinstance(found, kind):
            invalid(provider, f"{key!r} in {what} is not of its type")
    return changed


def choices_of(value: Json, provider: str) -> list[Any]:
    """The choices of an answer or a chunk.

    Raises:
        UpstreamInvalid: It has none.
    """
    if not isinstance(choices := value.get("choices"), list):
        invalid(provider, "its answer has no choices")
    return choices


def dumped(value: Json, provider: str) -> bytes:
    """The answer or chunk as JSON.

    Raises:
        UpstreamInvalid: It is nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        invalid(provider, "its answer is nested too deeply")
