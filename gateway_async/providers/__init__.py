"""The providers: a table of names, each imported when a route first uses it.

Beside it stand the rows of `provider_table`, which need no module of their own, and the plugins, which come from
outside. The names of the first two can't be taken by the third.
"""

import logging
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from gateway_async.errors import ConfigError
from gateway_async.plugins import GROUP, distribution_of, find_plugin, offered
from gateway_async.provider_table import ROWS
from gateway_async.providers._base import Provider

_log = logging.getLogger("gateway_async")

PROVIDERS: Mapping[str, str] = {
    "ai21labs": "gateway_async.providers.ai21labs:provider",
    "amazon-bedrock": "gateway_async.providers.bedrock.provider:amazon_bedrock",
    "anthropic": "gateway_async.providers.anthropic.provider:provider",
    "bedrock": "gateway_async.providers.bedrock.provider:provider",
    "cohere": "gateway_async.providers.cohere.provider:provider",
    "databricks": "gateway_async.providers.databricks.provider:provider",
    "databricks-model-serving": "gateway_async.providers.databricks.provider:model_serving",
    "gemini": "gateway_async.providers.gemini.provider:provider",
    "huggingface-text-generation-inference": "gateway_async.providers.huggingface.provider:provider",
    "mistral": "gateway_async.providers.mistral.provider:provider",
    "mlflow-model-serving": "gateway_async.providers.mlflow_model_serving:provider",
    "mosaicml": "gateway_async.providers.mosaicml:provider",
    "offline": "gateway_async.providers.offline.provider:provider",
    "openai": "gateway_async.providers.openai:provider",
    "palm": "gateway_async.providers.palm:provider",
    "togetherai": "gateway_async.providers.togetherai.provider:provider",
    "vertex-ai": "gateway_async.providers.vertex_ai.provider:provider",
}
"""Provider's name → where it stands, `module:attribute`."""


@cache
def get_provider(name: str) -> Provider:
    """The provider of this name.

    Raises:
        ConfigError: There is none.
        NotSupported: It is a plugin that can't be used.
    """
    _warn_of_taken_names()
    if (row := ROWS.get(name)) is not None:
        from gateway_async.providers.openai_format.table import TableProvider

        return TableProvider(row)
    if (place := PROVIDERS.get(name)) is None:
        if (plugin := find_plugin(name)) is not None:
            from gateway_async.providers._plugins import PluginProvider

            return PluginProvider(plugin)
        known = ", ".join(sorted({*PROVIDERS, *ROWS}))
        raise ConfigError(f"the provider {name!r} is not served by this version; {known} are")
    module, _, attribute = place.partition(":")
    provider: Provider = getattr(import_module(module), attribute)
    return provider


@cache
def _warn_of_taken_names() -> None:
    """Say once which plugins bear the name of a provider of ours, and are not used for it."""
    for name, points in offered().items():
        if name in PROVIDERS or name in ROWS:
            whose = " and ".join(sorted(map(distribution_of, points)))
            _log.warning(
                "%s offers a plugin %r in %r, which is the name of a built-in provider: the built-in one is used",
                whose,
                name,
                GROUP,
            )
