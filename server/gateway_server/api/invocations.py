"""`POST /gateway/{name}/invocations`, and `/endpoints/…`: the route's standard response."""

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from gateway_async.call import Answer, StreamAnswer
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.validation import decode, refuse_model
from gateway_server.api._endpoint import ModelEndpoint
from gateway_server.dialects import GATEWAY
from gateway_server.middleware.auth import caller_of


class Invocations(ModelEndpoint):
    """Calls the route that the address names."""

    async def answer(self, scope: Scope, body: bytes) -> Answer | StreamAnswer:
        """The answer to a body."""
        entry = self.live.find(scope["path_params"]["name"])
        data = decode(body)
        refuse_model(data)
        return await self.gateway.handle(entry, data, caller=caller_of(scope))


def routes(live: LiveGateway) -> list[BaseRoute]:
    """The endpoints of this module."""
    endpoint = Invocations(live, GATEWAY)
    return [
        Route("/gateway/{name}/invocations", endpoint, methods=["POST"]),
        Route("/endpoints/{name}/invocations", endpoint, methods=["POST"]),
    ]
