"""`/api/2.0/gateway/limits/` and `/api/2.0/endpoints/limits/`: the limits of routes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway_async.config import LimitsConfig
from gateway_async.live.changes import Changes
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.validation import json_object
from gateway_server.middleware.auth import admin_of, caller_of


class Limits:
    """Tells limits; for admins, sets them.

    Args:
        live: Whose.
        changes: Makes changes.
    """

    def __init__(self, live: LiveGateway, changes: Changes) -> None:
        self._live = live
        self._changes = changes

    async def get(self, request: Request) -> Response:
        """The limits of a route."""
        name = request.path_params["name"]
        self._live.find(name).admit(caller_of(request.scope))
        return _told(self._changes.limits(name))

    async def set(self, request: Request) -> Response:
        """The limits of a route, after these have replaced those it had."""
        by = admin_of(request.scope)
        return _told(await self._changes.set_limits(json_object(await request.body()), by))

    async def reset(self, request: Request) -> Response:
        """The limits of a route, after the configuration's have come back."""
        return _told(await self._changes.reset_limits(request.path_params["name"], admin_of(request.scope)))


def _told(limits: LimitsConfig) -> Response:
    return Response(limits.model_dump_json(), media_type="application/json")


def routes(live: LiveGateway, changes: Changes) -> list[BaseRoute]:
    """The endpoints of this module. They stand before `/api/2.0/endpoints/{name}`, which would match them too."""
    api = Limits(live, changes)
    return [
        route
        for base in ("/api/2.0/gateway/limits/", "/api/2.0/endpoints/limits/")
        for route in (
            Route(base, api.set, methods=["POST"]),
            Route(base + "{name}", api.get, methods=["GET"]),
            Route(base + "{name}", api.reset, methods=["DELETE"]),
        )
    ]
