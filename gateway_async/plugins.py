"""Providers from outside: what installed distributions offer as entry points of the group `gateway.providers`.

The entry points are read once, when they are first asked for; a plugin is imported when a configuration first names
it. One that can't be used is a `Plugin` with a `problem`: its own routes say so, the others run.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic.fields import FieldInfo

from gateway_async.base_models import ConfigModel

GROUP = "gateway.providers"

KINDS = frozenset({"llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"})
"""The types of routes, as a plugin may write them."""


class NoSettings(ConfigModel):
    """The plugin takes no settings."""


class UnreadSettings(ConfigModel):
    """Settings of a plugin that can't be used: nobody knows what of them is a key, so nothing of them is kept."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider from outside.

    Attributes:
        name: The provider's name: that of its entry point.
        distribution: The distribution that offers it, with its version.
        provider: What the entry point names.
        settings: The model of its settings.
        problem: Why it can't be used, as a sentence that names it and its distribution; None if it can.
    """

    name: str
    distribution: str
    provider: Any
    settings: type[ConfigModel]
    problem: str | None = None


@cache
def offered() -> Mapping[str, Sequence[EntryPoint]]:
    """The entry points of the group by their names, each of which should have one."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


@cache
def find_plugin(name: str) -> Plugin | None:
    """The plugin of this name, imported; None if there is none."""
    if not (points := offered().get(name)):
        return None
    distribution = " and ".join(sorted(map(distribution_of, points)))
    if len(points) > 1:
        return _unusable(name, distribution, "several distributions offer it; uninstall all but one")
    try:
        provider = points[0].load()
    except (Exception, SystemExit) as failed:  # noqa: BLE001 - what it raises is up to its author
        return _unusable(name, distribution, f"importing {points[0].value} failed: {told(failed)}")
    if problem := _wrong_shape(provider):
        return _unusable(name, distribution, f"{points[0].value} {problem}")
    return Plugin(name, distribution, provider, getattr(provider, "config", None) or NoSettings)


def distribution_of(point: EntryPoint) -> str:
    """The distribution that an entry point belongs to, as a person names it."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed distribution"


def told(failed: BaseException) -> str:
    """An exception as a part of a sentence."""
    text = " ".join(str(failed).split())
    return f"{type(failed).__name__}{': ' if text else ''}{text[:500]}"


def problem_of(plugin_name: str, distribution: str, reason: str) -> str:
    """The sentence that says why a plugin can't be used."""
    return f"the plugin {plugin_name!r} of {distribution} can't be used: {reason}"


def _unusable(name: str, distribution: str, reason: str) -> Plugin:
    return Plugin(name, distribution, None, UnreadSettings, problem_of(name, distribution, reason))


def _wrong_shape(provider: Any) -> str | None:
    """What keeps this from being a provider, if anything does."""
    if isinstance(provider, type):
        return "is a class; name an instance of it"
    if not isinstance(getattr(provider, "name", None), str):
        return "has no 'name' that is a text"
    kinds = getattr(provider, "route_types", None)
    if not isinstance(kinds, frozenset | set | tuple | list) or not kinds or not all(map(_is_kind, kinds)):
        return f"has no 'route_types' that are some of {', '.join(sorted(KINDS))}"
    if not callable(getattr(provider, "bind", None)):
        return "has no method 'bind'"
    settings = getattr(provider, "config", None)
    if settings is not None and not (isinstance(settings, type) and issubclass(settings, ConfigModel)):
        return "has a 'config' that is no subclass of gateway_async.provider.ConfigModel"
    if settings is not None and (shown := _shown_keys(settings)):
        return (
            f"has a setting {shown[0]!r} that would show in logs; declare it as gateway_async.provider.ApiKey"
        )
    return None


def _is_kind(kind: object) -> bool:
    return isinstance(kind, str) and kind in KINDS


def _shown_keys(settings: type[ConfigModel]) -> list[str]:
    """The settings that are keys by their names and do not hide."""
    return [
        name
        for name, field in settings.model_fields.items()
        if re.search(r"(^|_)(key|token|secret|password)$", name) and not hides(field)
    ]


def hides(field: FieldInfo) -> bool:
    """Whether a setting is a key that does not show."""
    return "Secret" in f"{field.metadata} {field.annotation}"
