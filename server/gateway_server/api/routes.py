"""`/api/2.0/gateway/routes/` and `/api/2.0/endpoints/`: the routes, under the documented and the newer names."""

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway_async import config
from gateway_async.errors import NotSupported
from gateway_async.gateway import Gateway
from gateway_async.paging import decode_token, encode_token


class Routes:
    """Lists and tells routes.

    Args:
        gateway: Whose.
        newer: Answer under the newer names (`endpoints`, `endpoint_type`, `endpoint_url`).
    """

    def __init__(self, gateway: Gateway, *, newer: bool) -> None:
        self._gateway = gateway
        self._newer = newer

    async def list(self, request: Request) -> Response:
        """A page of routes."""
        token = request.query_params.get("page_token")
        page, following = self._gateway.routes(0 if token is None else decode_token(token))
        body: dict[str, object] = {
            "endpoints" if self._newer else "routes": [self._told(request, r) for r in page]
        }
        if following is not None:
            body["next_page_token"] = encode_token(following)
        return _json(body)

    async def get(self, request: Request) -> Response:
        """One route."""
        return _json(self._told(request, self._gateway.find(request.path_params["name"]).route))

    async def create(self, request: Request) -> Response:
        """Not offered yet."""
        raise NotSupported(
            "The create_route API is not available yet: routes are those of the configuration file, which is read "
            "again whenever it changes."
        )

    async def delete(self, request: Request) -> Response:
        """Not offered yet."""
        raise NotSupported(
            "The delete_route API is not available yet: routes are those of the configuration file, which is read "
            "again whenever it changes."
        )

    def _told(self, request: Request, route: config.Route) -> dict[str, object]:
        url = request.scope.get("root_path", "") + route.route_url
        told = route.model_copy(update={"route_url": url})
        return (told.to_endpoint() if self._newer else told).model_dump(mode="json")


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def routes(gateway: Gateway) -> list[BaseRoute]:
    """The endpoints of this module."""
    found: list[BaseRoute] = []
    for base, newer in (("/api/2.0/gateway/routes/", False), ("/api/2.0/endpoints/", True)):
        api = Routes(gateway, newer=newer)
        found += [
            Route(base, api.list, methods=["GET"]),
            Route(base + "{name}", api.get, methods=["GET"]),
            Route(base, api.create, methods=["POST"]),
            Route(base + "{name}", api.delete, methods=["DELETE"]),
        ]
    return found
