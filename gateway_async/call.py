"""What travels through a gateway: a Call goes in, an Answer or a StreamAnswer comes out, Handlers stand in a row."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Any, NamedTuple, Protocol

from gateway_async.config import RouteType, TimeoutsConfig
from gateway_async.tokens import Tokens, tokens_told

Headers = tuple[tuple[str, str], ...]
"""Response headers that tell the caller how its answer came about."""


class Caller(NamedTuple):
    """Who calls."""

    address: str | None = None
    """Its network address; None in-process."""

    key: str | None = None
    """The name of the key that it came with."""

    admin: bool = False
    """It may change routes, limits and keys."""

    routes: frozenset[str] | None = None
    """The routes that it may call; None: all."""

    request_id: str | None = None

    @property
    def user(self) -> str:
        """Whom a limit per user counts: the key, else the address. An IPv6 host has 2**64 of these: it is one user."""
        if self.key is not None:
            return f"key {self.key}"
        address = self.address or ""
        return _user_at(address) if ":" in address else address


@lru_cache(maxsize=1024)
def _user_at(address: str) -> str:
    """The network of an IPv6 address; the IPv4 address that one stands for, however it is written."""
    try:
        found = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))


_TIMEOUTS = TimeoutsConfig()


@dataclass(slots=True)
class Call:
    """One request to one route."""

    route: str
    kind: RouteType
    data: dict[str, Any]
    """The request as the caller sent it, validated; what was not sent is not in it."""

    stream: bool
    caller: Caller = field(default_factory=Caller)
    timeouts: TimeoutsConfig = field(default_factory=lambda: _TIMEOUTS)
    deadline: float | None = None
    """When the answer must be whole, on the clock of `time.monotonic`."""

    hurried: bool = False
    """The deadline is the caller's own: the provider is told of it."""

    on_usage: tuple[Callable[[Tokens], None], ...] = ()
    """Told what the call used, if it is a stream: once, when that ends in whatever way."""

    sent: bool = False
    """A provider was asked, and may have begun."""

    leftover: "Answer | None" = None
    """What a provider's filter left of an answer: the caller's, if nobody has a better one."""


class UsageAsked(dict[str, Any]):
    """The `stream_options` of a call for whose usage the gateway asks. Its caller does not, and gets no chunk of it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options, include_usage=True)


@dataclass(slots=True)
class Answer:
    """A whole answer in the route type's standard shape."""

    body: bytes
    """JSON."""

    headers: Headers = ()

    @property
    def usage(self) -> Tokens | None:
        """The tokens that it says were used; None where it does not say. Of a stream see `Call.on_usage`."""
        return tokens_told(self.body)


class StreamAnswer(Protocol):
    """A streamed answer: an async iterator with an owner, who must call `aclose`.

    Each item is a batch of one or more chunks that came together, each the JSON of one chunk. A failure after the
    first batch is raised out of the iteration, as a `GatewayError`.
    """

    headers: Headers

    def __aiter__(self) -> "StreamAnswer":
        """Itself."""
        ...

    async def __anext__(self) -> Sequence[bytes]:
        """The next batch."""
        ...

    async def aclose(self) -> None:
        """Stop, and let go of what the stream holds. May be called twice."""
        ...


Handler = Callable[[Call], Awaitable[Answer | StreamAnswer]]
"""Answers calls. A policy is a handler around another."""
