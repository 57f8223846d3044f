"""The short way to the endpoints that call a model."""

from collections.abc import Awaitable, Iterable
from functools import lru_cache

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway_server.api._endpoint import ModelEndpoint
from gateway_server.mount import path_within

_NAME = "{name}"

_LONG = 200
"""A path of so many characters is not remembered."""


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
        self._known = lru_cache(maxsize=1024)(self._found)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: it gives that of what it leads to.
        if scope["type"] == "http" and scope["method"] == "POST":
            path = path_within(scope)
            endpoint, name = (self._known if len(path) < _LONG else self._found)(path)
            if endpoint is not None:
                scope["endpoint"] = endpoint
                if name:
                    scope["path_params"] = {"name": name}
                return endpoint(scope, receive, send)
        return self.app(scope, receive, send)

    def _found(self, path: str) -> tuple[ModelEndpoint | None, str]:
        """The endpoint for a path, and the route's name where that is a part of it, as in `/gateway/NAME/invocations`."""
        if (endpoint := self._exact.get(path)) is not None:
            return endpoint, ""
        begin, end = path.find("/", 1) + 1, path.rfind("/")
        name = path[begin:end]
        return (self._named.get((path[:begin], path[end:])), name) if name and "/" not in name else (None, "")
