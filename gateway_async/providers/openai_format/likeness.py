"""What the chunks of a stream have in common: nearly all are like the one before, but for their texts.

A chunk that is like one which was checked, and was found to be as it should, needs no check of its own: the bytes
that differ are text within a string of JSON, and nothing that is checked depends on that.
"""

import re

from gateway_async.providers._base import Json

MOST_FRUITLESS = 4
"""A stream whose chunks are never like the one before is compared no further."""

_STRING = re.compile(
    rb'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
)
"""The inside of a string, but for halves of surrogate pairs: those are for a parser to judge."""

_TEXT = re.compile(
    rb'"(?:content|reasoning_content|reasoning|arguments|text|refusal|obfuscation)"\s*:\s*"('
    + _STRING.pattern
    + rb')"'
)
"""A field whose text differs from chunk to chunk. Within a string its quotes would have backslashes."""


class Likeness:
    """Compares chunks with the last one that was checked."""

    __slots__ = ("_begin", "_fruitless", "_rest")

    def __init__(self) -> None:
        self._begin = b""
        self._rest: list[bytes] = []
        self._fruitless = 0

    def holds(self, data: bytes) -> bool:
        """Whether a chunk is like the last one that was learned."""
        if not self._rest or not data.startswith(self._begin):
            return False
        at = len(self._begin)
        for literal in self._rest:
            at = _STRING.match(data, at).end()  # type: ignore[union-attr] # nothing is a match, too
            if not data.startswith(literal, at):
                return False
            at += len(literal)
        if at != len(data) or not (data.isascii() or _is_text(data)):
            return False
        self._fruitless = 0
        return True

    def learn(self, data: bytes, value: Json) -> None:
        """Take a chunk that is as it should be for what the next ones are like.

        Args:
            data: The chunk.
            value: The same, parsed.
        """
        if self._fruitless == MOST_FRUITLESS or any(map(_has_role, value["choices"])):
            return  # whether a role may stand depends on what came before
        self._fruitless += 1
        at, literals = 0, []
        for found in _TEXT.finditer(data):
            literals.append(data[at : found.start(1)])
            at = found.end(1)
        self._begin, self._rest = (
            literals[0] if literals else b"",
            [*literals[1:], data[at:]] if literals else [],
        )


def _has_role(choice: Json) -> bool:
    return (choice.get("delta") or {}).get("role") is not None


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
