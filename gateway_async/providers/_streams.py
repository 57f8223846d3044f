"""Reading upstream streams: events or lines, whatever piece by piece they come in."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway_async.errors import UpstreamInvalid
from gateway_async.providers._answers import MALFORMED, json_object
from gateway_async.providers._base import Json
from gateway_async.providers._errors import broken_off, invalid
from gateway_async.sse import Decoder, Event, Pieces


class EventDecoder(Protocol):
    """Finds events in bytes. `sse.Decoder` is one, `Lines` another."""

    def feed(self, data: bytes) -> Sequence[Event]:
        """The events that these bytes complete.

        Raises:
            ValueError: They are none, or one is too large.
        """
        ...

    def close(self) -> Sequence[Event]:
        """What the end of the stream leaves without its mark."""
        ...


class Lines:
    """Finds lines: each that is not empty is an event without a name (newline-delimited JSON)."""

    def __init__(self) -> None:
        self._rest = Pieces()

    def feed(self, data: bytes) -> list[Event]:
        """The lines that these bytes complete."""
        if b"\n" not in data:
            self._rest.add(data)
            return []
        *lines, rest = self._rest.take(data).split(b"\n")
        self._rest.add(rest)
        return [Event("", stripped) for line in lines if (stripped := line.strip())]

    def close(self) -> list[Event]:
        """The last line, where it lacks its end."""
        line = self._rest.take().strip()
        return [Event("", line)] if line else []


class EventReader:
    """A `ChunkReader` over events; a provider says what an event means.

    Args:
        provider: Name of the provider.
        decoder: What finds the events; server-sent ones without it.
    """

    def __init__(self, provider: str, decoder: EventDecoder | None = None) -> None:
        self.provider = provider
        self.done = False
        self._decoder = decoder or Decoder()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete."""
        for event in self.events(data):
            if not self.done:
                yield from self.event(event)

    def events(self, data: bytes) -> Sequence[Event]:
        """The events that these bytes complete.

        Raises:
            UpstreamInvalid: They are none, or one is too large.
        """
        try:
            return self._decoder.feed(data)
        except ValueError as problem:
            raise UpstreamInvalid(f"{self.provider}: {problem}", provider=self.provider) from None

    def end(self) -> Iterable[bytes]:
        """The chunks of an event that lacks its blank line; then the stream must be complete."""
        for event in self._decoder.close():
            if not self.done:
                yield from self.event(event)
        if not self.done and not self.complete():
            raise broken_off(self.provider)

    def complete(self) -> bool:
        """Whether an end without the provider's own mark may count as one."""
        return False

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunks that one event stands for. Sets `done` when it is the last."""
        raise NotImplementedError

    def json(self, event: Event) -> Json:
        """The event's data as an object.

        Raises:
            UpstreamInvalid: It is none.
        """
        return json_object(event.data, self.provider, "an event of its stream")


class JsonReader(EventReader):
    """A reader of events that are JSON objects, each of which stands for chunks."""

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        value = self.json(event)
        try:
            yield from self.chunks(value)
        except MALFORMED:
            invalid(self.provider, "an event of its stream lacks what it should have, or comes out of order")

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one object stands for. Sets `done` when it is the last.

        Raises:
            UpstreamError: It reports an error.
            KeyError: And the others of `MALFORMED`: it is not what the API promises.
        """
        raise NotImplementedError
