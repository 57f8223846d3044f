"""The documented module-level functions, as coroutines: each a call of the client for the gateway that is set.

One client serves all calls in an event loop; it is made anew when the address or the key in the environment changes,
and closed when the loop ends.
"""

import os
from typing import Any

from anyio.lowlevel import RunVar

from gateway_async.address import get_gateway_uri, set_gateway_uri
from gateway_async.client import AsyncGatewayClient
from gateway_async.config import LimitsConfig, Route
from gateway_async.streaming import AsyncStream

__all__ = [
    "create_route",
    "delete_route",
    "get_gateway_uri",
    "get_limits",
    "get_route",
    "query",
    "search_routes",
    "set_gateway_uri",
    "set_limits",
    "stream",
    "update_route",
]


async def get_route(name: str) -> Route:
    """A route: its name, type, model, and the absolute address to call it at.

    Args:
        name: The route's name.

    Raises:
        RouteNotFound: The gateway has no such route.
    """
    return await _client().get_route(name)


async def search_routes() -> list[Route]:
    """Every route of the gateway, over all pages."""
    client = _client()
    page = await client.search_routes()
    routes = page.to_list()
    while page.token is not None:
        page = await client.search_routes(page_token=page.token)
        routes += page
    return routes


async def create_route(
    name: str, route_type: str | None = None, model: dict[str, Any] | None = None
) -> Route:
    """A new route, served from now on.

    Args:
        name: The route's name.
        route_type: `llm/v1/chat`, `llm/v1/completions` or `llm/v1/embeddings`.
        model: `name`, `provider`, and the provider's settings under `config` or, as the documented example has it,
            under `<provider>_config`.

    Raises:
        GatewayError: The gateway does not create routes; mlflow's own does so on Databricks only.
    """
    return await _client().create_route(name, route_type, model)


async def update_route(name: str, changes: dict[str, Any]) -> Route:
    """A route that was made by `create_route`, with some of its settings changed.

    Args:
        name: The route's name.
        changes: What changes, such as `{"model": {"name": "gpt-5"}}`; see `AsyncGatewayClient.update_route`.

    Raises:
        RouteNotFound: The gateway has no such route.
        Conflict: It is a route of the gateway's configuration file.
    """
    return await _client().update_route(name, changes)


async def delete_route(name: str) -> None:
    """Delete a route that was made by `create_route`.

    Args:
        name: The route's name.

    Raises:
        RouteNotFound: The gateway has no such route.
        Conflict: It is a route of the gateway's configuration file.
        GatewayError: The gateway does not delete routes; mlflow's own does so on Databricks only.
    """
    await _client().delete_route(name)


async def set_limits(route: str, limits: list[dict[str, Any]]) -> LimitsConfig:
    """The limits of a route, after these have replaced those it had.

    Args:
        route: The route's name.
        limits: Each `{"calls": 50, "renewal_period": "minute", "key": "user"}`.

    Raises:
        GatewayError: The gateway does not set limits; mlflow's own does so on Databricks only.
    """
    return await _client().set_limits(route, limits)


async def get_limits(route: str) -> LimitsConfig:
    """The limits of a route.

    Args:
        route: The route's name.

    Raises:
        GatewayError: The gateway does not tell limits; mlflow's own does so on Databricks only.
    """
    return await _client().get_limits(route)


async def query(route: str, data: dict[str, Any]) -> dict[str, Any]:
    """The route's answer to one request, in the standard shape of its type.

    Args:
        route: The route's name.
        data: As for `AsyncGatewayClient.query`.

    Raises:
        GatewayError: As for `AsyncGatewayClient.query`.
    """
    return await _client().query(route, data)


async def stream(route: str, data: dict[str, Any]) -> AsyncStream[dict[str, Any]]:
    """The route's answer as it comes, chunk by chunk.

    Args:
        route: The name of a route for chat or completions.
        data: As for `AsyncGatewayClient.query`.

    Raises:
        GatewayError: The call is refused.
    """
    return await _client().stream(route, data)


_shared: RunVar[tuple[tuple[str, str | None], AsyncGatewayClient]] = RunVar("gateway_client")


def _client() -> AsyncGatewayClient:
    recipe = (get_gateway_uri(), os.environ.get("GATEWAY_API_KEY"))
    shared = _shared.get(None)
    if shared is None or shared[0] != recipe:
        # The one before is closed when its last call is over and nobody holds it any more.
        shared = recipe, AsyncGatewayClient(recipe[0], api_key=recipe[1])
        _shared.set(shared)
    return shared[1]
