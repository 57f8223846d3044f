"""`GET /health`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route


async def health(request: Request) -> Response:
    """The server is up."""
    return Response(b'{"status":"OK"}', media_type="application/json")


def routes() -> list[BaseRoute]:
    """The endpoints of this module."""
    return [Route("/health", health, methods=["GET"])]
