"""`/api/2.0/gateway/limits/` and `/api/2.0/endpoints/limits/`: the limits of routes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway_async.errors import NotSupported


async def get_limits(request: Request) -> Response:
    """Not offered yet."""
    raise NotSupported("The get_limits API is not available yet.")


async def set_limits(request: Request) -> Response:
    """Not offered yet."""
    raise NotSupported("The set_limits API is not available yet.")


def routes() -> list[BaseRoute]:
    """The endpoints of this module. They stand before `/api/2.0/endpoints/{name}`, which would match them too."""
    return [
        route
        for base in ("/api/2.0/gateway/limits/", "/api/2.0/endpoints/limits/")
        for route in (
            Route(base, set_limits, methods=["POST"]),
            Route(base + "{name}", get_limits, methods=["GET"]),
        )
    ]
