"""An adapter with credentials that change: they are put into its requests when these are sent."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from gateway_async.errors import ConfigError, UpstreamError
from gateway_async.providers._base import Adapter, ChunkReader, Json, UpstreamRequest, UpstreamResponse


@dataclass(frozen=True, slots=True)
class Authorized:
    """An `Adapter` and its credentials.

    Args:
        adapter: The adapter.
        provider: Name of the provider.
        headers: Gives the headers that let us in; a `ConfigError` of it is told as the gateway's own fault.
    """

    adapter: Adapter
    provider: str
    headers: Callable[[], Awaitable[Mapping[str, str]]]

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with its credentials."""
        try:
            headers = await self.headers()
        except ConfigError as problem:
            raise UpstreamError(f"{self.provider}: {problem.message}", provider=self.provider) from problem
        return replace(request, headers={**request.headers, **headers})

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The adapter's request."""
        return self.adapter.request(data, stream=stream)

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The adapter's answer."""
        return self.adapter.answer(response, data)

    def reader(self, data: Json) -> ChunkReader:
        """The adapter's reader."""
        return self.adapter.reader(data)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The adapter's error."""
        return self.adapter.error(response)
