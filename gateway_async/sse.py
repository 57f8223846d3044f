"""Server-sent events: bytes ↔ events, pure.

Wire format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines may end in any of the three ways
and may be cut anywhere, also within a character.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_EVENT_BYTES = 32 * 2**20
"""An event larger than this is refused, so that no upstream can fill the memory."""


_MARK = b"\xef\xbb\xbf"
"""What some servers put before the first byte of a text in UTF-8."""


class Event(NamedTuple):
    """One event: its name, empty where it has none, and its data."""

    name: str
    data: bytes


class Pieces:
    """The beginning of something whose end has not come: put together once, not with every piece.

    An image is an event, or a line, of megabytes.
    """

    __slots__ = ("_held", "_size")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, piece: bytes) -> None:
        """Hold a piece.

        Raises:
            ValueError: They are more than `MAX_EVENT_BYTES` together.
        """
        if not piece:
            return
        self._size += len(piece)
        if self._size > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        self._held.append(piece)

    def endswith(self, end: bytes) -> bool:
        """Whether the last piece ends so."""
        return bool(self._held) and self._held[-1].endswith(end)

    def take(self, more: bytes = b"") -> bytes:
        """All that is held, and what comes behind it; nothing is held then."""
        whole = b"".join([*self._held, more]) if self._held else more
        self._held, self._size = [], 0
        return whole


class Decoder:
    """Reads events out of bytes as they come.

    Raises:
        ValueError: An event grows beyond `MAX_EVENT_BYTES`.
    """

    __slots__ = ("_between", "_held", "_pieces", "_started")

    def __init__(self) -> None:
        self._pieces = Pieces()
        self._held = b""
        """What can't be understood yet: half of a line end, or of the mark at the beginning."""

        self._started = False
        self._between = True
        """All bytes so far were whole events."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        self._between = False
        if self._held:
            data, self._held = self._held + data, b""
        if not self._started:
            if len(data) < 3 and _MARK.startswith(data):
                self._held = data
                return []
            self._started, data = True, data.removeprefix(_MARK)
        if b"\r" in data:
            # A carriage return at the end may be half of a line end: it waits for the next bytes.
            if data.endswith(b"\r"):
                data, self._held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._pieces:
            split = data.startswith(b"\n") and self._pieces.endswith(b"\n")
            if not split and b"\n\n" not in data:
                self._pieces.add(data)
                return []
            data = self._pieces.take(data)
        *blocks, rest = data.split(b"\n\n")
        self._pieces.add(rest)
        self._between = not (rest or self._held)
        return [event for block in blocks if block and (event := _event(block)) is not None]

    def plain(self, data: bytes) -> list[bytes] | None:
        """What `feed` finds, where these bytes are whole events of a line of data each, as they mostly are; else None."""
        if not (self._between and data.startswith(b"data: ") and data.endswith(b"\n\n")):
            return None
        found = data[6:-2].split(b"\n\ndata: ")
        if b"\r" in data or data.count(b"\n") != 2 * len(found):
            return None
        self._started = True
        return found

    def close(self) -> list[Event]:
        """The event that the end of the stream leaves without its blank line, if there is one."""
        held = b"" if self._started else self._held
        block, self._held = self._pieces.take(held).rstrip(b"\n"), b""
        return [event for event in (_event(block),) if event is not None] if block else []


def _event(block: bytes) -> Event | None:
    if block.startswith(b"data: ") and b"\n" not in block:  # nearly all events of nearly all providers
        return Event("", block[6:])
    name, data = "", []
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value.decode("utf-8", "replace")
    return Event(name, b"\n".join(data)) if data else None


def encode(chunks: Iterable[bytes]) -> bytes:
    """The bytes of one event for each chunk; a chunk holds no line end."""
    return b"".join([b"data: %b\n\n" % chunk for chunk in chunks])


def comment(text: str) -> bytes:
    """The bytes of a comment, which readers skip."""
    return b": %b\n\n" % text.encode()


__all__: Sequence[str] = ["MAX_EVENT_BYTES", "Decoder", "Event", "Pieces", "comment", "encode"]
