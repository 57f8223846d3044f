"""A value that fits a JSON schema, made from a text: what the offline model puts into calls and JSON answers.

The schema is a caller's: it may be nonsense, or small and yet ask for more values than any memory holds.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

MOST_BYTES = 2**18
"""A value larger than this is not made."""

LONGEST_STRING = 1000
"""Characters of a text that a string repeats."""

_DEEPEST = 64
_BYTES_OF_A_VALUE = 64

_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")

_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "somebody@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Any, text: str) -> Any:
    """A value of the schema's type. Strings repeat the text, numbers are the first in it, enums the one it names.

    What a schema says of itself again is left out where it may be.

    Raises:
        ValueError: It is no JSON schema, or one whose values are larger than `MOST_BYTES` or without end.
    """
    return _Sampler(schema, text[:LONGEST_STRING]).value(schema, 0)


class _Sampler:
    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text
        self._room = MOST_BYTES
        self._open = ["#"]
        """The references that the value being made stands in."""

        self._makers: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": lambda schema, depth: int(self._number(schema, depth)),
            "boolean": lambda schema, depth: re.search(r"\b(no|not|false)\b", self._text.lower()) is None,
            "null": lambda schema, depth: None,
        }

    def value(self, schema: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"the schema's values are nested more than {_DEEPEST} deep, or without end")
        self._spend(_BYTES_OF_A_VALUE)
        resolved, followed = self._resolve(schema)
        self._open += followed
        made = self._made(resolved, depth)
        del self._open[len(self._open) - len(followed) :]
        return made

    def _made(self, schema: Mapping[str, Any], depth: int) -> Any:
        if "const" in schema:
            return self._given(schema["const"])
        if "enum" in schema:
            options = _several(schema, "enum")
            said = self._text.lower()
            named = (
                option
                for option in options
                if isinstance(option, str | int | float) and str(option).lower() in said
            )
            return self._given(next(named, options[0]))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                members = _several(schema, key)
                return self.value(next((m for m in members if not self._repeats(m)), members[0]), depth + 1)
        kind = schema.get("type", "object" if "properties" in schema or depth == 0 else "string")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if not isinstance(kind, str) or kind not in self._makers:
            raise ValueError(f"a type of the schema is none of {', '.join(self._makers)}")
        return self._makers[kind](schema, depth)

    def _resolve(self, schema: Any) -> tuple[Mapping[str, Any], list[str]]:
        """The schema that this one refers to, and the references on the way."""
        found: dict[str, Any] = {}
        followed: list[str] = []
        for _ in range(_DEEPEST):
            if schema is True:
                return found, followed
            if not isinstance(schema, Mapping):
                raise ValueError("a part of the schema that must be an object is none")
            found = {**schema, **found}
            reference, members = found.pop("$ref", None), found.pop("allOf", None)
            if isinstance(reference, str):
                followed.append(reference)
                schema = self._at(reference)
            elif members is not None:
                schema = _several(schema, "allOf")[0]
            else:
                return found, followed
        raise ValueError("the schema's references go round in a circle")

    def _at(self, reference: str) -> Any:
        place: Any = self._root if reference.startswith("#") else None
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(place, list) and step.isdecimal() and int(step[:9]) < len(place):
                place = place[int(step[:9])]
            else:
                place = place.get(step) if isinstance(place, Mapping) else None
        if place is None:
            raise ValueError(f"the schema's reference {reference[:100]!r} leads nowhere")
        return place

    def _repeats(self, schema: Any) -> bool:
        """Whether the schema is one of those that it stands in."""
        while isinstance(schema, Mapping):
            if "$ref" in schema:
                return schema["$ref"] in self._open
            members = schema.get("allOf")
            schema = members[0] if isinstance(members, list) and members else None
        return False

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise ValueError("properties of the schema are an object, and required is a list of their names")
        needed = dict.fromkeys((name for name in required if isinstance(name, str)), True)
        found: dict[str, Any] = {}
        for name, inner in {**needed, **properties}.items():
            if name in needed or not self._repeats(inner):
                self._spend(len(name))
                found[name] = self.value(inner, depth + 1)
        return found

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        items = schema.get("items", True)
        least, most = _limit(schema, "minItems", 0), _limit(schema, "maxItems", MOST_BYTES)
        count = min(max(least, 0 if self._repeats(items) else 1), most)
        return [self.value(items, depth + 1) for _ in range(int(count))]

    def _string(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("format")
        text = _FORMATS.get(kind, self._text) if isinstance(kind, str) else self._text
        least, most = _limit(schema, "minLength", 0), _limit(schema, "maxLength", MOST_BYTES)
        self._spend(max(least, len(text)))
        return text.ljust(int(least), ".")[: max(int(most), 0)]

    def _number(self, schema: Mapping[str, Any], depth: int) -> float:
        found = _NUMBER.search(self._text)
        value = float(found[0]) if found else 0.0
        value = max(value, _limit(schema, "minimum", value))
        return min(value, _limit(schema, "maximum", value))

    def _given(self, value: Any) -> Any:
        """A value that the schema itself holds."""
        self._spend(len(orjson.dumps(value)))
        return value

    def _spend(self, size: float) -> None:
        self._room -= int(min(size, MOST_BYTES + 1))
        if self._room < 0:
            raise ValueError(f"the schema asks for a value of more than {MOST_BYTES} bytes")


def _several(schema: Mapping[str, Any], key: str) -> list[Any]:
    members = schema[key]
    if not isinstance(members, list) or not members:
        raise ValueError(f"{key} in the schema is no list, or an empty one")
    return members


def _limit(schema: Mapping[str, Any], key: str, default: float) -> float:
    limit = schema.get(key)
    if limit is None:
        return default
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        raise ValueError(f"{key} in the schema is no number")
    return limit
