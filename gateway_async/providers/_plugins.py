"""Providers from outside, so that what goes wrong in one is told as its own and stays within its routes."""

from gateway_async.config import Model, RouteType
from gateway_async.errors import GatewayError, NotSupported
from gateway_async.plugins import Plugin, problem_of, told
from gateway_async.providers._base import Adapter, Responder
from gateway_async.providers._errors import redact
from gateway_async.providers._guarded import guarded
from gateway_async.secrets import secrets_in

ADAPTER = ("request", "answer", "reader", "error")
"""The methods of an `Adapter`."""


class PluginProvider:
    """A plugin as a provider."""

    def __init__(self, plugin: Plugin) -> None:
        if plugin.problem is not None:
            raise NotSupported(plugin.problem)
        self.name = plugin.name
        self.route_types = frozenset(map(RouteType, plugin.provider.route_types))
        self._plugin = plugin

    def bind(self, model: Model, kind: RouteType) -> Adapter | Responder:
        """What the plugin makes of a route; its settings are there even where the configuration has none.

        Raises:
            NotSupported: It raises, or gives what is no adapter.
        """
        if model.config is None:
            model = model.model_copy(update={"config": self._plugin.settings()})
        try:
            bound: Adapter | Responder = self._plugin.provider.bind(model, kind)
        except GatewayError:
            raise
        except (Exception, SystemExit) as failed:  # noqa: BLE001 - what it raises is up to its author
            reason = redact(f"bind() failed: {told(failed)}", secrets_in(model.config))
            raise NotSupported(problem_of(self.name, self._plugin.distribution, reason)) from None
        if not isinstance(bound, Responder) and (absent := [m for m in ADAPTER if not hasattr(bound, m)]):
            reason = f"bind() gave no adapter: {type(bound).__name__} has no {', '.join(absent)}"
            raise NotSupported(problem_of(self.name, self._plugin.distribution, reason))
        return guarded(bound, self._plugin, tuple(secrets_in(model.config)))
