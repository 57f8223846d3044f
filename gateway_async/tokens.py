"""What calls use, in tokens: as answers and chunks tell it, or estimated from their texts."""

import re
from typing import Any, NamedTuple

TOLD = b'"prompt_tokens"'
"""What every usage holds, and no text: there the quotes would have backslashes."""

_USUAL = re.compile(
    rb': ?(\d{1,12}), ?(?:"completion_tokens": ?(\d{1,12}), ?)?"total_tokens": ?(\d{1,12})[,}]'
)
"""What follows in a usage whose fields are in the order that nearly all have."""

_COUNT = re.compile(rb"\s*:\s*(\d{1,12})")

_TEXTS = frozenset(
    {
        *("messages", "prompt", "input", "content", "text", "tool_calls", "function", "name", "arguments"),
        *("choices", "message", "delta", "reasoning_content", "refusal"),
    }
)
"""Fields of requests and answers that hold texts which a model reads or writes, or lead there."""


class Tokens(NamedTuple):
    """How many tokens a call used."""

    prompt: int
    completion: int
    total: int
    """The provider's own sum, where it gives one: it may count more than the two."""

    estimated: bool = False
    """The provider did not tell: a token for every four bytes of text."""


def tokens_told(body: bytes) -> Tokens | None:
    """The tokens that an answer, or a chunk of a stream, says were used; None where it does not say.

    The rest of it is not parsed: embeddings can be large.
    """
    if (at := body.rfind(TOLD)) >= 0 and (usual := _USUAL.match(body, at + len(TOLD))):
        asked, answered, whole = usual.groups(b"0")
        return Tokens(int(asked), int(answered), int(whole))
    prompt, completion = _count(body, TOLD), _count(body, b'"completion_tokens"')
    total = _count(body, b'"total_tokens"')
    if prompt is None and completion is None and total is None:
        return None
    prompt, completion = prompt or 0, completion or 0
    return Tokens(prompt, completion, prompt + completion if total is None else total)


def _count(body: bytes, name: bytes) -> int | None:
    """The number under a name, the last one where there are several."""
    at = body.rfind(name)
    while at >= 0:
        if found := _COUNT.match(body, at + len(name)):
            return int(found[1])
        at = body.rfind(name, 0, at)
    return None


def estimated(prompt: int, completion: int) -> Tokens:
    """The tokens of an estimate."""
    return Tokens(prompt, completion, prompt + completion, estimated=True)


def tokens_estimated(value: Any) -> int:
    """The tokens of the texts in a request or an answer: one for every four bytes."""
    return -(-text_size(value) // 4)


def text_size(value: Any) -> int:
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
