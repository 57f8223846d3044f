"""Server-sent events: the same events come out, however the bytes are cut."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway_async import sse
from gateway_async.sse import Decoder, Event, comment, encode

BOM = b"\xef\xbb\xbf"


def read(*pieces: bytes) -> list[Event]:
    """Every event that the pieces hold; the same where the short way is taken as far as it goes."""
    decoder, quick = Decoder(), Decoder()
    events, same = list[Event](), list[Event]()
    for piece in pieces:
        events += decoder.feed(piece)
        plain = quick.plain(piece)
        same += quick.feed(piece) if plain is None else [Event("", data) for data in plain]
    events += decoder.close()
    assert same + quick.close() == events
    return events


def test_whole_events_of_a_line_each_go_the_short_way() -> None:
    """Where nothing else came before, or stands between them."""
    decoder = Decoder()
    assert decoder.plain(b"data: 1\n\n") == [b"1"]
    assert decoder.plain(b"data: 2\n\ndata: 3\n\n") == [b"2", b"3"]
    for other in (
        b"",
        b"data: 4",
        b"event: a\ndata: 4\n\n",
        b": 4\n\n",
        b"data: 4\n\n: 5\n\n",
        b"data: 4\r\n\n\n",
    ):
        assert decoder.plain(other) is None

    decoder.feed(b"data: 4")
    assert decoder.plain(b"data: 5\n\n") is None


def by_the_book(content: bytes) -> list[Event]:
    """What the standard's algorithm makes of the whole; and what its end leaves, which we keep."""
    text = content.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, name, data = [], "", list[bytes]()
    for line in [*text.split(b"\n"), b""]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append(Event(name, b"\n".join(data)))
            name, data = "", []
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return events


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_of_three_ways(end: bytes) -> None:
    """Line feed, carriage return, both."""
    content = end.join([b"event: a", b"data: 1", b"data: 2", b"", b"data: 3", b"", b""])

    assert read(content) == [Event("a", b"1\n2"), Event("", b"3")]


@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b"data: a\n\n", [Event("", b"a")]),
        (b"data:a\n\n", [Event("", b"a")]),
        (b"data:  a\n\n", [Event("", b" a")]),
        (b"data\n\n", [Event("", b"")]),
        (b"data:\n\n", [Event("", b"")]),
        (b"data: a: b\n\n", [Event("", b"a: b")]),
        (b": a comment\n\ndata: a\n\n", [Event("", b"a")]),
        (b": ping\n: ping\n\n", []),
        (b": in between\ndata: a\n\n", [Event("", b"a")]),
        (b"id: 1\nretry: 5\ndata: a\n\n", [Event("", b"a")]),
        (b"event: alone\n\ndata: a\n\n", [Event("", b"a")]),
        (b"Data: a\n\n data: b\n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [Event("", b"a")]),
        (b"data: a\n\ndata: the end cuts", [Event("", b"a"), Event("", b"the end cuts")]),
        (b"data: a\n", [Event("", b"a")]),
        (b"data: a\r", [Event("", b"a")]),
        (b"data: a\n\r", [Event("", b"a")]),
        (b"", []),
        (BOM, []),
        (BOM + b"data: a\n\n", [Event("", b"a")]),
        (BOM + BOM + b"data: a\n\n", []),
        (b"data: a\n\n" + BOM + b"data: b\n\n", [Event("", b"a")]),
        ("data: Grüße 🎉\n\n".encode(), [Event("", "Grüße 🎉".encode())]),
        (b"event: \xff\ndata: \xff\n\n", [Event("\ufffd", b"\xff")]),
        (b'data: {"a": 1}\n\ndata: [DONE]\n\n', [Event("", b'{"a": 1}'), Event("", b"[DONE]")]),
    ],
)  # fmt: skip
def test_events_are_read_as_the_standard_says(content: bytes, events: list[Event]) -> None:
    """Whole, and byte by byte."""
    assert read(content) == events
    assert read(*[content[i : i + 1] for i in range(len(content))]) == events
    assert by_the_book(content) == events


LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"event: e",
        b": c",
        b"id: 1",
        b"",
        b"",
        b"x",
        "data: é🎉".encode(),
        BOM,
        b"data: x: y",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
CONTENTS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@settings(max_examples=400, deadline=None)
@given(
    content=CONTENTS | st.binary(max_size=40) | st.text("dat:\n\r e", max_size=40).map(str.encode),
    data=st.data(),
)
@example(content=BOM + BOM + b"data: a\n\n", data=None)
@example(content=b"data: a\r\n\r\ndata: b\r\r", data=None)
def test_any_cut_of_the_bytes_gives_the_same_events(content: bytes, data: st.DataObject | None) -> None:
    """Between any two bytes, also within a character, a line end or the mark at the start."""
    expected = by_the_book(content)
    assert read(content) == expected
    for at in range(len(content) + 1):
        assert read(content[:at], content[at:]) == expected
    if data is not None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
        pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
        assert read(*pieces) == expected


def test_an_event_comes_out_as_soon_as_it_is_whole() -> None:
    """With the bytes that end it, and not with the next ones."""
    decoder = Decoder()

    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\ndata: b") == [Event("", b"a")]
    assert decoder.feed(b"\r\n\r\n") == [Event("", b"b")]
    assert decoder.close() == []


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No upstream can fill the memory."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    decoder = Decoder()
    decoder.feed(b"data: " + b"x" * 900)

    with pytest.raises(ValueError, match="an event is larger than 1000 bytes"):
        decoder.feed(b"x" * 200)


def test_many_small_events_are_not_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is that of one event."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)

    assert len(read(b"data: abc\n\n" * 1000)) == 1000


@given(
    chunks=st.lists(
        st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1).map(str.encode)
    )
)
def test_what_is_written_is_read_again(chunks: list[bytes]) -> None:
    """An event for each chunk; comments are not read."""
    content = comment("ping").join([b"", encode(chunks), b""])

    assert [event.data for event in read(content)] == chunks
