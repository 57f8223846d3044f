"""The engine: a table of routes, and what answers a call of each.

The table is built when a configuration loads and replaced as a whole by the next one; calls under way keep what
they started with.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gateway_async.call import Answer, Call, Caller, Handler, StreamAnswer
from gateway_async.config import GatewayConfig, Model, Route, RouteConfig, RouteType
from gateway_async.errors import (
    GatewayError,
    InvalidRequest,
    NotSupported,
    PermissionDenied,
    RouteNotFound,
)
from gateway_async.network_guard import NetworkGuard
from gateway_async.policies import compose
from gateway_async.policies.concurrency import PlacesByRoute
from gateway_async.policies.declining import Declining
from gateway_async.policies.meter import Meter
from gateway_async.provider_call import ProviderHandler, ResponderHandler
from gateway_async.provider_names import plain_name
from gateway_async.providers import get_provider
from gateway_async.providers._base import Responder
from gateway_async.providers._refusals import declined
from gateway_async.secrets import Secret, secrets_in
from gateway_async.stores.base import Counters
from gateway_async.tokens import Tokens
from gateway_async.upstream import Upstream
from gateway_async.validation import validate

_log = logging.getLogger("gateway_async")

PAGE_SIZE = 3000
"""Routes on one page of a listing."""


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One route as it is served."""

    config: RouteConfig
    route: Route
    kind: RouteType
    handler: Handler
    upstream: Upstream
    """The way to its provider."""

    unserved: str | None = None
    """Why the route can't be served, if it can't: its calls are refused with that, the others go on."""

    def admit(self, caller: Caller) -> None:
        """Let pass who may call this route, and know of it.

        Raises:
            PermissionDenied: The caller's key is for other routes.
        """
        if caller.routes is not None and self.route.name not in caller.routes:
            mine = ", ".join(sorted(caller.routes)) or "none"
            raise PermissionDenied(
                f"the key {caller.key!r} is not for the route {self.route.name!r}; it is for {mine}"
            )


class Gateway:
    """Answers calls of the configured routes. An async context manager; it owns the connections to the providers.

    Args:
        config: What it serves.
        counters: Opens the counters, when the first limit needs them; None: those of this process alone.
    """

    def __init__(self, config: GatewayConfig, counters: Callable[[], Counters] | None = None) -> None:
        self._meter = Meter(counters)
        self._places = PlacesByRoute()
        self._upstream = Upstream()
        self._guarded = Upstream(NetworkGuard())
        self._table: Mapping[str, RouteEntry] = {}
        self.serve(config.routes)

    def serve(self, routes: Iterable[RouteConfig], guarded: Iterable[RouteConfig] = ()) -> None:
        """Serve these routes from the next call on; calls under way are not touched.

        A route that is served already, by the same configuration, stays as it is. May be called in a thread: the
        table is built there, and replaced in one step.

        Args:
            routes: Those whose makers may reach whatever this machine can.
            guarded: Those that may reach public addresses only, and what the guard given to `confine` admits.
        """
        table = {route.name: self._entry(route, self._upstream) for route in routes}
        table |= {route.name: self._entry(route, self._guarded) for route in guarded}
        self._table = table

    def misfits(self, route: RouteConfig) -> dict[str, GatewayError]:
        """The models of a route that can't be served, by where they stand; each error's message says why."""
        found: dict[str, GatewayError] = {}
        for place, model in route.placed_models():
            try:
                _handler(model, route, self._upstream)
            except GatewayError as problem:
                found[place] = problem
        return found

    def find(self, name: str) -> RouteEntry:
        """The route of this name.

        Raises:
            RouteNotFound: There is none.
        """
        if (entry := self._table.get(name)) is None:
            shown = name if len(name) <= 100 else name[:100] + "…"
            raise RouteNotFound(
                f"there is no route {shown!r}; GET /api/2.0/gateway/routes/ lists those there are"
            )
        return entry

    def unserved(self) -> dict[str, str]:
        """The routes that can't be served, and why."""
        return {name: entry.unserved for name, entry in self._table.items() if entry.unserved}

    def routes(self, start: int = 0, only: Collection[str] | None = None) -> tuple[list[Route], int | None]:
        """A page of routes from an index on, and the index of the next page if there is one.

        Args:
            start: The index of the first.
            only: The names of those to count and to list; None: all.
        """
        entries = [entry for name, entry in self._table.items() if only is None or name in only]
        end = start + PAGE_SIZE
        return [entry.route for entry in entries[start:end]], end if end < len(entries) else None

    def confine(self, guard: NetworkGuard) -> None:
        """Let guarded routes reach what this guard admits, from the next `serve` on."""
        self._guarded = Upstream(guard)

    async def handle(
        self,
        entry: RouteEntry,
        data: dict[str, Any],
        *,
        caller: Caller | None = None,
        timeout: float | None = None,
        on_usage: Callable[[Tokens], None] | None = None,
    ) -> Answer | StreamAnswer:
        """The answer of a route; a stream where the request asks for one.

        Args:
            entry: The route, from `find`.
            data: The request, from `validation.decode`, without `model`.
            caller: Who calls.
            timeout: Seconds that the caller gives the whole answer, of a stream too; None: as long as the route does.
            on_usage: Told what a stream used, when it ends in whatever way; a whole answer tells by itself.

        Raises:
            PermissionDenied: The caller's key is for other routes.
            InvalidRequest: The request is not well-formed, or the provider can't carry it.
            UpstreamError: The provider failed.
        """
        caller = caller or _NOBODY
        entry.admit(caller)
        data = validate(entry.kind, data)
        stream = data.get("stream") is True
        if stream and entry.kind is RouteType.LLM_V1_EMBEDDINGS:
            raise InvalidRequest.field("stream", "embeddings are not streamed; leave stream out")
        call = Call(entry.route.name, entry.kind, data, stream, caller)
        if timeout is not None:
            call.deadline, call.hurried = time.monotonic() + timeout, True
        if on_usage is not None:
            call.on_usage = (on_usage,)
        return await entry.handler(call)

    async def aclose(self) -> None:
        """Count what is left to count, and close the connections to the providers."""
        await self._meter.aclose()
        await self._upstream.aclose()
        await self._guarded.aclose()

    def _entry(self, config: RouteConfig, upstream: Upstream) -> RouteEntry:
        before = self._table.get(config.name)
        if before and before.upstream is upstream and not before.unserved and before.config == config:
            return before
        route = config.to_route()
        try:
            handler = compose(_asked(config, upstream), config, self._meter, self._places)
        except GatewayError as problem:
            _log.warning("the route %r is not served: %s", route.name, problem)
            refuse = _Refuse(problem.message)
            return RouteEntry(config, route, config.route_type, refuse, upstream, problem.message)
        return RouteEntry(config, route, config.route_type, handler, upstream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_NOBODY = Caller()


def _asked(config: RouteConfig, upstream: Upstream) -> list[tuple[str, Handler]]:
    """What asks each model of a route, and its name."""
    keys = tuple(key for model in config.models() for key in secrets_in(model.config))
    asked = [_handler(model, config, upstream, keys) for model in config.models()]
    if len(asked) > 1 and "content_policy" in config.fallback_on:
        return [(name, Declining(handler, declined)) for name, handler in asked]
    return asked


def _handler(
    model: Model, config: RouteConfig, upstream: Upstream, keys: Sequence[Secret] = ()
) -> tuple[str, Handler]:
    provider = get_provider(plain_name(model.provider))
    if config.route_type not in provider.route_types:
        raise NotSupported(f"the provider {provider.name!r} has no {config.route_type.value}")
    name = f"{provider.name}/{(model.name or '')[:200]}".rstrip("/")
    bound = provider.bind(model, config.route_type)
    headers = (
        ("x-gateway-route", config.name),
        ("x-gateway-destination", name),
        ("x-gateway-attempts", "1"),
    )
    if isinstance(bound, Responder):
        return name, ResponderHandler(bound.respond, headers)
    return name, ProviderHandler(bound, upstream, headers, keys, drops=config.drop_unsupported)


class _Refuse:
    """Answers no call."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        raise NotSupported(self._reason)
