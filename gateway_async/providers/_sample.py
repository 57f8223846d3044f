"""A value that fits a JSON schema, made from a text: what the offline model puts into calls and JSON answers."""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_DEEPEST = 8
"""A schema that refers to itself is followed this far."""

_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "somebody@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the schema's type. Strings repeat the text, numbers are the first in it, enums the one it names."""
    return _Sampler(schema, text).value(schema, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root = root
        self._text = text

    def value(self, schema: Any, depth: int) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if options := schema.get("enum"):
            return next(
                (option for option in options if str(option).lower() in self._text.lower()), options[0]
            )
        for key in ("anyOf", "oneOf"):
            if members := schema.get(key):
                return self.value(members[0], depth + 1) if depth < _DEEPEST else None
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind is None:
            kind = "object" if "properties" in schema or depth == 0 else "string"
        make = getattr(self, f"_{kind}", None)
        return make(schema, depth) if make else None

    def _resolve(self, schema: Any) -> Mapping[str, Any]:
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#"):
                target: Any = self._root
                for step in reference.lstrip("#/").split("/"):
                    target = target.get(step, {}) if step and isinstance(target, Mapping) else target
                schema = target
            elif members := schema.get("allOf"):
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = {**self._resolve(members[0]), **rest}
            else:
                return schema
        return {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        wanted = properties if depth < _DEEPEST else schema.get("required") or ()
        return {
            name: self.value(properties.get(name, {}), depth + 1) for name in wanted if depth < 2 * _DEEPEST
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        if depth >= _DEEPEST:
            return []
        count = max(int(schema.get("minItems") or 1), 1)
        return [self.value(schema.get("items") or {}, depth + 1) for _ in range(min(count, 16))]

    def _string(self, schema: Mapping[str, Any], depth: int) -> str:
        text = _FORMATS.get(str(schema.get("format")), self._text)
        return text.ljust(int(schema.get("minLength") or 0), ".")[: schema.get("maxLength")]

    def _number(self, schema: Mapping[str, Any], depth: int) -> float:
        found = _NUMBER.search(self._text)
        value = float(found[0]) if found else 0.0
        value = max(value, float(schema.get("minimum", value)))
        return min(value, float(schema.get("maximum", value)))

    def _integer(self, schema: Mapping[str, Any], depth: int) -> int:
        return int(self._number(schema, depth))

    def _boolean(self, schema: Mapping[str, Any], depth: int) -> bool:
        return re.search(r"\b(no|not|false)\b", self._text.lower()) is None

    def _null(self, schema: Mapping[str, Any], depth: int) -> None:
        return None
