"""`/v1`: OpenAI's own API, so that its clients work; `model` names the route."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from gateway_async import config
from gateway_async.config import RouteType
from gateway_async.errors import BadRequest, InvalidRequest
from gateway_async.gateway import RouteEntry
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.validation import decode
from gateway_server.api._endpoint import ModelEndpoint
from gateway_server.dialects import OPENAI, Dialect
from gateway_server.middleware.auth import caller_of
from gateway_server.responses import json_response


class OpenAIEndpoint(ModelEndpoint):
    """Calls the route that the body names, which must be of one type."""

    def __init__(self, live: LiveGateway, dialect: Dialect, kind: RouteType) -> None:
        super().__init__(live, dialect)
        self.kind = kind

    def asked(self, scope: Scope, body: bytes) -> tuple[RouteEntry, dict[str, Any]]:
        """The route that `model` names, and the rest of the body."""
        data = decode(body)
        name = data.pop("model", None)
        if not isinstance(name, str):
            raise InvalidRequest.field("model", "the name of a route is expected; GET /v1/models lists them")
        entry = self.live.find(name)
        if entry.kind is not self.kind:
            raise BadRequest(f"the route {name!r} serves {entry.kind.value}, not {self.kind.value}")
        return entry, data


class Models:
    """The routes, as models that OpenAI's clients list."""

    def __init__(self, live: LiveGateway) -> None:
        self._live = live

    async def list(self, request: Request) -> Response:
        """Every route that the caller's key may call."""
        only = caller_of(request.scope).routes
        models, start = [], 0
        while start is not None:
            page, start = self._live.gateway.routes(start, only)  # type: ignore[assignment] # None ends the loop
            models += [_model(route) for route in page]
            await asyncio.sleep(0)  # others have their turn
        return json_response({"object": "list", "data": models})

    async def retrieve(self, request: Request) -> Response:
        """One route."""
        entry = self._live.find(request.path_params["name"])
        entry.admit(caller_of(request.scope))
        return json_response(_model(entry.route))


def _model(route: config.Route) -> dict[str, object]:
    # `created` is a number that OpenAI's schema requires; routes have no date.
    return {"id": route.name, "object": "model", "created": 0, "owned_by": route.model.provider}


def routes(live: LiveGateway) -> list[BaseRoute]:
    """The endpoints of this module."""
    models = Models(live)
    return [
        *(
            Route(path, OpenAIEndpoint(live, OPENAI, kind), methods=["POST"])
            for path, kind in (
                ("/v1/chat/completions", RouteType.LLM_V1_CHAT),
                ("/v1/completions", RouteType.LLM_V1_COMPLETIONS),
                ("/v1/embeddings", RouteType.LLM_V1_EMBEDDINGS),
            )
        ),
        Route("/v1/models", models.list, methods=["GET"]),
        Route("/v1/models/{name}", models.retrieve, methods=["GET"]),
    ]
