"""The calls that a client makes of a gateway, however it reaches it.

Over HTTP that is `transport`, in its own process `local`.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from gateway_async.streaming import ChunkSource

Json = dict[str, Any]


class Transport(Protocol):
    """The calls of a gateway, in JSON."""

    async def health(self) -> Json:
        """`GET /health`."""
        ...

    async def routes(self, page_token: str | None) -> Json:
        """A page of routes."""
        ...

    async def route(self, name: str) -> Json:
        """One route."""
        ...

    async def create_route(self, route: Json) -> Json:
        """The route that was created."""
        ...

    async def update_route(self, name: str, changes: Json) -> Json:
        """The route that was changed."""
        ...

    async def export_route(self, name: str) -> Json:
        """A route as an endpoint of a configuration file."""
        ...

    async def delete_route(self, name: str) -> None:
        """Delete a route."""
        ...

    async def limits(self, route: str) -> Json:
        """The limits of a route."""
        ...

    async def set_limits(self, limits: Json) -> Json:
        """The limits that were set."""
        ...

    async def reset_limits(self, route: str) -> Json:
        """The limits of a route, once those that were set are forgotten."""
        ...

    async def query(self, route: str, data: Any) -> Json:
        """The answer of a route."""
        ...

    async def stream(self, route: str, data: Mapping[str, Any]) -> ChunkSource:
        """The answer of a route, chunk by chunk."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
