"""Chunks that are like the one before go on unread: what comes of a stream is the same as if each were read."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_async.providers._base import ChunkReader
from gateway_async.providers.openai_format.likeness import Likeness
from gateway_async.providers.openai_format.reader import ChatReader
from tests.providers.cases import Case, each, outcome, read

HEAD = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
OUR_IDS = "call[-_][0-9a-f]{32}"
TAIL = ',"logprobs":null,"finish_reason":null}]}'


def chunk(content: str, *, tail: str = TAIL) -> str:
    """A chunk with this between the quotes of its content."""
    return f'{HEAD}{{"content":"{content}"}}{tail}'


WORDS = [chunk("Hello"), chunk(" there"), chunk(" “you”"), chunk("\\n\\u00e9\\\\"), chunk("")]

STRANGE = [
    chunk("a\\ud83d"),
    chunk("a\\ud83d\\ude00"),
    chunk('a","role":"user'),
    chunk('a"},"finish_reason":"stop","x":{"y":"'),
    chunk("a\\"),
    chunk("a\\x"),
    chunk("a\tb"),
    chunk("a", tail=TAIL + "x"),
    chunk("a", tail=TAIL[:-1]),
    chunk("a", tail=TAIL.replace("null}", '"stop"}')),
    chunk("a", tail=TAIL.replace("}]}", '}],"error":{"message":"no"}}')),
    chunk("a", tail=TAIL.replace("}]}", '}],"obfuscation":"x1"}')),
    chunk("a", tail=TAIL.replace("}]}", '}],"usage":{"prompt_tokens":1}}')),
    f'{HEAD}{{"role":"assistant","content":"a"}}{TAIL}',
    f'{HEAD}{{"role":"assistant","content":""}}{TAIL}',
    f'{HEAD}{{"content":null,"reasoning_content":"x"}}{TAIL}',
    f'{HEAD}{{"content":{{"content":"x"}}}}{TAIL}',
    f'{HEAD}{{"tool_calls":[{{"index":0,"function":{{"arguments":"x"}}}}]}}{TAIL}',
    '{"error":{"message":"content","content":"no"}}',
    '{"choices":null,"content":"x"}',
    "[DONE]",
    "",
]


def outcomes(reader: ChunkReader, pieces: Sequence[bytes], *, unread: bool) -> Any:
    """What a reader makes of pieces: chunks but for the ids of our own, and how it fails."""
    with pytest.MonkeyPatch.context() as patch:
        if not unread:
            patch.setattr(Likeness, "holds", lambda self, data: False)
        found = read(reader, pieces)
    for got in found.chunks:
        for own in ("id", "created"):
            got.pop(own, None)
    return found.chunks, found.error and outcome(found.error)


def both(pieces: Sequence[bytes]) -> tuple[Any, Any]:
    """What comes of a stream either way."""
    one, other = (outcomes(ChatReader("test", "m"), pieces, unread=unread) for unread in (True, False))
    return one, other


@settings(max_examples=300)
@given(
    events=st.lists(st.sampled_from(WORDS) | st.sampled_from([*WORDS, *STRANGE]), max_size=12),
    ends=st.sampled_from(["\n\n", "\r\n\r\n", "\n\n: ping\n\n"]),
    name=st.sampled_from(["", "", "", "event: message\n", "event: error\n"]),
    size=st.integers(1, 400),
)
def test_whatever_comes_is_judged_as_if_it_were_read(
    events: list[str], ends: str, name: str, size: int
) -> None:
    """However it is cut."""
    whole = "".join(f"{name}data: {event}{ends}" for event in events).encode()
    unread, all_read = both([whole[at : at + size] for at in range(0, len(whole), size)])

    assert unread == all_read


@settings(max_examples=200)
@given(texts=st.lists(st.text(), max_size=8), ascii_only=st.booleans())
def test_whatever_a_model_says_comes_through(texts: list[str], ascii_only: bool) -> None:
    """Escaped or not."""
    said = [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts]
    whole = "".join(f"data: {chunk(text)}\n\n" for text in ["a", *said]).encode("utf-8", "surrogatepass")
    unread, all_read = both([whole])

    assert unread == all_read


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3", b"\xed\xa0\xbd", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x00"]
)
def test_what_is_no_text_is_no_chunk(bad: bytes) -> None:
    """Bytes that are no UTF-8, or no part of a string."""
    good = f"data: {chunk('a')}\n\n".encode()
    unread, all_read = both([good, good, good.replace(b'"a"', b'"a' + bad + b'"')])

    assert unread == all_read
    assert unread[1]["type"] == "UpstreamInvalid"


@each(lambda case: case.streams and case.of_events)
@pytest.mark.parametrize("times", [1, 3])
def test_recorded_streams_come_out_the_same(case: Case, times: int) -> None:
    """Of every provider, also with events that come several times."""
    events = case.stream_bytes().split(b"\n\n")
    whole = b"".join(event + b"\n\n" for event in events for _ in range(times))
    one, other = (outcomes(case.reader(), [whole], unread=unread) for unread in (True, False))

    assert re.sub(OUR_IDS, "", json.dumps(one)) == re.sub(OUR_IDS, "", json.dumps(other))


def test_a_stream_like_itself_is_hardly_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand chunks two are."""
    reader, read_ones = ChatReader("test", "m"), 0
    standard_chunk = reader.standard_chunk

    def counted(value: dict[str, Any]) -> bool:
        nonlocal read_ones
        read_ones += 1
        return standard_chunk(value)

    monkeypatch.setattr(reader, "standard_chunk", counted)
    first = f'{HEAD}{{"role":"assistant","content":""}}{TAIL}'
    events = [f"data: {event}\n\n".encode() for event in [first, *(chunk(f"w{n}") for n in range(1000))]]

    assert len(read(reader, events).chunks) == 1001
    assert read_ones == 2


def test_a_stream_unlike_itself_is_compared_no_further() -> None:
    """Where each chunk has a time of its own, say."""
    likeness = Likeness()
    for number in range(100):
        data = chunk("a").replace('"created":1', f'"created":{number}').encode()
        assert not likeness.holds(data)
        likeness.learn(data, json.loads(data))

    assert not likeness.holds(data)
