"""`POST /gateway/{name}/invocations`, and `/endpoints/…`: the route's standard response."""

from typing import Any

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from gateway_async.gateway import RouteEntry
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.validation import decode, refuse_model
from gateway_server.api._endpoint import ModelEndpoint
from gateway_server.dialects import GATEWAY


class Invocations(ModelEndpoint):
    """Calls the route that the address names."""

    def asked(self, scope: Scope, body: bytes) -> tuple[RouteEntry, dict[str, Any]]:
        """The route of the address, and the body."""
        entry = self.live.find(scope["path_params"]["name"])
        data = decode(body)
        refuse_model(data)
        return entry, data


def routes(live: LiveGateway) -> list[BaseRoute]:
    """The endpoints of this module."""
    endpoint = Invocations(live, GATEWAY)
    return [
        Route("/gateway/{name}/invocations", endpoint, methods=["POST"]),
        Route("/endpoints/{name}/invocations", endpoint, methods=["POST"]),
    ]
