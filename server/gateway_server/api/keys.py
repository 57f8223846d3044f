"""`/api/2.0/gateway/keys/`: the keys that let callers in; for admins only."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway_async.keys.changes import KeyChanges
from gateway_async.validation import json_object
from gateway_server.middleware.auth import admin_of
from gateway_server.responses import json_response

KEYS = "/api/2.0/gateway/keys/"


class Keys:
    """Makes, lists, revokes and rotates keys.

    Args:
        changes: Makes the changes.
    """

    def __init__(self, changes: KeyChanges) -> None:
        self._changes = changes

    async def create(self, request: Request) -> Response:
        """A new key, which is shown this once."""
        by = admin_of(request.scope)
        return _json(await self._changes.create(json_object(await request.body()), by))

    async def list(self, request: Request) -> Response:
        """Every key, without itself."""
        admin_of(request.scope)
        return _json({"keys": await self._changes.list()})

    async def revoke(self, request: Request) -> Response:
        """A key that is good no more."""
        by = admin_of(request.scope)
        return _json(await self._changes.revoke(request.path_params["name"], by))

    async def rotate(self, request: Request) -> Response:
        """A key's successor, which is shown this once."""
        by = admin_of(request.scope)
        body = await request.body()
        return _json(
            await self._changes.rotate(request.path_params["name"], json_object(body) if body else {}, by)
        )


def _json(value: object) -> Response:
    # What may hold a key is for nobody to keep on the way.
    return json_response(value, {"cache-control": "no-store"})


def routes(changes: KeyChanges) -> list[BaseRoute]:
    """The endpoints of this module."""
    api = Keys(changes)
    return [
        Route(KEYS, api.create, methods=["POST"]),
        Route(KEYS, api.list, methods=["GET"]),
        Route(KEYS + "{name}", api.revoke, methods=["DELETE"]),
        Route(KEYS + "{name}/rotate", api.rotate, methods=["POST"]),
    ]
