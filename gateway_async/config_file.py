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
from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_async.zero_config import zero_config

Location = tuple[str | int, ...]
"""Where something stands in a configuration: keys and indices from the top."""

DEEPEST = 100
"""Levels of nesting that a file may have."""

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
        return zero_config(os.environ)
    document = Document.read(source) if isinstance(source, Path) else Document("", dict(source), None)
    for old in document.old_keys():
        warnings.warn(
            f"{document.name}{old!r} is an older key; write {_OLD_KEYS[old]!r}", FutureWarning, stacklevel=3
        )
    return document.config()


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
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(f"{path} can't be read: {problem}") from None
        try:
            node, data = _parse(text)
        except (yaml.YAMLError, ValueError) as problem:
            mark = getattr(problem, "problem_mark", None)
            line = mark.line + 1 if mark else None
            # What YAML would not take may be a key that begins with one of its signs: it is not repeated.
            said = re.sub(r"'[^']{2,}'", "…", getattr(problem, "problem", None) or str(problem).partition("\n")[0])
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
        try:
            return GatewayConfig.model_validate(_renamed(self._data))
        except ValidationError as invalid:
            problems = [
                self._problem(entry["loc"], _words(entry))
                for entry in invalid.errors(include_url=False, include_input=False)
            ]
        raise ConfigError("\n".join(sentence(self._file, problem) for problem in problems), problems=problems)

    def old_keys(self) -> list[str]:
        """The older keys that it uses."""
        used = ["routes"] if "routes" in self._data else []
        endpoints = self._data.get("endpoints") or self._data.get("routes")
        entries = endpoints if isinstance(endpoints, list) else []
        return used + ["route_type"] * any(
            isinstance(entry, dict) and "route_type" in entry for entry in entries
        )

    def unknown_keys(self) -> list[dict[str, Any]]:
        """The keys that mean nothing here, in the form of `ConfigError.problems`: misspelt, most likely."""
        return [
            self._problem(location, f"unknown key; known are {', '.join(known)}")
            for location, known in _unknown(GatewayConfig, _renamed(self._data), ())
        ]

    def _problem(self, location: Location, problem: str) -> dict[str, Any]:
        endpoint: str | None = None
        rest = location
        if len(location) > 1 and location[0] == "endpoints" and isinstance(location[1], int):
            endpoint, rest = self._endpoint_name(location[1]), location[2:]
        key = ".".join(str(part) for part in rest) or None
        return {"line": self._line(location), "endpoint": endpoint, "key": key, "problem": problem}

    def _endpoint_name(self, index: int) -> str:
        entries = self._data.get("endpoints") or self._data.get("routes")
        entry = entries[index] if isinstance(entries, list) and index < len(entries) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        return name if isinstance(name, str) else f"number {index + 1}"

    def _line(self, location: Location) -> int | None:
        """The line on which a place begins, or the nearest place around it that is written down."""
        node, line = self._node, None
        for part in (*location, None):
            if node is None:
                break
            line = line if line is not None and part is None else node.start_mark.line + 1
            if isinstance(node, yaml.MappingNode):
                found = [(k, v) for k, v in node.value if k.value == part or _OLD_KEYS.get(k.value) == part]
                node = found[-1][1] if found else None
                line = found[-1][0].start_mark.line + 1 if found else line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                node = None
        return line


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """YAML as nodes, and as what they stand for.

    Raises:
        yaml.YAMLError: It is none.
        ValueError: A value is not what its form promises (a 13th month), or it is nested beyond `DEEPEST`.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:  # libyaml would recurse until the process dies
            raise ValueError(f"line {event.start_mark.line + 1} is nested more than {DEEPEST} levels deep")
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


def _unknown(model: type[BaseModel], data: Any, at: Location) -> Iterator[tuple[Location, list[str]]]:
    if not isinstance(data, Mapping):
        return
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for key, value in data.items():
        if key not in fields:
            yield (*at, key), list(fields)
            continue
        inner = _model_of(fields[key], model, data)
        values: Sequence[tuple[Location, Any]]
        values = (
            [((*at, key, i), v) for i, v in enumerate(value)]
            if isinstance(value, list)
            else [((*at, key), value)]
        )
        for location, item in values:
            if inner is not None:
                yield from _unknown(inner, item, location)


def _model_of(annotation: Any, owner: type[BaseModel], data: Mapping[str, Any]) -> type[BaseModel] | None:
    """The model that describes a field, if one does: of a provider's settings the provider's, of a union none."""
    if owner is Model and annotation != Model.model_fields["name"].annotation:
        inner = PROVIDER_CONFIGS.get(str(data.get("provider")))
        return inner if isinstance(data.get("config"), Mapping) else None
    models = [
        m for m in (annotation, *get_args(annotation)) if isinstance(m, type) and issubclass(m, BaseModel)
    ]
    models = [model for model in models if model is not ConfigModel]
    return models[0] if len(models) == 1 else None


def _words(entry: Any) -> str:
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
