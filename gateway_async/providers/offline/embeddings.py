"""Embeddings of the offline model: unit vectors in which texts with common words are near."""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any

from gateway_async.providers._base import Json
from gateway_async.providers.offline.text import inputs_of, tokens

DIMENSIONS = 256
"""Length of an embedding, unless the request asks for another."""


def embeddings(data: Json, model: str) -> Json:
    """The vectors of a request's texts."""
    bags = [_bag(text) for text in inputs_of(data)]
    vectors: list[Any] = [vector(bag, data.get("dimensions") or DIMENSIONS) for bag in bags]
    if data.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    used = sum(map(len, bags))
    rows = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)]
    return {
        "object": "list",
        "data": rows,
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def vector(bag: Sequence[str], dimensions: int) -> list[float]:
    """A unit vector: every word adds to a few places that its hash chooses, and so does the text as a whole."""
    values = [0.0] * dimensions
    for word in (*bag, "\0".join(bag)):
        digest = hashlib.blake2b(word.encode()).digest()
        for place, sign in struct.iter_unpack("<Ib3x", digest):
            values[place % dimensions] += 1.0 if sign >= 0 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if not length:  # everything cancelled out, as it may in very few dimensions
        values[0] = length = 1.0
    return [value / length for value in values]


def _bag(text: str | list[int]) -> list[str]:
    return (
        [token.strip().lower() for token in tokens(text)]
        if isinstance(text, str)
        else [f"#{n}" for n in text]
    )
