"""Models of SDKs that take anything, made strict: the same fields, of the same types, and no others.

Cohere's and AI21's SDKs build their models without a check and keep keys that they do not know. What is made here of
such a model has its fields under their names on the wire, its literals as the only values, and its required fields.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from typing_extensions import is_typeddict

from tests.providers.published._strict import _eager


def sent(kind: Any) -> TypeAdapter[Any]:
    """The type for what goes in: a key that it does not know is wrong."""
    return TypeAdapter(mirrored(kind, "forbid"))


def answered(kind: Any) -> TypeAdapter[Any]:
    """The type for what comes out: keys that it does not know are kept, so that they can be listed."""
    return TypeAdapter(mirrored(kind, "allow"))


def mirrored(kind: Any, extra: Literal["allow", "forbid"]) -> Any:
    """A type with its models made strict."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _model(kind, extra)
    if is_typeddict(kind):
        return _eager(kind)
    if origin is Annotated:
        return mirrored(arguments[0], extra)
    if origin is Union:
        # A literal or anything at all: the literal, in words that the SDK may not know yet.
        known = [one for one in arguments if one is not Any]
        return Union[tuple(mirrored(one, extra) for one in known)]  # noqa: UP007 # made at run time
    if origin in (list, Sequence):
        return list[mirrored(arguments[0], extra)]  # type: ignore[misc] # made at run time
    if origin is dict:
        return dict[arguments[0], mirrored(arguments[1], extra)]  # type: ignore[misc, valid-type] # made at run time
    return kind


@cache
def _model(kind: type[BaseModel], extra: Literal["allow", "forbid"]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        # A literal with a default says which of several models it is, so that it always stands there.
        needed = field.is_required() or get_origin(field.annotation) is Literal
        default = Field(... if needed else None, alias=field.alias or name)
        fields[f"{name}_" if hasattr(BaseModel, name) else name] = (
            mirrored(field.annotation, extra),
            default,
        )
    return create_model(kind.__name__, __config__=ConfigDict(extra=extra, protected_namespaces=()), **fields)
