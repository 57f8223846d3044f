"""Parts of answers in the standard shape: OpenAI's objects, made of what another API says."""

import base64
import struct
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson

from gateway_async.config import RouteType
from gateway_async.errors import UpstreamInvalid
from gateway_async.providers._base import Json
from gateway_async.providers._errors import excerpt

MALFORMED = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)
"""What reading an answer raises when it lacks a field, has one of another type, or is nested too deeply."""


def json_object(body: bytes, provider: str, what: str = "its answer") -> Json:
    """The JSON object in a body.

    Raises:
        UpstreamInvalid: There is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamInvalid(f"{provider}: {what} is not a JSON object: {excerpt(body)}", provider=provider)
    return value


def text_of(value: Any) -> str:
    """The value, which must be a text.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def count_of(value: Any) -> int:
    """The value, which must be a whole number of 0 or more; None counts as 0.

    Raises:
        TypeError: It is none.
    """
    if value is None:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a count is expected")
    return value


def token_usage(
    prompt: Any, completion: Any, *, cached: Any = 0, written: Any = 0, reasoning: Any = 0, total: Any = None
) -> Json:
    """The tokens of a call, as OpenAI counts them.

    Args:
        prompt: Tokens of the prompt, those from a cache among them.
        completion: Tokens of the answer, those of its thoughts among them.
        cached: Tokens of the prompt that were read from a cache.
        written: Tokens of the prompt that were written to a cache.
        reasoning: Tokens of the answer that are thoughts.
        total: All of them, where it is not the sum.

    Raises:
        TypeError: One is no count.
    """
    asked, answered = count_of(prompt), count_of(completion)
    used: Json = {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered if total is None else count_of(total),
    }
    details = {"cached_tokens": count_of(cached), "cache_write_tokens": count_of(written)}
    if details := {name: count for name, count in details.items() if count}:
        used["prompt_tokens_details"] = details
    if thought := count_of(reasoning):
        used["completion_tokens_details"] = {"reasoning_tokens": thought}
    return used


UNCOUNTED: Json = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
"""The usage of an upstream that counts no tokens."""


def chat_completion(model: str, choices: list[Json], usage: Json | None, *, answer_id: str = "") -> Json:
    """A whole answer to a chat.

    Args:
        model: Name of the model that answered.
        choices: The answers; see `chat_choice`.
        usage: See `token_usage`.
        answer_id: The upstream's own id of the answer; without it, one of ours.
    """
    return {
        "id": answer_id or new_id("chatcmpl"),
        "object": "chat.completion",
        "created": now(),
        "model": text_of(model),
        "choices": choices,
        "usage": UNCOUNTED if usage is None else usage,
    }


def chat_choice(
    index: int, text: str | None, finish: str | None, *, calls: Sequence[Json] = (), **more: Any
) -> Json:
    """One answer to a chat.

    Args:
        index: Its place among the answers.
        text: What the model says; None where it only calls tools.
        finish: Why it ends, in OpenAI's words: `stop`, `length`, `tool_calls` or `content_filter`.
        calls: The tools that it calls; see `tool_call`.
        more: Further fields of the message, such as `reasoning_content`; those that are None are left out.
    """
    message: Json = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    message |= {name: value for name, value in more.items() if value is not None}
    return {"index": index, "message": message, "finish_reason": finish}


def tool_call(call_id: Any, name: Any, arguments: str, *, index: int | None = None) -> Json:
    """A call of a function.

    Args:
        call_id: The upstream's id of the call; empty where it gives none, then one is made.
        name: The function's name.
        arguments: Its arguments, JSON in a string.
        index: The call's number, in a stream.
    """
    function = {"name": text_of(name), "arguments": text_of(arguments)}
    call: Json = {} if index is None else {"index": index}
    return {**call, "id": text_of(call_id or new_id("call")), "type": "function", "function": function}


def text_completion(
    model: str, choices: list[Json], usage: Json | None, *, answer_id: str | None = ""
) -> Json:
    """A whole completion; see `chat_completion`."""
    return {
        "id": new_id("cmpl") if answer_id == "" else answer_id,
        "object": "text_completion",
        "created": now(),
        "model": text_of(model),
        "choices": choices,
        "usage": UNCOUNTED if usage is None else usage,
    }


def text_choice(index: int, text: str, finish: str | None) -> Json:
    """One completion."""
    return {"index": index, "text": text_of(text), "finish_reason": finish}


def embedding_list(
    model: str, vectors: Sequence[Any], used: int | None, *, encoding: str | None = None
) -> Json:
    """The vectors of a request's texts, in their order.

    Args:
        model: Name of the model.
        vectors: A list of numbers for each text.
        used: Tokens of all texts; None where the upstream does not count them.
        encoding: The request's `encoding_format`: `base64` for little-endian 32-bit floats in base64, as OpenAI's
            SDK asks for without being told to.

    Raises:
        ValueError: A vector is none.
    """
    rows = [
        {"object": "embedding", "embedding": _vector(vector, encoding), "index": index}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "data": rows, "model": text_of(model), "usage": usage}


def _vector(vector: Any, encoding: str | None) -> list[float] | str:
    if not isinstance(vector, list):
        raise TypeError("a vector is expected")
    if encoding != "base64":
        return vector
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, OverflowError):
        raise ValueError("a vector of numbers is expected") from None


class Chunks:
    """Makes the chunks of one streamed answer, under one id and one time.

    Args:
        kind: Chat or completions.
        model: Name of the model.
        answer_id: The upstream's own id of the answer; without it, one of ours.
    """

    def __init__(self, kind: RouteType, model: str, answer_id: str = "") -> None:
        chat = kind is RouteType.LLM_V1_CHAT
        self.frame: Json = {
            "id": answer_id or new_id("chatcmpl" if chat else "cmpl"),
            "object": "chat.completion.chunk" if chat else "text_completion_chunk",
            "created": now(),
            "model": text_of(model),
        }

    def delta(self, delta: Json, finish: str | None = None, *, index: int = 0) -> bytes:
        """A chunk of a chat."""
        return orjson.dumps(
            {**self.frame, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
        )

    def text(self, text: str | None, finish: str | None = None, *, index: int = 0) -> bytes:
        """A chunk of a completion."""
        return orjson.dumps(
            {**self.frame, "choices": [{"index": index, "text": text, "finish_reason": finish}]}
        )

    def usage(self, usage: Json) -> bytes:
        """The last chunk, which only says what was used; for callers who asked for it by `include_usage`."""
        return orjson.dumps({**self.frame, "choices": [], "usage": usage})


def wants_usage(data: Json) -> bool:
    """Whether the request asks for a last chunk with the usage."""
    return bool((data.get("stream_options") or {}).get("include_usage"))


def new_id(prefix: str) -> str:
    """An id for an answer whose upstream gave none."""
    return f"{prefix}-{uuid4().hex}"


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())
