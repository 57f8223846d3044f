"""From the bytes of a body to a request that is known to be well-formed.

The request stays the mapping that the caller sent: a schema checks it and is then thrown away, so that what goes
upstream is what came in, and what was not sent is not there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NotRequired

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from gateway_async.base_models import Several
from gateway_async.config import RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.schemas import ChatRequest, CompletionRequest, EmbeddingRequest
from gateway_async.schemas.chat import ChatMessage
from gateway_async.schemas.embeddings import text_as_input

MOST_PROBLEMS = 1000
"""Wrong fields that an error lists; a body can hold millions."""

_MODELS: Mapping[RouteType, type[BaseModel]] = {
    RouteType.LLM_V1_CHAT: ChatRequest,
    RouteType.LLM_V1_COMPLETIONS: CompletionRequest,
    RouteType.LLM_V1_EMBEDDINGS: EmbeddingRequest,
}


def _fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """A model's fields, for a mapping that has them."""
    given = {name: field.rebuild_annotation() for name, field in model.model_fields.items()}
    return {
        name: kind if model.model_fields[name].is_required() else NotRequired[kind]
        for name, kind in given.items()
    }


def _check_of(model: type[BaseModel], **instead: Any) -> Callable[..., bool]:
    """What tells whether a mapping has a model's fields, and makes no model of it: a third of the work."""
    fields = TypedDict(model.__name__, {**_fields_of(model), **instead})  # type: ignore[misc] # made at run time
    return TypeAdapter(fields).validator.isinstance_python


_Message = TypedDict("_Message", _fields_of(ChatMessage))  # type: ignore[misc] # made at run time

_CHECKS = {
    RouteType.LLM_V1_CHAT: _check_of(ChatRequest, messages=Annotated[Several[_Message], Field(min_length=1)]),
    RouteType.LLM_V1_COMPLETIONS: _check_of(CompletionRequest),
    RouteType.LLM_V1_EMBEDDINGS: _check_of(EmbeddingRequest),
}
"""Whether a request is well-formed, by the type of the route. What is not, the model judges, and says why."""

_EXACT = 2.0**63


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, without what the caller left empty.

    `null` at the top or in a message means "not given", as it does to OpenAI; elsewhere (in a tool's schema, in a
    vendor's own parameter) it is kept.

    Raises:
        InvalidRequest: The body is not JSON in UTF-8, or no object.
    """
    data = json_object(body)
    for key, value in data.items():
        # orjson reads a whole number beyond 64 bits as a float, which is another number.
        if type(value) is float and abs(value) >= _EXACT:
            raise InvalidRequest.field(key, "a number this large can't be passed on as it is")
    if None in data.values():
        data = _without_null(data)
    if isinstance(messages := data.get("messages"), list):
        for message in messages:
            if isinstance(message, dict) and None in message.values():
                data["messages"] = [_without_null(each) for each in messages]
                break
    return data


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, as it is.

    Raises:
        InvalidRequest: The body is not JSON in UTF-8, or no object.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        text = f"the body is not JSON: {problem}" if body else "the body is empty; JSON is expected"
        detail = [{"loc": ["body", problem.pos], "msg": text, "type": "json_invalid"}]
        raise InvalidRequest(text, detail=detail) from None
    if not isinstance(data, dict):
        kind = "an array" if isinstance(data, list) else "a single value"
        detail = [{"loc": ["body"], "msg": f"a JSON object is expected, not {kind}", "type": "dict_type"}]
        raise InvalidRequest(f"the body is {kind}; a JSON object is expected", detail=detail)
    return data


def refuse_model(data: dict[str, Any]) -> None:
    """Accept a request to a named route, which must not name a model too.

    Raises:
        InvalidRequest: It does.
    """
    if "model" in data:
        text = "'model' is not accepted here: the route already names its model"
        raise InvalidRequest(text, detail=text)


def validate(kind: RouteType, data: dict[str, Any]) -> dict[str, Any]:
    """The request, checked against the schema of the route's type.

    Raises:
        InvalidRequest: It is not well-formed; every field that is wrong is listed.
    """
    if kind is RouteType.LLM_V1_EMBEDDINGS:
        data = text_as_input(data)
    if _CHECKS[kind](data, strict=True):
        return data
    try:
        _MODELS[kind].model_validate(data, strict=True)
    except ValidationError as problem:
        raise invalid_request(problem, data) from None
    return data


def invalid_request(problem: ValidationError, data: Any) -> InvalidRequest:
    """The error that lists every wrong field; values are not repeated."""
    if (count := problem.error_count()) > MOST_PROBLEMS:
        text = f"{count} values of the body are wrong, more than can be listed"
        return InvalidRequest(text, detail=[{"loc": ["body"], "msg": text, "type": "value_error"}])
    fields: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in problem.errors(include_url=False, include_context=False, include_input=False):
        loc = ("body", *path_in(entry["loc"], data, missing=entry["type"] == "missing"))
        said = entry["msg"].removeprefix("Value error, ")
        fields.setdefault((loc, entry["type"]), {"loc": list(loc), "msg": said, "type": entry["type"]})
    detail = list(fields.values())
    lines = [f"{'.'.join(str(part) for part in entry['loc'][1:])}: {entry['msg']}" for entry in detail]
    return InvalidRequest("; ".join(lines), detail=detail)


def path_in(loc: Sequence[str | int], data: Any, *, missing: bool) -> list[str | int]:
    """Where the field stands in the data: pydantic's path without the names of the union members it tried."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        if isinstance(data, Mapping) and (part in data or (missing and index == len(loc) - 1)):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            path.append(part)
            data = data[part] if part < len(data) else None
    return path


def _without_null(message: Any) -> Any:
    if isinstance(message, dict):
        return {key: value for key, value in message.items() if value is not None}
    return message
