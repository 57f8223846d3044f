"""Adapters and responders of plugins: an exception that none should raise is told as the plugin's, and shows no key."""

import logging
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from gateway_async.call import Answer, Call, Headers, StreamAnswer
from gateway_async.errors import GatewayError, UpstreamError
from gateway_async.plugins import Plugin
from gateway_async.providers._base import (
    Adapter,
    Authorizing,
    ChunkReader,
    Json,
    Responder,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway_async.providers._errors import hide, redact

_T = TypeVar("_T")

_log = logging.getLogger("gateway_async")


def guarded(bound: Adapter | Responder, plugin: Plugin, keys: Sequence[str]) -> Adapter | Responder:
    """What a plugin's `bind` gave, with a guard around it.

    Args:
        bound: The adapter or the responder.
        plugin: The plugin, for messages.
        keys: What no message and no log may show.
    """
    guard = Guard(plugin, keys)
    if isinstance(bound, Responder):
        return GuardedResponder(bound, guard)
    return (AuthorizingAdapter if isinstance(bound, Authorizing) else GuardedAdapter)(bound, guard)


class Guard:
    """Turns a plugin's exceptions into errors of the gateway without keys; the log has the traceback."""

    def __init__(self, plugin: Plugin, keys: Sequence[str]) -> None:
        self._who = f"the plugin {plugin.name!r} of {plugin.distribution}"
        self._keys = keys

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Run a part of the plugin.

        Raises:
            GatewayError: It raised that, or what it should not.
        """
        try:
            yield
        except GatewayError as failed:
            hide(self._keys, failed)
            raise
        except StopAsyncIteration:  # the end of a stream
            raise
        except (Exception, SystemExit):  # noqa: BLE001 - what it raises is up to its author
            _log.error("%s failed in %s:\n%s", self._who, what, redact(traceback.format_exc(), self._keys))
            raise GatewayError(f"{self._who} failed in {what}; the gateway's log says why") from None


def _given(value: Any, kind: type[_T]) -> _T:
    """The value, which must be of this kind: a plugin is not held to its types."""
    if not isinstance(value, kind):
        raise TypeError(f"it gives {type(value).__name__}, and {kind.__name__} is expected")
    return value


class GuardedAdapter:
    """A plugin's adapter."""

    def __init__(self, adapter: Adapter, guard: Guard) -> None:
        self._adapter = adapter
        self._guard = guard

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        with self._guard("request()"):
            return _given(self._adapter.request(data, stream=stream), UpstreamRequest)

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The answer in the standard shape."""
        with self._guard("answer()"):
            return _given(self._adapter.answer(response, data), bytes)

    def reader(self, data: Json) -> ChunkReader:
        """A reader for the stream that answers this request."""
        with self._guard("reader()"):
            return GuardedReader(self._adapter.reader(data), self._guard)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error."""
        with self._guard("error()"):
            return _given(self._adapter.error(response), UpstreamError)


class AuthorizingAdapter(GuardedAdapter):
    """A plugin's adapter whose credentials change."""

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with its credentials."""
        assert isinstance(self._adapter, Authorizing)
        with self._guard("authorize()"):
            return _given(await self._adapter.authorize(request), UpstreamRequest)


class GuardedReader:
    """A plugin's reader."""

    def __init__(self, reader: ChunkReader, guard: Guard) -> None:
        self._reader = reader
        self._guard = guard

    @property
    def done(self) -> bool:
        """The upstream has said that the stream is complete."""
        return self._reader.done

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete."""
        with self._guard("feed()"):
            for chunk in self._reader.feed(data):
                yield _given(chunk, bytes)

    def end(self) -> Iterable[bytes]:
        """The last chunks."""
        with self._guard("end()"):
            for chunk in self._reader.end():
                yield _given(chunk, bytes)


class GuardedResponder:
    """A plugin that answers by itself."""

    def __init__(self, responder: Responder, guard: Guard) -> None:
        self._responder = responder
        self._guard = guard

    async def respond(self, call: Call) -> Answer | StreamAnswer:
        """The answer."""
        with self._guard("respond()"):
            answer = await self._responder.respond(call)
            if call.stream:
                stream = GuardedStream(answer, self._guard)
                await stream.start()
                return stream
            _given(_given(answer, Answer).body, bytes)
            return answer


class GuardedStream:
    """A plugin's stream."""

    def __init__(self, stream: Any, guard: Guard) -> None:
        self.headers: Headers = stream.headers
        self._stream = aiter(stream)
        self._guard = guard
        self._first: Sequence[bytes] = ()

    async def start(self) -> None:
        """Ask for the first batch, so that a failure before it is an error and not a broken stream."""
        try:
            self._first = await anext(self)
        except StopAsyncIteration:
            return
        except BaseException:
            await self.aclose()
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        """The next batch."""
        if self._first:
            first, self._first = self._first, ()
            return first
        with self._guard("its stream"):
            return [_given(chunk, bytes) for chunk in await anext(self._stream)]

    async def aclose(self) -> None:
        """Stop."""
        with self._guard("aclose()"):
            await self._stream.aclose()
