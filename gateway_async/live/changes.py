"""What may be changed while a gateway runs: its routes and their limits.

A change is checked, written with a line in the audit log, and in force on this machine before its caller hears of it.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gateway_async.audit import change_entry
from gateway_async.base_models import SetLimitsModel
from gateway_async.call import Caller
from gateway_async.config import Limit, LimitsConfig, Route, RouteConfig
from gateway_async.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    GatewayError,
    InvalidRequest,
    NotSupported,
    RouteNotFound,
)
from gateway_async.limit_config import check_limit
from gateway_async.live.live_gateway import LiveGateway
from gateway_async.live.stored_routes import StoredRoutes
from gateway_async.stores.base import StoredRoute
from gateway_async.validation import invalid_request

Json = dict[str, Any]

MOST_LIMITS = 100
"""Limits that may be set for a route; every call is held against each."""

TRIES = 5
"""How often a change is tried in all, each time on what somebody else has changed meanwhile."""

MOST_NAME = 200
"""Characters of the longest name that a new route may have: longer ones no client can call."""


class Changes:
    """Makes changes.

    Args:
        live: The gateway, and the store that it follows.
        routes: How routes are kept in the store.
        closed: Why nothing can be changed, if so.
    """

    def __init__(self, live: LiveGateway, routes: StoredRoutes, *, closed: str | None = None) -> None:
        self._live = live
        self._routes = routes
        self._closed = closed

    async def create_route(self, body: Mapping[str, Any], by: Caller) -> Route:
        """A new route, as it is served from now on.

        Args:
            body: `name`, `route_type`, `model` or `destinations`, and whatever else an endpoint of the configuration
                file may have.
            by: Who wants it.

        Raises:
            InvalidRequest: A field is wrong, or asks for what only the operator may give.
            AlreadyExists: The configuration, or the store, has a route of that name.
        """
        self._check_open()
        document = dict(body)
        name = document.pop("name", None)
        if not isinstance(name, str) or not name:
            raise InvalidRequest.field("name", "the name of the new route is missing")
        if len(name) > MOST_NAME:
            raise InvalidRequest.field("name", f"the name of a route has at most {MOST_NAME} characters")
        route = await self._checked(name, document)
        self._not_configured(name, AlreadyExists)
        entry = change_entry("route.create", name, by, _said(route))
        await self._live.store.routes.create(self._routes.store(name, document), entry)
        await self._live.changed()
        return self._served(route)

    async def update_route(self, name: str, body: Mapping[str, Any], by: Caller) -> Route:
        """A route of the store with some of its settings changed.

        Args:
            name: The route's name.
            body: What changes: any key of an endpoint but the name. `null` takes a setting away. Of `model`, what is
                not given stays; but whoever names another provider, or a part of its settings, gives all of these,
                keys too: so nobody can send a key that he does not know to an address of his own. `destinations` are
                given whole, with all settings; they take the place of a model, and a model takes theirs.
            by: Who wants it.

        Raises:
            RouteNotFound: There is none of that name.
            InvalidRequest: A field is wrong, or asks for what only the operator may give.
            Conflict: It is a route of the configuration; or its limits were set by `set_limits`, which is where they
                are changed then; or others change it again and again.
        """
        self._check_open()
        changes = dict(body)
        if changes.pop("name", name) != name:
            raise InvalidRequest.field("name", "a route keeps its name; create another and delete this one")
        if not changes:
            raise BadRequest("nothing is to be changed: the body names no setting")
        self._not_configured(name)
        if changes.keys() & {"limit", "limits"} and self._live.limits_set(name) is not None:
            raise Conflict(
                f"the limits of {name!r} were set by set_limits, and come before its own: change them there, or take "
                f"them back first with DELETE /api/2.0/gateway/limits/{name}"
            )
        route = await self._replaced(name, changes, by)
        await self._live.changed()
        return self._served(route)

    async def delete_route(self, name: str, by: Caller) -> None:
        """Delete a route of the store; calls under way end as they would have.

        Raises:
            RouteNotFound: There is none of that name.
            Conflict: It is a route of the configuration.
        """
        self._check_open()
        self._not_configured(name)
        await self._live.store.routes.delete(name, change_entry("route.delete", name, by))
        await self._live.changed()

    async def export_route(self, name: str) -> Json:
        """A route of the store as an endpoint of a configuration file; in place of each key a variable's name.

        Limits that were set by `set_limits` stand in it as its own.

        Raises:
            RouteNotFound: There is none of that name in the store.
            Conflict: It is a route of the configuration.
        """
        exported = self._routes.export(await self._stored(name))
        if (limits := self._live.limits_set(name)) is not None:
            exported = {key: value for key, value in exported.items() if key not in ("limit", "limits")}
            exported |= {"limits": [limit.model_dump(mode="json") for limit in limits]} if limits else {}
        return exported

    async def set_limits(self, body: Mapping[str, Any], by: Caller) -> LimitsConfig:
        """The limits of a route, of the configuration or of the store, after these have replaced those it had.

        Args:
            body: `route`, its name, and `limits`, each `{"calls", "renewal_period", "key"}` or `{"tokens", …}`.
            by: Who wants it.

        Raises:
            RouteNotFound: There is none of that name.
            InvalidRequest: A limit is wrong.
        """
        self._check_open()
        route, limits = _limits(body)
        self._live.find(route)
        told = [limit.model_dump(mode="json") for limit in limits]
        await self._live.store.limits.replace(route, told, change_entry("limits.set", route, by, f"{told}"))
        await self._live.changed()
        return LimitsConfig(limits=limits)

    def limits(self, name: str) -> LimitsConfig:
        """The limits of a route.

        Raises:
            RouteNotFound: There is none of that name.
        """
        return LimitsConfig(limits=self._live.find(name).config.all_limits())

    async def reset_limits(self, name: str, by: Caller) -> LimitsConfig:
        """The limits of a route, once those that were set are forgotten: the configuration's hold again.

        Raises:
            RouteNotFound: There is none of that name.
        """
        self._check_open()
        self._live.find(name)
        await self._live.store.limits.replace(name, None, change_entry("limits.reset", name, by))
        await self._live.changed()
        return self.limits(name)

    async def _replaced(self, name: str, changes: Json, by: Caller) -> RouteConfig:
        """The route, once it is in the store with changes."""
        for left in reversed(range(TRIES)):
            stored = await self._stored(name)
            document = self._routes.merged(stored, changes)
            route = await self._checked(name, document)
            entry = change_entry("route.update", name, by, f"{', '.join(sorted(changes))}; {_said(route)}")
            try:
                await self._live.store.routes.replace(
                    self._routes.store(name, document, stored.revision), entry
                )
                break
            except Conflict:
                if not left:
                    raise
        return route

    async def _stored(self, name: str) -> StoredRoute:
        found = await self._live.store.routes.read([name])
        if not found:
            if self._live.configured(name):
                raise _of_the_file(name)
            raise RouteNotFound(f"the store has no route {name[:100]!r}")
        return found[0]

    async def _checked(self, name: str, document: Mapping[str, Any]) -> RouteConfig:
        """The route that a document describes, once it can be served."""
        route = await self._routes.check(name, document)
        for place, problem in self._live.gateway.misfits(route).items():
            if isinstance(problem, InvalidRequest):
                raise problem
            raise InvalidRequest.field(place, problem.message)
        return route

    def _served(self, route: RouteConfig) -> Route:
        """A route that was kept, as it is served: with the limits that were set for it."""
        try:
            return self._live.find(route.name).route
        except GatewayError:  # the store went away since, or somebody else has deleted it already
            return route.to_route()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise NotSupported(self._closed)

    def _not_configured(self, name: str, refusal: type[Conflict] = Conflict) -> None:
        if self._live.configured(name):
            raise _of_the_file(name, refusal)


def _of_the_file(name: str, refusal: type[Conflict] = Conflict) -> Conflict:
    return refusal(
        f"{name!r} is a route of the gateway's configuration file; it is changed there, and a running gateway takes "
        "the change up"
    )


def _limits(data: Mapping[str, Any]) -> tuple[str, list[Limit]]:
    """The route's name and its limits, from the body that sets them."""
    try:
        wanted = SetLimitsModel.model_validate(data, strict=True)
        limits = LimitsConfig.model_validate({"limits": data["limits"]}, strict=True).limits or []
    except ValidationError as problem:
        raise invalid_request(problem, data) from None
    if len(limits) > MOST_LIMITS:
        raise InvalidRequest.field("limits", f"these are {len(limits)}; a route has at most {MOST_LIMITS}")
    for index, (limit, given) in enumerate(zip(limits, wanted.limits, strict=True)):
        for unknown in sorted(given.keys() - Limit.model_fields.keys()):
            known = ", ".join(Limit.model_fields)
            raise InvalidRequest.field(f"limits.{index}.{unknown}", f"unknown key; known are {known}")
        try:
            check_limit(limit)
        except ValueError as problem:
            raise InvalidRequest.field(f"limits.{index}", str(problem)) from None
    return wanted.route, limits


def _said(route: RouteConfig) -> str:
    told = route.to_route()
    models = ", ".join(
        f"{each.provider}/{(each.name or '')[:200]}" for each in told.destinations or [told.model]
    )
    return f"{told.route_type}, {models}"
