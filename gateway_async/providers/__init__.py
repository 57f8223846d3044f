"""The providers: a table of names, each imported when a route first uses it."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module

from gateway_async.errors import ConfigError
from gateway_async.providers._base import Provider

PROVIDERS: Mapping[str, str] = {
    "anthropic": "gateway_async.providers.anthropic:provider",
    "mlflow-model-serving": "gateway_async.providers.mlflow_model_serving:provider",
    "mosaicml": "gateway_async.providers.mosaicml:provider",
    "offline": "gateway_async.providers.offline:provider",
    "openai": "gateway_async.providers.openai:provider",
}
"""Provider's name → where it stands, `module:attribute`."""


@cache
def get_provider(name: str) -> Provider:
    """The provider of this name.

    Raises:
        ConfigError: There is none.
    """
    if (place := PROVIDERS.get(name)) is None:
        raise ConfigError(f"the provider {name!r} is not served by this version; {', '.join(PROVIDERS)} are")
    module, _, attribute = place.partition(":")
    provider: Provider = getattr(import_module(module), attribute)
    return provider
