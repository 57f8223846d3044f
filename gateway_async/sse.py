"""Server-sent events: bytes ↔ events, pure.

Wire format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines may end in any of the three ways
and may be cut anywhere, also within a character.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MAX_EVENT_BYTES = 32 * 2**20
"""An event larger than this is refused, so that no upstream can fill the memory."""


class Event(NamedTuple):
    """One event: its name, empty where it has none, and its data."""

    name: str
    data: bytes


class Decoder:
    """Reads events out of bytes as they come.

    Raises:
        ValueError: An event grows beyond `MAX_EVENT_BYTES`.
    """

    __slots__ = ("_buffer", "_started")

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        if not self._started:
            data = self._buffer + data
            self._buffer, self._started = b"", len(data) > 2 or not b"\xef\xbb\xbf".startswith(data)
            data = data.removeprefix(b"\xef\xbb\xbf")
        data = self._buffer + data if self._buffer else data
        if b"\r" in data:
            # A carriage return at the end may be half of a line end: it waits for the next bytes.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            held = b""
        *blocks, rest = data.split(b"\n\n")
        self._buffer = rest + held
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        return [event for block in blocks if block and (event := _event(block)) is not None]

    def close(self) -> list[Event]:
        """The event that the end of the stream leaves without its blank line, if there is one."""
        block, self._buffer = self._buffer.rstrip(b"\r\n"), b""
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


__all__: Sequence[str] = ["MAX_EVENT_BYTES", "Decoder", "Event", "comment", "encode"]
