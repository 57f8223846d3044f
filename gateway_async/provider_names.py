"""Which providers there are, built in and from outside, and the settings of each."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from gateway_async.base_models import ConfigModel
from gateway_async.plugins import find_plugin, hides, offered
from gateway_async.provider_config import PROVIDER_CONFIGS, Provider
from gateway_async.secrets import resolve_secret


def provider_of(value: Any) -> str | Provider:
    """The provider that a configuration names: a `Provider` where it is a documented one, else its name.

    Raises:
        ValueError: There is no such provider.
    """
    if not isinstance(value, str):  # and what it is instead may hold a key
        raise ValueError(f"a provider is named by a text; there are {_known()}")
    written = plain_name(value)
    for name in (written, written.lower().replace("_", "-")):
        if settings_of(name) is not None:
            return Provider(name) if name in Provider.values() else name
    from difflib import get_close_matches  # for those who misspell a name

    alike = get_close_matches(name, [*PROVIDER_CONFIGS, *offered()], n=1)
    meant = f" did you mean {alike[0]!r}?" if alike else ""
    raise ValueError(f"the provider {value!r} is not supported;{meant} there are {_known()}")


def plain_name(provider: str | Provider) -> str:
    """A provider's name, without the enumeration around it."""
    return provider.value if isinstance(provider, Provider) else provider


def settings_of(provider: str | Provider) -> type[ConfigModel] | None:
    """The model of a provider's settings; None if there is no such provider."""
    name = plain_name(provider)
    if (built_in := PROVIDER_CONFIGS.get(name)) is not None:
        return built_in
    plugin = find_plugin(name)
    return None if plugin is None else plugin.settings


def read_settings(provider: str | Provider, info: Any) -> Any:
    """A provider's settings as the model that belongs to it, where they are a mapping.

    Raises:
        ValueError: They are wrong, or another provider's.
    """
    wanted, name = settings_of(provider), plain_name(provider)
    assert wanted is not None
    if isinstance(info, ConfigModel) and not isinstance(info, wanted):
        raise ValueError(f"the provider {name!r} takes {wanted.__name__}, not {type(info).__name__}")
    if not isinstance(info, Mapping):
        return info
    try:
        return wanted.model_validate(info)
    except ValidationError as wrong:
        # A plugin's own checks may repeat a key in their words.
        told = " ".join(problem["msg"] for problem in wrong.errors(include_input=False))
        if name not in PROVIDER_CONFIGS and any(key in told for key in _keys(wanted, info)):
            raise ValueError(
                f"the provider {name!r} can't read its settings, and says why with a key"
            ) from None
        raise
    except Exception as failed:  # noqa: BLE001 - a plugin's settings may raise anything, with keys in its words
        raise ValueError(f"the provider {name!r} can't read its settings: {type(failed).__name__}") from None


def _keys(settings: type[ConfigModel], info: Mapping[str, Any]) -> Iterator[str]:
    """The keys in settings that are wrong, as they are written and as they are read."""
    for name, field in settings.model_fields.items():
        value = info.get(name)
        if isinstance(value, str) and value and hides(field):
            yield value
            with suppress(ValueError):
                yield resolve_secret(value)


def needed_settings(provider: str | Provider) -> list[str]:
    """The settings that a provider can't do without."""
    settings = settings_of(provider)
    return [] if settings is None else [k for k, f in settings.model_fields.items() if f.is_required()]


def _known() -> str:
    return ", ".join(sorted({*PROVIDER_CONFIGS, *offered()}))
