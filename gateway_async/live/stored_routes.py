"""A route as the store keeps it: a document in the form of the configuration file, the provider's settings encrypted."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from gateway_async.config import RouteConfig
from gateway_async.live.restricted import restricted_route, written_plainly
from gateway_async.network_guard import NetworkGuard, addresses_in, check_address
from gateway_async.secrets import MASK
from gateway_async.server_config import UpstreamConfig
from gateway_async.stores.base import StoredRoute

Json = dict[str, Any]


class Seal(Protocol):
    """Keeps settings from those who read the store."""

    def seal(self, settings: Json) -> bytes:
        """The settings, as they are stored."""
        ...

    def open(self, sealed: bytes) -> Json:
        """The settings.

        Raises:
            ConfigError: They were sealed with another secret.
        """
        ...


class Unsealed:
    """Settings as they are, for a store that is this process's own memory."""

    def seal(self, settings: Json) -> bytes:
        """The settings, as they are stored."""
        return orjson.dumps(settings)

    def open(self, sealed: bytes) -> Json:
        """The settings."""
        settings: Json = orjson.loads(sealed)
        return settings


class StoredRoutes:
    """From a caller's document to what is stored, and back to a route.

    Args:
        vault: Keeps the provider's settings.
        upstream: Gives what routes made over the API may reach and use at this moment; None: all that the process
            can, since it is the process itself that makes them.
    """

    def __init__(self, vault: Seal, upstream: Callable[[], UpstreamConfig | None]) -> None:
        self._vault = vault
        self._upstream = upstream

    async def check(self, name: str, document: Mapping[str, Any]) -> RouteConfig:
        """The route that a document describes.

        Raises:
            InvalidRequest: A field is wrong, or asks for what only the operator may give; or an address of it leads
                where such a route may not go.
        """
        allowed = self._upstream()
        route = restricted_route({**document, "name": name}, allowed)
        if allowed is not None:
            guard = NetworkGuard(allowed.allow_networks)
            for setting, url in addresses_in(route.model):
                await check_address(setting, url, guard)
        return route

    def store(self, name: str, document: Mapping[str, Any], revision: int = 0) -> StoredRoute:
        """What is kept of a document that was checked."""
        plain = written_plainly(document)
        model = dict(plain.pop("model"))
        settings = model.pop("config", None) or {}
        return StoredRoute(
            name=name,
            document={**plain, "model": model},
            sealed=self._vault.seal(settings),
            revision=revision,
        )

    def document(self, stored: StoredRoute) -> Json:
        """The document, with the provider's settings.

        Raises:
            ConfigError: They were encrypted with another secret.
        """
        settings = self._vault.open(stored.sealed)
        model = stored.document["model"]
        return {**stored.document, "model": {**model, "config": settings} if settings else model}

    def read(self, stored: StoredRoute) -> RouteConfig:
        """The route, as it is served.

        Raises:
            ConfigError: Its settings were encrypted with another secret.
            InvalidRequest: It asks for what the operator does not give any more.
        """
        return restricted_route({**self.document(stored), "name": stored.name}, self._upstream())

    def merged(self, stored: StoredRoute, changes: Mapping[str, Any]) -> Json:
        """The document with changes: `null` takes a key away; of `model`, what is not given stays.

        Settings are one whole: where the changes name a provider or a setting, none of the old ones stays.
        """
        document = self.document(stored)
        model = dict(document["model"])
        new = written_plainly(changes)
        if isinstance(given := new.get("model", {}), Mapping):
            if given.keys() & {"provider", "config"}:
                model.pop("config", None)
            new["model"] = {key: value for key, value in {**model, **given}.items() if value is not None}
        return {key: value for key, value in {**document, **new}.items() if value is not None}

    def export(self, stored: StoredRoute) -> Json:
        """The route as an endpoint of a configuration file; each key is `$NAME` of a variable that is yet to be set.

        A password in an address is left out too.
        """
        route = self.read(stored)
        document = {"name": stored.name, **stored.document}
        if (config := route.model.config) is not None:
            given = self.document(stored)["model"].get("config") or {}
            settings = _as_given(config.model_dump(mode="json"), given)
            prefix = "ROUTE_" + re.sub(r"\W", "_", stored.name, flags=re.ASCII).upper()
            document["model"] = {**document["model"], "config": _with_names(settings, prefix)}
        return document


def _as_given(told: Any, given: Any) -> Any:
    """Of what is told of settings, that which was given: what was not has its default in a file too."""
    if isinstance(told, dict) and isinstance(given, dict) and given.keys() <= told.keys():
        return {name: _as_given(told[name], value) for name, value in given.items()}
    return told


def _with_names(settings: Any, name: str) -> Any:
    """The settings with a variable's name in the place of each key that is hidden in them."""
    if isinstance(settings, dict):
        return {key: _with_names(value, f"{name}_{key.upper()}") for key, value in settings.items()}
    if isinstance(settings, list):
        return [_with_names(value, f"{name}_{index}") for index, value in enumerate(settings, 1)]
    return f"${name}" if settings == MASK else settings
