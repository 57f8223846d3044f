"""A request's headers by name, sorted once for all who look into them."""

from collections.abc import Mapping

from starlette.types import Scope

Fields = Mapping[bytes, bytes]

_KEPT = "gateway.fields"


def fields_of(scope: Scope) -> Fields:
    """The headers of a request by their names, in lower case; of those that came twice, the last."""
    fields: Fields | None = scope.get(_KEPT)
    if fields is None:
        fields = scope[_KEPT] = dict(scope["headers"])
    return fields


def with_field(scope: Scope, name: bytes, value: bytes) -> Scope:
    """The request with another value of a header that it has."""
    headers = [(each, value if each == name else was) for each, was in scope["headers"]]
    return {**scope, "headers": headers, _KEPT: dict(headers)}
