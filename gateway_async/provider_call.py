"""A call of a provider: its request sent, its answer or its stream brought back, and what is told of it on the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from gateway_async.call import Answer, Call, Headers, StreamAnswer
from gateway_async.errors import (
    GatewayError,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
    UpstreamTimeout,
)
from gateway_async.providers._base import Adapter, Authorizing, ChunkReader, UpstreamRequest
from gateway_async.providers._errors import hide
from gateway_async.secrets import Secret
from gateway_async.upstream import MAX_ANSWER_BYTES, Upstream, UpstreamStream, time_left

REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-ms-request-id",
    "mistral-correlation-id",
    "x-together-traceid",
    "x-debug-trace-id",
    "cf-ray",
)
"""Headers in which the providers give their own id of a request; the first that is there counts."""


class ProviderHandler:
    """Answers calls by asking a provider.

    Args:
        adapter: The provider, bound to the route.
        upstream: The way there.
        headers: What every answer of the route says of where it comes from.
        keys: What no error may show.
        drops: Leave out parameters that the provider has nothing for.
    """

    def __init__(
        self,
        adapter: Adapter,
        upstream: Upstream,
        headers: Headers,
        keys: Sequence[Secret],
        *,
        drops: bool = False,
    ) -> None:
        self._adapter = adapter
        self._authorize = adapter.authorize if isinstance(adapter, Authorizing) else None
        self._upstream = upstream
        self._headers = headers
        self._keys = keys
        self._drops = drops

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        request, data, headers = self._request(call)
        keys = self._keys
        try:
            if self._authorize is not None:
                request = await self._authorized(request, call)
                keys = (*keys, *_credentials(request.headers))
            if call.hurried and call.deadline is not None:
                # Told in milliseconds, and never more than there is.
                request = replace(request, time_left=time_left(call.deadline - 0.0005))
            call.sent = True
            if call.stream:
                opened = await self._upstream.open(request, call.timeouts, call.deadline)
                return await self._stream(opened, data, headers, keys)
            response = await self._upstream.send(request, call.timeouts, call.deadline)
            if response.status >= 300:
                raise _told(self._adapter.error(response), response.headers)
            body = self._adapter.answer(response, data)
            return Answer(body, headers + _request_id(response.headers))
        except GatewayError as failed:
            hide(keys, failed)
            failed.headers = headers
            raise

    async def _authorized(self, request: UpstreamRequest, call: Call) -> UpstreamRequest:
        """The request with its credentials."""
        assert self._authorize is not None
        if call.deadline is None:
            return await self._authorize(request)
        try:
            async with asyncio.timeout(call.deadline - time.monotonic()):
                return await self._authorize(request)
        except TimeoutError:
            raise UpstreamTimeout(
                "the gateway's credentials for the provider were not there in time"
            ) from None

    def _request(self, call: Call) -> tuple[UpstreamRequest, dict[str, Any], Headers]:
        """What to send, the request as far as it is sent, and the headers that tell of it."""
        data, dropped = call.data, list[str]()
        while True:
            try:
                request = self._adapter.request(data, stream=call.stream)
            except UnsupportedParameter as refused:
                if not self._drops or refused.parameter not in data:
                    raise
                dropped.append(refused.parameter)
                data = {name: value for name, value in data.items() if name != refused.parameter}
            else:
                dropped += request.dropped
                if not dropped:
                    return request, data, self._headers
                return request, data, (*self._headers, ("x-gateway-dropped-params", ", ".join(dropped)))

    async def _stream(
        self, upstream: UpstreamStream, data: dict[str, Any], headers: Headers, keys: Sequence[Secret]
    ) -> StreamAnswer:
        try:
            if upstream.status >= 300:
                refusal = await upstream.read_all()
                await upstream.aclose(finished=True)
                raise _told(self._adapter.error(refusal), upstream.headers)
            headers += _request_id(upstream.headers)
            stream = ProviderStream(upstream, self._adapter.reader(data), headers, keys)
            await stream.start()
        except BaseException:
            await upstream.aclose()
            raise
        return stream


class ResponderHandler:
    """Answers calls by a provider that needs no upstream.

    Args:
        respond: The provider.
        headers: What every answer of the route says of where it comes from.
    """

    def __init__(self, respond: Callable[[Call], Awaitable[Answer | StreamAnswer]], headers: Headers) -> None:
        self._respond = respond
        self._headers = headers

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        call.sent = True
        try:
            answer = await self._respond(call)
        except GatewayError as failed:
            failed.headers = self._headers
            raise
        if isinstance(answer, Answer):
            return Answer(answer.body, (*self._headers, *answer.headers))
        answer.headers = (*self._headers, *answer.headers)
        return answer


def _credentials(headers: Mapping[str, str]) -> Iterator[Secret]:
    """What lets a request in that no setting holds: a token, alone and behind the name of its scheme."""
    for name in ("Authorization", "X-Amz-Security-Token"):
        if value := headers.get(name):
            yield Secret(value)
            yield Secret(value.rpartition(" ")[2])


def _request_id(headers: Mapping[str, str]) -> Headers:
    """The provider's own id of a request, for whoever asks the provider about it."""
    for name in REQUEST_IDS:
        if name in headers:
            return (("x-upstream-request-id", headers[name]),)
    return ()


def _told(failed: UpstreamError, headers: Mapping[str, str]) -> UpstreamError:
    """The error with the provider's own id of the request."""
    for _, value in _request_id(headers):
        failed.upstream_request_id = value
    return failed


class ProviderStream:
    """A provider's stream in the standard shape: a `StreamAnswer`."""

    def __init__(
        self, upstream: UpstreamStream, reader: ChunkReader, headers: Headers, keys: Sequence[Secret]
    ) -> None:
        self.headers = headers
        self._keys = keys
        self._upstream = upstream
        self._reader = reader
        self._first: list[bytes] = []
        self._failed: GatewayError | None = None
        self._size = 0
        self._ended = False

    async def start(self) -> None:
        """Read up to the first chunk, so that a failure before it is an error and not a broken stream."""
        self._first = await self._batch(first=True)
        if not self._first:
            raise UpstreamInvalid("the provider's stream ended before its first chunk")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        first, self._first = self._first, []
        if batch := first or await self._batch():
            return batch
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Let go of the connection; it is closed unless the stream was read to its end."""
        await self._upstream.aclose(finished=self._ended)

    async def _batch(self, *, first: bool = False) -> list[bytes]:
        """The chunks that the next bytes bring; none at the end."""
        batch: list[bytes] = []
        while not batch and not self._ended:
            if self._failed is not None:
                raise self._failed
            data = await self._upstream.read(first=first)
            self._size += len(data)
            try:
                if self._size > MAX_ANSWER_BYTES:  # readers may gather what they read
                    raise UpstreamInvalid(f"the provider's stream is longer than {MAX_ANSWER_BYTES} bytes")
                # Those before one that fails stay in it.
                batch += self._reader.feed(data) if data else self._reader.end()
            except GatewayError as failed:
                hide(self._keys, failed)
                if not batch:
                    raise
                self._failed = failed
            # With a failure kept for the next call this is no end, whatever came with it.
            self._ended = self._failed is None and (not data or self._reader.done)
        return batch
