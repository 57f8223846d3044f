"""Holding JSON against the types of an SDK, strictly: no key that they do not know, no number in a string."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Required, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, with_config
from typing_extensions import TypeAliasType, TypedDict, get_type_hints, is_typeddict


@cache
def _eager(kind: Any) -> Any:
    """A type of parameters that is checked to its depths at once: lists for iterables, and none of the types of answers.

    pydantic looks into an iterable only when somebody reads it, and takes the first kind of it that it meets; and the
    types of answers, which some lists accept too, keep keys that they do not know.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, TypeAliasType):
        return _eager(kind.__value__)
    if isinstance(origin, TypeAliasType):
        return _eager(origin.__value__[arguments])
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        fields = {name: _field(hint, required=name in kind.__required_keys__) for name, hint in hints.items()}
        made = TypedDict(kind.__name__, fields, total=False)  # type: ignore[misc] # made at run time
        config = getattr(kind, "__pydantic_config__", ConfigDict(extra="forbid"))
        return with_config(config)(made)
    if origin is Annotated:
        return _eager(arguments[0])
    if origin is Union:
        return Union[tuple(_eager(one) for one in arguments if not _is_answer(one))]  # noqa: UP007 # made at run time
    if origin in (list, Iterable, Sequence):
        return list[_eager(arguments[0])]  # type: ignore[misc] # made at run time
    if origin is dict:
        return dict[arguments[0], _eager(arguments[1])]  # type: ignore[misc, valid-type] # made at run time
    return kind


def _field(hint: Any, *, required: bool) -> Any:
    if get_origin(hint) is Required:
        required, hint = True, get_args(hint)[0]
    return Required[_eager(hint)] if required else _eager(hint)


def _is_answer(kind: Any) -> bool:
    one = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return any(isinstance(part, type) and issubclass(part, BaseModel) for part in get_args(one) or (one,))


def strict(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_eager(kind))


def check(kind: type[BaseModel] | TypeAdapter[Any], body: bytes, *, known: Iterable[str] = ()) -> None:
    """Accept JSON that is of a type, without a key that the type does not know, except those that are known to come.

    Raises:
        ValidationError: It is not of the type.
        AssertionError: It has a key that the type does not know.
    """
    if isinstance(kind, TypeAdapter):
        checked = kind.validate_json(body, strict=True)
    else:
        checked = kind.model_validate_json(body, strict=True)
    assert set(_strangers(checked)) - set(known) == set()


def _strangers(value: Any) -> Iterator[str]:
    """The keys that stand in a model which does not know them."""
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _strangers(part)
