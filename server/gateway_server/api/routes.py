"""`/api/2.0/gateway/routes/` and `/api/2.0/endpoints/`: the routes, under the documented and the newer names."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway_async import config
from gateway_async.live.changes import Changes
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.paging import decode_token, encode_token
from gateway_async.validation import json_object
from gateway_server.middleware.auth import admin_of, caller_of
from gateway_server.responses import json_response

AT_ONCE = 100
"""Routes of a long listing that are told before others have their turn."""


class Routes:
    """Lists and tells routes; for admins, makes, changes and deletes those of the store.

    Args:
        live: Whose.
        changes: Makes changes.
        newer: Answer under the newer names (`endpoints`, `endpoint_type`, `endpoint_url`).
    """

    def __init__(self, live: LiveGateway, changes: Changes, *, newer: bool) -> None:
        self._live = live
        self._changes = changes
        self._newer = newer

    async def list(self, request: Request) -> Response:
        """A page of routes; of those that the caller's key may call."""
        token = request.query_params.get("page_token")
        start = 0 if token is None else decode_token(token)
        page, following = self._live.gateway.routes(start, caller_of(request.scope).routes)
        told = []
        for number, route in enumerate(page, 1):
            told.append(self._told(request, route))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        body: dict[str, object] = {"endpoints" if self._newer else "routes": told}
        if following is not None:
            body["next_page_token"] = encode_token(following)
        return json_response(body)

    async def get(self, request: Request) -> Response:
        """One route."""
        entry = self._live.find(request.path_params["name"])
        entry.admit(caller_of(request.scope))
        return json_response(self._told(request, entry.route))

    async def create(self, request: Request) -> Response:
        """A new route."""
        by = admin_of(request.scope)
        created = await self._changes.create_route(json_object(await request.body()), by)
        return json_response(self._told(request, created))

    async def update(self, request: Request) -> Response:
        """A route with some of its settings changed."""
        by = admin_of(request.scope)
        name, changes = request.path_params["name"], json_object(await request.body())
        return json_response(self._told(request, await self._changes.update_route(name, changes, by)))

    async def delete(self, request: Request) -> Response:
        """A route less."""
        await self._changes.delete_route(request.path_params["name"], admin_of(request.scope))
        return json_response({})

    async def export(self, request: Request) -> Response:
        """A route of the store as an endpoint of a configuration file, without its keys."""
        admin_of(request.scope)
        return json_response(await self._changes.export_route(request.path_params["name"]))

    def _told(self, request: Request, route: config.Route) -> dict[str, object]:
        url = request.scope.get("root_path", "") + route.route_url
        told = route.model_copy(update={"route_url": url})
        return (told.to_endpoint() if self._newer else told).model_dump(mode="json")


def routes(live: LiveGateway, changes: Changes) -> list[BaseRoute]:
    """The endpoints of this module."""
    found: list[BaseRoute] = []
    for base, newer in (("/api/2.0/gateway/routes/", False), ("/api/2.0/endpoints/", True)):
        api = Routes(live, changes, newer=newer)
        found += [
            Route(base, api.list, methods=["GET"]),
            Route(base + "{name}", api.get, methods=["GET"]),
            Route(base, api.create, methods=["POST"]),
            Route(base + "{name}", api.update, methods=["PATCH"]),
            Route(base + "{name}", api.delete, methods=["DELETE"]),
            Route(base + "{name}/export", api.export, methods=["GET"]),
        ]
    return found
