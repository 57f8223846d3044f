"""Reading a configuration: from a file, a mapping, or nothing at all; and saying what is wrong with it, line by line."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from gateway_async.base_models import ConfigModel
from gateway_async.config import GatewayConfig, Model
from gateway_async.errors import ConfigError
from gateway_async.plugins import UnreadSettings
from gateway_async.provider_names import provider_of, settings_of
from gateway_async.zero_config import zero_config

Location = tuple[str | int, ...]
"""Where something stands in a configuration: keys and indices from the top."""

DEEPEST = 100
"""Levels of nesting that a file may have."""

_OF_YAML_S_VALUES = (ValueError, AttributeError, LookupError, TypeError, OverflowError)
"""What PyYAML's constructors raise for a value that is not what its tag promises: `!!bool maybe`, a 13th month."""

_OLD_KEYS = {"routes": "endpoints", "route_type": "endpoint_type"}

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_config(source: GatewayConfig | Mapping[str, Any] | Path | None) -> GatewayConfig:
    """The configuration, checked.

    Args:
        source: The path of a YAML file; a mapping in its form; a configuration, which is given back; or None, for
            what needs none: the `offline` provider, and a route for each provider whose key is in the environment.

    Raises:
        ConfigError: It is wrong. The message has a line for each problem, with its place and the way out.

    Warns:
        FutureWarning: It uses older keys, `routes` or `route_type`.
    """
    if isinstance(source, GatewayConfig):
        return source
    if source is None:
        source = zero_config(os.environ)
    if not isinstance(source, Path | Mapping):
        raise ConfigError(f"a configuration is a mapping or a file's path, not {type(source).__name__}")
    document = Document.read(source) if isinstance(source, Path) else Document("", dict(source), None)
    config = document.config()
    for old in document.old_keys():
        warnings.warn(
            f"{document.name}{old!r} is an older key; write {_OLD_KEYS[old]!r}", FutureWarning, stacklevel=3
        )
    return config


class Document:
    """A configuration as it is written.

    Args:
        name: What stands before a line number in messages: the file's name.
        data: The mapping.
        node: The same as YAML nodes, which know their lines.
    """

    def __init__(self, name: str, data: dict[str, Any], node: yaml.Node | None) -> None:
        self.name = f"{name}: " if name else ""
        self._file = name
        self._data = data
        self._today = _renamed(data)
        self._node = node

    @classmethod
    def read(cls, path: Path) -> "Document":
        """The file's content.

        Raises:
            ConfigError: It can't be read, is no YAML, or no mapping.
        """
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            raise ConfigError(f"there is no file {str(path)!r}") from None
        except (OSError, ValueError) as problem:
            raise ConfigError(f"{path} can't be read: {problem}") from None
        try:
            node, data = _parse(text)
        except (yaml.YAMLError, *_OF_YAML_S_VALUES) as problem:
            mark = getattr(problem, "problem_mark", None)
            line = mark.line + 1 if mark else None
            # What YAML would not take may be a key that begins with one of its signs: it is not repeated.
            said = getattr(problem, "problem", None) or str(problem).partition("\n")[0]
            said = re.sub(r"'[^']{2,}'", "…", said)
            if not isinstance(problem, yaml.YAMLError | ValueError):
                said = "a value is not what its tag says"
            problems = [{"line": line, "endpoint": None, "key": None, "problem": f"this is not YAML: {said}"}]
            raise ConfigError(sentence(str(path), problems[0]), problems=problems) from None
        if not isinstance(data, dict):
            problems = [
                {
                    "line": 1,
                    "endpoint": None,
                    "key": None,
                    "problem": "a mapping with 'endpoints:' is expected",
                }
            ]
            raise ConfigError(sentence(str(path), problems[0]), problems=problems)
        return cls(str(path), data, node)

    def config(self) -> GatewayConfig:
        """The configuration.

        Raises:
            ConfigError: It is wrong.
        """
        problems = [self._problem(location, problem) for location, problem in self._doubles()]
        try:
            config = GatewayConfig.model_validate(self._today)
        except ValidationError as invalid:
            problems += [
                self._problem(entry["loc"], words(entry))
                for entry in invalid.errors(include_url=False, include_input=False)
                if entry["loc"] or not problems
            ]
        else:
            if not problems:
                return config
        raise ConfigError("\n".join(sentence(self._file, problem) for problem in problems), problems=problems)

    def old_keys(self) -> list[str]:
        """The older keys that it uses."""
        used = ["routes"] if "routes" in self._data else []
        return used + ["route_type"] * any("route_type" in entry for _, entry in self._endpoints())

    def unknown_keys(self) -> list[dict[str, Any]]:
        """The keys that mean nothing here, in the form of `ConfigError.problems`: misspelt, most likely."""
        return [
            self._problem(location, f"unknown key; known are {', '.join(known)}")
            for location, known in unknown_in([GatewayConfig], self._today, ())
        ]

    def unserved(self, reasons: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
        """The routes that can't be served, in the form of `ConfigError.problems`.

        Args:
            reasons: By the name of each: where in it what can't be served stands, and why.
        """
        return [
            self._problem(("endpoints", index, *parts(place)), reason)
            for index, entry in self._endpoints()
            for place, reason in reasons.get(entry.get("name", ""), {}).items()
        ]

    def wrong(self, key: str, problem: str) -> dict[str, Any]:
        """What is wrong with a key at the top, in the form of `ConfigError.problems`."""
        return self._problem((key,), problem)

    def _doubles(self) -> Iterator[tuple[Location, str]]:
        """What stands there twice: a key under both its names, an endpoint's name."""
        if {"routes", "endpoints"} <= self._data.keys():
            yield ("routes",), "this is the older name of 'endpoints', which is there too; keep one of them"
        seen: set[str] = set()
        for index, entry in self._endpoints():
            if {"route_type", "endpoint_type"} <= entry.keys():
                yield (
                    ("endpoints", index, "route_type"),
                    "this is the older name of 'endpoint_type', which is there too; keep one of them",
                )
            if isinstance(name := entry.get("name"), str):
                if name in seen:
                    yield (
                        ("endpoints", index, "name"),
                        f"two endpoints are named {name!r}; rename or remove one",
                    )
                seen.add(name)

    def _endpoints(self) -> list[tuple[int, dict[Any, Any]]]:
        """The entries that are mappings, each with its index."""
        given = self._data.get("endpoints", self._data.get("routes"))
        entries = given if isinstance(given, list) else []
        return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, dict)]

    def _problem(self, location: Location, problem: str) -> dict[str, Any]:
        endpoint: str | None = None
        rest = location = self._as_written(location)
        if len(location) > 1 and location[0] == "endpoints" and isinstance(location[1], int):
            endpoint, rest = self._endpoint_name(location[1]), location[2:]
        key = ".".join(str(part) for part in rest) or None
        return {"line": self._line(location), "endpoint": endpoint, "key": key, "problem": problem}

    def _as_written(self, location: Location) -> Location:
        """The location without the names of union members, which pydantic adds."""
        path: list[str | int] = []
        data: Any = self._today
        for index, part in enumerate(location):
            if isinstance(data, Mapping):
                if part not in data and index < len(location) - 1:
                    continue
                data = data.get(part)
            elif isinstance(data, list) and isinstance(part, int):
                data = data[part]
            else:
                break
            path.append(part)
        return tuple(path)

    def _endpoint_name(self, index: int) -> str:
        name = dict(self._endpoints()).get(index, {}).get("name")
        return name if isinstance(name, str) else f"number {index + 1}"

    def _line(self, location: Location) -> int | None:
        """The line of a key or of a list's entry, or of the nearest around it that is written down."""
        if (node := self._node) is None:
            return None
        line: int = node.start_mark.line + 1
        for part in location:
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if part in (k.value, _OLD_KEYS.get(k.value))]
                if not found:
                    break
                key, node = found[-1]
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """YAML as nodes, and as what they stand for.

    Raises:
        yaml.YAMLError: It is none, or it is nested beyond `DEEPEST`.
        ValueError: A value is not what its form promises; or any other of `_OF_YAML_S_VALUES`.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:  # libyaml would recurse until the process dies
            raise yaml.MarkedYAMLError(None, None, f"more than {DEEPEST} levels of nesting", event.start_mark)  # type: ignore[arg-type] # the stubs forget libyaml
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _renamed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with today's keys in the place of older ones."""
    new = {_OLD_KEYS.get(key, key) if key == "routes" else key: value for key, value in data.items()}
    if isinstance(entries := new.get("endpoints"), list):
        new["endpoints"] = [
            {("endpoint_type" if key == "route_type" else key): value for key, value in entry.items()}
            if isinstance(entry, dict)
            else entry
            for entry in entries
        ]
    return new


def unknown_in(
    models: Sequence[type[BaseModel]], data: Any, at: Location = ()
) -> Iterator[tuple[Location, list[str]]]:
    """Where keys stand in data that none of the models has, and which they have there."""
    if not models or not isinstance(data, Mapping):
        return
    fields = {
        field.alias or name: field.annotation
        for model in models
        for name, field in model.model_fields.items()
    }
    for key, value in data.items():
        if key not in fields:
            yield (*at, key), list(fields)
        elif models == [Model] and key == "config":
            yield from unknown_in(_settings_of(data.get("provider")), value, (*at, key))
        else:
            inner = [model for model in _models_in(fields[key]) if model is not ConfigModel]
            if isinstance(value, list):
                for index, item in enumerate(value):
                    yield from unknown_in(inner, item, (*at, key, index))
            else:
                yield from unknown_in(inner, value, (*at, key))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that describe a field: several, where it is a union of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _settings_of(provider: Any) -> list[type[BaseModel]]:
    """The model of a provider's settings."""
    try:
        found = provider_of(provider)
    except ValueError:
        return []
    settings = settings_of(found)
    return [] if settings is None or settings is UnreadSettings else [settings]


def parts(place: str) -> Location:
    """A place as it is written, `destinations.1.model`, as keys and indices."""
    return tuple(int(part) if part.isdigit() else part for part in place.split(".") if part)


def words(entry: Any) -> str:
    """A validation error's message, without pydantic's prefix."""
    message = str(entry["msg"]).removeprefix("Value error, ")
    return "this key is missing" if entry["type"] == "missing" else message


def sentence(name: str, problem: Mapping[str, Any]) -> str:
    """One problem, as a line for a person: `gateway.yaml:7: endpoint 'chat', model.provider: …`."""
    place = name or "configuration"
    if problem["line"] is not None:
        place += f":{problem['line']}"
    where = [f"endpoint {problem['endpoint']!r}"] if problem["endpoint"] else []
    where += [str(problem["key"])] if problem["key"] else []
    return ": ".join([place, *([", ".join(where)] if where else []), str(problem["problem"])])
