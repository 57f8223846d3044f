"""What a provider is: values in, values out, no I/O.

A provider module offers `provider`, a `Provider`. Bound to a model when the configuration loads, it gives an
`Adapter`, which turns a request into an upstream request and the upstream's answer into the standard shape, or a
`Responder`, which needs no upstream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from gateway_async.call import Answer, Call, StreamAnswer
from gateway_async.config import Model, RouteType
from gateway_async.errors import UpstreamError

Json = dict[str, Any]


@dataclass(slots=True)
class UpstreamRequest:
    """A request to send to a provider. Its `repr` shows neither keys, which an address may hold too, nor prompts."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    dropped: tuple[str, ...] = ()
    """Parameters that asked for something and are not in it; the caller is told."""

    unique: bool = False
    """Its headers never come again, as those of a signed request: nothing of them is kept."""

    time_left: float | None = None
    """Seconds that the caller gave this call; it is told in `X-Request-Timeout`, which a gateway upstream obeys."""


@dataclass(slots=True)
class UpstreamResponse:
    """What a provider answered, whole."""

    status: int
    headers: Mapping[str, str]
    """By name, in small letters."""

    body: bytes


class ChunkReader(Protocol):
    """Turns the bytes of one upstream stream into chunks of the standard shape, each as JSON."""

    @property
    def done(self) -> bool:
        """The upstream has said that the stream is complete."""
        ...

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete.

        Raises:
            UpstreamError: The upstream reports an error in its stream, or sends what its API does not promise.
        """
        ...

    def end(self) -> Iterable[bytes]:
        """The last chunks, when the upstream has closed its stream.

        Raises:
            UpstreamInvalid: The stream broke off before it was complete.
        """
        ...


class Adapter(Protocol):
    """A provider, bound to the model and the type of one route."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream.

        Raises:
            InvalidRequest: The provider can't carry something in the request; the error names it.
        """
        ...

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The answer to a request, in the standard shape, as JSON.

        Raises:
            UpstreamInvalid: The upstream's answer is not what its API promises.
        """
        ...

    def reader(self, data: Json) -> ChunkReader:
        """A reader for the stream that answers this request."""
        ...

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The error for an answer with a status of 300 or more."""
        ...


@runtime_checkable
class Authorizing(Protocol):
    """An adapter whose credentials change: they are put into each request when it is sent."""

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with its credentials. What blocks, such as asking for new ones, is done in a thread.

        Raises:
            UpstreamError: There are none to be had.
        """
        ...


@runtime_checkable
class Responder(Protocol):
    """A provider that answers by itself."""

    async def respond(self, call: Call) -> Answer | StreamAnswer:
        """The answer."""
        ...


class Provider(Protocol):
    """A provider before it is bound to a route."""

    name: str
    route_types: frozenset[RouteType]

    def bind(self, model: Model, kind: RouteType) -> Adapter | Responder:
        """The provider for one route; called once, when the configuration loads."""
        ...
