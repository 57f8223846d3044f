"""AWS's binary event streams, read by botocore: bytes to events, pure.

https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

import struct
from collections.abc import Mapping
from typing import Any

import orjson

from gateway_async.sse import Event


class Messages:
    """Finds the messages of an event stream, as events: an `EventDecoder`.

    An event has the name of its type. An exception's is `exception/{type}`, and what is no event stream ends as one
    event `broken`, with the reason as its data; so the events before it are not lost.
    """

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer: Any = EventStreamBuffer()
        self._broken = False

    def feed(self, data: bytes) -> list[Event]:
        """The messages that these bytes complete."""
        from botocore.eventstream import ParserError

        found: list[Event] = []
        if self._broken:
            return found
        self._buffer.add_data(data)
        try:
            for message in self._buffer:
                found.append(_event(message.headers, message.payload))
        except (ParserError, ValueError, KeyError, struct.error) as problem:
            self._broken = True
            found.append(Event("broken", str(problem).encode()))
        return found

    def close(self) -> list[Event]:
        """Nothing: half a message says nothing."""
        return []


def _event(headers: Mapping[str, Any], payload: bytes) -> Event:
    kind = headers.get(":message-type")
    if kind == "event":
        return Event(str(headers.get(":event-type")), payload)
    if kind == "exception":
        return Event(f"exception/{headers.get(':exception-type')}", payload)
    said = str(headers.get(":error-message", ""))
    return Event(f"exception/{headers.get(':error-code')}", orjson.dumps({"message": said}))
