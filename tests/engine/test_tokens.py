"""How many tokens an answer says it used, and how many it may have used."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway_async.tokens import tokens_estimated, tokens_told


def told(body: bytes) -> tuple[int, int, int]:
    """Of the prompt, of the completion, and in all."""
    found = tokens_told(body)
    assert found is not None
    assert not found.estimated
    return found.prompt, found.completion, found.total


@given(
    said=st.text() | st.sampled_from(['"total_tokens"', '"total_tokens', '"total_tokens": 1', '\\"usage']),
    first=st.booleans(),
    total=st.integers(0, 2**31),
    spaced=st.booleans(),
)
def test_what_a_model_says_does_not_count(said: str, first: bool, total: int, spaced: bool) -> None:
    """Only what stands in the usage does, wherever that is, and whatever the text looks like."""
    choices = [{"message": {"content": said, "parts": [said, said]}}]
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": total}
    answer = {"usage": usage, "choices": choices} if first else {"choices": choices, "usage": usage}
    separators = None if spaced else (",", ":")

    assert told(json.dumps(answer, separators=separators, ensure_ascii=first).encode()) == (1, 2, total)
    del usage["total_tokens"]
    assert told(json.dumps(answer).encode()) == (1, 2, 3)
    assert tokens_told(json.dumps({"choices": choices, "usage": dict.fromkeys(usage)}).encode()) is None


def test_a_count_that_is_none_is_no_failure() -> None:
    """Whatever an upstream writes there."""
    assert tokens_told(b'{"usage":{"total_tokens":-1}}') is None
    assert tokens_told(b'{"usage":{"total_tokens":"many"}}') is None
    assert told(b'{"usage":{"total_tokens":5.0}}') == (0, 0, 5)
    assert told(b'{"usage":{"total_tokens":' + b"9" * 10_000 + b"}}") == (0, 0, 999_999_999_999)


def test_an_estimate_looks_at_texts_only() -> None:
    """Not at pictures, nor at numbers; tokens that were given count as such."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    content = [{"type": "text", "text": "é" * 20}, picture]

    assert tokens_estimated({"messages": [{"role": "user", "content": content}], "seed": 1}) == 10
    assert tokens_estimated({"input": ["abcd", "abcdefgh"], "dimensions": 3}) == 3
    assert tokens_estimated({"prompt": [[1, 2, 3], [4]]}) == 4
    assert tokens_estimated({}) == 0
