"""The short way to the endpoints that call a model."""

from collections.abc import Awaitable, Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway_server.api._endpoint import ModelEndpoint
from gateway_server.mount import path_within

_NAME = "{name}"


class ModelCalls:
    """Lead calls of models straight to their endpoints, which answer errors themselves; all else goes on as usual.

    Starlette's router tries one pattern after the other, and stands behind what makes answers of exceptions: more than
    a small request should cost. Whatever is not exactly an endpoint's address and method is the router's to judge.

    Args:
        app: What is behind.
        routes: The routes, those of endpoints that call a model among them.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._exact: dict[str, ModelEndpoint] = {}
        self._named: dict[tuple[str, str], ModelEndpoint] = {}
        for route in routes:
            if not isinstance(route, Route) or not isinstance(route.endpoint, ModelEndpoint):
                continue
            before, name, after = route.path.partition(_NAME)
            if name:
                self._named[before, after] = route.endpoint
            else:
                self._exact[route.path] = route.endpoint

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it gives that of what it leads to.
        if scope["type"] == "http" and scope["method"] == "POST":
            path = path_within(scope)
            endpoint = self._exact.get(path) or self._of_named_route(scope, path)
            if endpoint is not None:
                scope["endpoint"] = endpoint
                return endpoint(scope, receive, send)
        return self.app(scope, receive, send)

    def _of_named_route(self, scope: Scope, path: str) -> ModelEndpoint | None:
        """The endpoint for a path with a route's name in it, `/gateway/NAME/invocations`."""
        begin, end = path.find("/", 1) + 1, path.rfind("/")
        name = path[begin:end]
        endpoint = self._named.get((path[:begin], path[end:]))
        if endpoint is None or not name or "/" in name:
            return None
        scope["path_params"] = {"name": name}
        return endpoint
