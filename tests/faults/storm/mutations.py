"""Bytes made a little wrong, the same way each time for the same source of chance."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

FRAGMENTS: Sequence[bytes] = (
    b"", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b" ", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f",
    b"\\", b'"', b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"{}", b"[]", b'""',
    b"data:", b"data: ", b"data: [DONE]\n\n", b"event: error\n", b"event:", b"id: 1\n", b"retry: x\n", b": comment\n\n",
    b"data: {}\n\n", b"data: null\n\n", b"data: 5\n\n", b'data: {"error":{"message":"no"}}\n\n', b'data: {"choices":[]}\n\n',
    b"0", b"-1", b"1e999", b"-0.0", b"NaN", b"Infinity", b"9" * 400, b"1" + b"0" * 5000, b"[" * 2000, b'{"a":' * 2000,
    b"x" * 5000, b'"messages":5,', b'"stream":"yes",', b'"model":{},', b'"n":-5,', b'"choices":null,', b'"usage":"lots",',
    b'"index":-1,', b'"index":99999999999999999999,', b'"delta":7,', b'"type":null,', b'"content":[{"type":"x"}],',
)  # fmt: skip
"""What makes trouble in JSON and in streams of events."""


def flip(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    """A byte becomes another."""
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def remove(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    """Some bytes are gone."""
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice((1, 2, 10, 100))]


def repeat(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    """Some bytes come twice."""
    start = chance.randrange(len(data) + 1)
    data[start:start] = data[start : start + chance.choice((1, 10, 100, 1000))]


def insert(data: bytearray, chance: Random, fragments: Sequence[bytes]) -> None:
    """Something comes in between, often where a value or a line begins."""
    place = chance.randrange(len(data) + 1)
    if chance.random() < 0.7:
        mark = chance.choice((b"\n", b":", b",", b"{", b"["))
        place = data.find(mark, place) + 1
    data[place:place] = chance.choice(fragments)


def replace(data: bytearray, chance: Random, fragments: Sequence[bytes]) -> None:
    """A value, or what stands up to the next comma or line end, becomes another."""
    start = data.find(b":", chance.randrange(len(data) + 1)) + 1
    ends = [end for mark in (b",", b"\n", b"}") if (end := data.find(mark, start)) >= 0]
    data[start : min(ends, default=len(data))] = chance.choice(fragments)


def cut(data: bytearray, chance: Random, _: Sequence[bytes]) -> None:
    """The rest is missing."""
    del data[chance.randrange(len(data) + 1) :]


CHANGES: Sequence[Callable[[bytearray, Random, Sequence[bytes]], None]] = (
    flip, flip, remove, repeat, insert, insert, insert, replace, replace, cut,
)  # fmt: skip


def mutated(data: bytes, chance: Random, *, most: int = 4, fragments: Sequence[bytes] = FRAGMENTS) -> bytes:
    """The data with some things changed."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, most)):
        chance.choice(CHANGES)(changed, chance, fragments)
    return bytes(changed)


def pieces(data: bytes, chance: Random) -> list[bytes]:
    """The data in pieces of any size, at times byte by byte."""
    largest = (
        chance.choice((1, 3, 20, 200, 2000, 10**9)) if len(data) < 4000 else chance.choice((200, 2000, 10**9))
    )
    found, at = [], 0
    while at < len(data):
        size = chance.randint(1, largest)
        found.append(data[at : at + size])
        at += size
    return found


ODD: Sequence[Any] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, 1e308, "", "x", "\0", "é", "\U0001f30a", "a" * 5000,
    [], [None], [[]], ["x"], [1], {}, {"type": "x"}, {"x": {}}, {"": 0}, [{}] * 200,
)  # fmt: skip
"""Values that are seldom meant."""


def strange(value: Any, chance: Random) -> Any:
    """A copy of a value with one value somewhere in it replaced, removed, or added."""
    if chance.random() < 0.2 or not value or not isinstance(value, dict | list):
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        kept = {0: [], 1: [value[at]] * 2}.get(chance.randrange(6), [strange(value[at], chance)])
        return [*value[:at], *kept, *value[at + 1 :]]
    key = chance.choice(list(value))
    rest = {name: inner for name, inner in value.items() if name != key}
    way = chance.randrange(6)
    return (
        rest
        if way == 0
        else {**value, "more": chance.choice(ODD)}
        if way == 1
        else {**rest, key: strange(value[key], chance)}
    )
