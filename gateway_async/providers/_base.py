"""What a provider is: values in, values out, no I/O.

A provider module offers `provider`, a `Provider`. Bound to a model when the configuration loads, it gives an
`Adapter`, which turns a request into an upstream request and the upstream's answer into the standard shape, or a
`Responder`, which needs no upstream.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, runtime_checkable
from uuid import uuid4

import orjson

from gateway_async.call import Answer, Call, StreamAnswer
from gateway_async.config import Model, RouteType
from gateway_async.errors import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    error_code,
)
from gateway_async.secrets import MASK
from gateway_async.sse import Decoder, Event

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to send to a provider."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """What a provider answered, whole."""

    status: int
    headers: Mapping[str, str]
    """By name, in small letters."""

    body: bytes


class ChunkReader(Protocol):
    """Turns the bytes of one upstream stream into chunks of the standard shape, each as JSON."""

    done: bool
    """The upstream has said that the stream is complete."""

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

    def answer(self, response: UpstreamResponse) -> bytes:
        """The answer in the standard shape, as JSON.

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


class EventReader:
    """A `ChunkReader` over server-sent events; a provider says what an event means."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.done = False
        self._decoder = Decoder()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete."""
        try:
            events = self._decoder.feed(data)
        except ValueError as problem:
            raise UpstreamInvalid(f"{self.provider}: {problem}", provider=self.provider) from None
        for event in events:
            if not self.done:
                yield from self.event(event)

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


def json_object(body: bytes, provider: str, what: str = "its answer") -> Json:
    """The JSON object in a body.

    Raises:
        UpstreamInvalid: There is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamInvalid(f"{provider}: {what} is not a JSON object: {_excerpt(body)}", provider=provider)
    return value


def invalid(provider: str, problem: str) -> NoReturn:
    """Refuse an upstream's answer that is not what its API promises."""
    raise UpstreamInvalid(f"{provider}: {problem}", provider=provider)


def broken_off(provider: str) -> UpstreamInvalid:
    """The error for a stream that ends before its end."""
    return UpstreamInvalid(
        f"{provider}: the stream broke off before the answer was complete", provider=provider
    )


OUR_CREDENTIALS = frozenset({401, 402, 403, 407})
"""The gateway's account with the provider is at fault, not the caller."""

CALLER_S = frozenset({400, 404, 408, 409, 413, 415, 422, 429})
"""The request is at fault: the status is passed on."""


def upstream_error(
    provider: str, response: UpstreamResponse, *, secrets: Iterable[str] = ()
) -> UpstreamError:
    """The error for an upstream's answer that is not a success; its words are kept, keys taken out of them.

    Args:
        provider: Name of the provider.
        response: The upstream's answer, with a status of 300 or more.
        secrets: What must not show, though the upstream repeats it.
    """
    status, said = response.status, redact(error_message(response.body) or "no message", secrets)
    retry_after = parse_retry_after(response.headers.get("retry-after"))
    if status in OUR_CREDENTIALS:
        text = f"{provider} refuses the gateway's credentials ({status}): {said}"
        return UpstreamError(text, provider=provider, upstream_status=status)
    text = f"{provider} answered {status}: {said}"
    if status in CALLER_S:
        code = "NOT_FOUND" if status == 404 else error_code(status)
        return UpstreamRefused(
            text,
            provider=provider,
            upstream_status=status,
            retry_after=retry_after,
            status=status,
            error_code=code,
        )
    kind: type[UpstreamError] = UpstreamError
    if status in (408, 504):
        kind = UpstreamTimeout
    elif status in (503, 529):
        kind = UpstreamUnavailable
    elif status < 400:
        kind, text = UpstreamInvalid, f"{provider} answered {status}, a redirect, which is not followed"
    return kind(text, provider=provider, upstream_status=status, retry_after=retry_after)


def error_message(body: bytes) -> str:
    """An upstream's own words in the body of an error, whichever of the usual shapes it has."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _excerpt(body)
    for key in ("error", "message", "detail"):
        while isinstance(value, dict) and value.get(key):
            value = value[key]
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        value = value["type"]
    return value if isinstance(value, str) else _excerpt(body)


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text


def parse_retry_after(value: str | None) -> float | None:
    """The seconds that a `Retry-After` header asks for; a date is not read, since clocks differ."""
    return float(value) if value and re.fullmatch(r"\d{1,6}(\.\d+)?", value.strip()) else None


def new_id(prefix: str) -> str:
    """An id for an answer whose upstream gave none."""
    return f"{prefix}-{uuid4().hex}"


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def join_url(base: str, *parts: str) -> str:
    """The base address with parts added to its path; a query that it holds stays at the end."""
    address, mark, query = base.partition("?")
    return "/".join([address.rstrip("/"), *parts]) + mark + query


def _excerpt(body: bytes, limit: int = 500) -> str:
    text = body[: limit * 4].decode("utf-8", "replace").strip()
    if len(text) <= limit and len(body) <= limit * 4:
        return text
    # Not cut within a word: half a key would not be known for one, and show.
    return re.sub(r'[^\s"]*$', "", text[:limit]) + "…"
