"""What a call used, in tokens: read from an answer or a stream, or estimated where nobody says."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Self

import orjson

from gateway_async.call import StreamAnswer

_TOLD = b'"prompt_tokens"'
"""What every usage holds, and no text: there the quotes would have backslashes."""

_COUNT = re.compile(rb"\s*:\s*(\d{1,12})")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')

_TEXTS = frozenset(
    {
        *("messages", "prompt", "input", "content", "text", "tool_calls", "function", "name", "arguments"),
        *("choices", "message", "delta", "reasoning_content", "refusal"),
    }
)
"""Fields of requests and answers that hold texts which a model reads or writes, or lead there."""


def tokens_told(body: bytes) -> int | None:
    """The tokens that an answer, or a chunk of a stream, says were used; None where it does not say.

    The rest of it is not parsed: embeddings can be large.
    """
    total = _count(body, b'"total_tokens"')
    if total is not None:
        return total
    parts = [_count(body, b'"prompt_tokens"'), _count(body, b'"completion_tokens"')]
    return None if parts == [None, None] else sum(part or 0 for part in parts)


def _count(body: bytes, name: bytes) -> int | None:
    """The number under a name, the last one where there are several."""
    at = body.rfind(name)
    while at >= 0:
        if found := _COUNT.match(body, at + len(name)):
            return int(found[1])
        at = body.rfind(name, 0, at)
    return None


def tokens_estimated(value: Any) -> int:
    """The tokens of the texts in a request or an answer: one for every four bytes."""
    return -(-_text_size(value) // 4)


def _text_size(value: Any) -> int:
    """The bytes of the texts in a request, an answer or a chunk. A token that is given as a number counts as four."""
    size, rest = 0, [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            size += len(part.encode(errors="replace"))
        elif isinstance(part, int):
            size += 4
        elif isinstance(part, list):
            rest += part
        elif isinstance(part, dict):
            rest += (field for name, field in part.items() if name in _TEXTS)
    return size


def tokens_of(request: dict[str, Any], body: bytes) -> int:
    """The tokens that a whole answer used, the request's among them."""
    told = tokens_told(body)
    return told if told is not None else tokens_estimated(request) + tokens_estimated(orjson.loads(body))


class MeteredStream:
    """A stream that tells what it used, once, when it ends in whatever way.

    Args:
        stream: The stream.
        request: The request, for an estimate.
        hides: Keep the chunk that says nothing but the usage from the caller, who did not ask for it.
        settle: Takes the tokens.
    """

    def __init__(
        self, stream: StreamAnswer, request: dict[str, Any], *, hides: bool, settle: Callable[[int], None]
    ) -> None:
        self.headers = stream.headers
        self._stream = stream
        self._request = request
        self._hides = hides
        self._settle: Callable[[int], None] | None = settle
        self._last_told = b""
        self._chunks = 0
        self._texts = 0
        self._frame: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        while True:
            try:
                batch = await self._stream.__anext__()
            except BaseException:
                self._end()
                raise
            for chunk in batch:
                if _TOLD in chunk:
                    self._last_told = chunk
                    if self._hides and _only_usage(chunk):
                        batch = [other for other in batch if other is not chunk]
                        continue
                self._chunks += 1
                size = len(chunk)
                if self._frame is None or size < self._frame:
                    self._frame = size - _text_size(orjson.loads(chunk))
                self._texts += size - self._frame
            if batch:
                return batch

    async def aclose(self) -> None:
        """Stop, and say what was used so far."""
        self._end()
        await self._stream.aclose()

    def _end(self) -> None:
        settle, self._settle = self._settle, None
        if settle is not None:
            told = tokens_told(self._last_told)
            settle(told if told is not None else tokens_estimated(self._request) + self._streamed())

    def _streamed(self) -> int:
        """An estimate: a chunk is a token, or more where it is longer than its frame by more than four bytes."""
        return max(self._chunks, -(-self._texts // 4))


def _only_usage(chunk: bytes) -> bool:
    return _NO_CHOICES.search(chunk) is not None and orjson.loads(chunk).get("choices") == []
