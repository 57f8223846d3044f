"""Requests and answers of a client: from their schemas to plain JSON, and back."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway_async.errors import InvalidAnswer

_M = TypeVar("_M", bound=BaseModel)


def payload(request: Any) -> Any:
    """The JSON that is sent of a request: of a schema the fields that were set, of a mapping all."""
    return request if isinstance(request, Mapping) else request.model_dump(mode="json", exclude_unset=True)


def typed(schema: type[_M], answer: Any) -> _M:
    """The answer in its schema's form.

    Raises:
        InvalidAnswer: It has another.
    """
    try:
        return schema.model_validate(answer)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InvalidAnswer(
            f"the gateway's answer is no {schema.__name__}: {where}: {first['msg']}"
        ) from None
