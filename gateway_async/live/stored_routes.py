"""A route as the store keeps it: a document in the form of the configuration file, providers' settings encrypted."""

import asyncio
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
        vault: Keeps providers' settings.
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
            checks = (
                check_address(f"{place}.config.{setting}", url, guard)
                for place, model in route.placed_models()
                for setting, url in addresses_in(model)
            )
            for wrong in await asyncio.gather(*checks, return_exceptions=True):
                if wrong is not None:
                    raise wrong
        return route

    def store(self, name: str, document: Mapping[str, Any], revision: int = 0) -> StoredRoute:
        """What is kept of a document that was checked."""
        kept = {key: value for key, value in written_plainly(document).items() if value is not None}
        models = _models(kept)
        settings = [model.get("config") or {} for model in models]
        bare = [{key: value for key, value in model.items() if key != "config"} for model in models]
        sealed = self._vault.seal({_SEVERAL: settings} if _SEVERAL in kept else settings[0])
        return StoredRoute(name=name, document=_with_models(kept, bare), sealed=sealed, revision=revision)

    def document(self, stored: StoredRoute) -> Json:
        """The document, with providers' settings.

        Raises:
            ConfigError: They were encrypted with another secret.
        """
        opened = self._vault.open(stored.sealed)
        settings = opened[_SEVERAL] if _SEVERAL in stored.document else [opened]
        return _with_settings(stored.document, settings)

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
        Destinations are one whole too, and a model takes their place as they take that of a model.
        """
        document = self.document(stored)
        new = written_plainly(changes)
        if new.get(_SEVERAL) is not None:
            document.pop("model", None)
        elif isinstance(given := new.get("model"), Mapping):
            document.pop(_SEVERAL, None)
            model = dict(document.get("model", {}))
            if given.keys() & {"provider", "config"}:
                model.pop("config", None)
            new["model"] = {key: value for key, value in {**model, **given}.items() if value is not None}
        return {key: value for key, value in {**document, **new}.items() if value is not None}

    def export(self, stored: StoredRoute) -> Json:
        """The route as an endpoint of a configuration file; each key is `$NAME` of a variable that is yet to be set.

        A password in an address is left out too.
        """
        route = self.read(stored)
        prefix = "ROUTE_" + re.sub(r"\W", "_", stored.name, flags=re.ASCII).upper()
        settings: list[Any] = []
        for number, (model, given) in enumerate(
            zip(route.models(), _models(self.document(stored)), strict=True), 1
        ):
            name = f"{prefix}_DESTINATION_{number}" if route.destinations else prefix
            told = {} if model.config is None else model.config.model_dump(mode="json")
            settings.append(_with_names(_as_given(told, given.get("config") or {}), name))
        return {"name": stored.name, **_with_settings(stored.document, settings)}


_SEVERAL = "destinations"


def _models(document: Json) -> list[Json]:
    """The models of a document that was checked: its only one, or those of its destinations."""
    if _SEVERAL in document:
        return [each["model"] for each in document[_SEVERAL]]
    return [document["model"]]


def _with_models(document: Json, models: list[Json]) -> Json:
    """The document with these in the place of its models."""
    if _SEVERAL in document:
        pairs = zip(document[_SEVERAL], models, strict=True)
        return {**document, _SEVERAL: [{**each, "model": model} for each, model in pairs]}
    return {**document, "model": models[0]}


def _with_settings(document: Json, settings: list[Any]) -> Json:
    """The document with these settings of its models."""
    pairs = zip(_models(document), settings, strict=True)
    return _with_models(document, [{**model, "config": own} if own else model for model, own in pairs])


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
