"""Text Generation Inference's types, as `huggingface_hub` generates them from its OpenAPI, held strictly.

What the server takes and says beside, in one version or another, is written down here; the pages are
https://github.com/huggingface/text-generation-inference/blob/main/docs/openapi.json and …/router/src/lib.rs.
"""

import dataclasses
import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Required, Union, get_args, get_origin, get_type_hints

from huggingface_hub.inference._generated.types import chat_completion as chat
from huggingface_hub.inference._generated.types import text_generation as text
from pydantic import BaseModel, ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

Json = dict[str, Any]


class Called(TypedDict):
    """The function of a call that is sent back: its arguments as they are (`FunctionDefinition`)."""

    name: str
    arguments: Any


class Call(TypedDict):
    """A call that is sent back."""

    id: str
    type: str
    function: Called


class CalledInAnswer(TypedDict, total=False):
    """The function of a call in an answer: arguments as an object before version 3, as a text since."""

    name: Required[str]
    description: str | None
    arguments: Required[Any]


class Grammar(TypedDict):
    """The form of an answer, as huggingface_hub's own client sends it (`GrammarType`, with its alias)."""

    type: Literal["json", "json_object", "regex"]
    value: Any


class CallInAnswer(TypedDict):
    """A call in an answer."""

    id: str
    type: str
    function: CalledInAnswer


_OTHER: Mapping[tuple[str, str], tuple[str, Any]] = {
    ("ChatCompletionInputMessage", "tool_calls"): ("tool_calls", list[Call]),
    ("ChatCompletionInput", "tool_choice"): ("tool_choice", str),  # a function's name alone is one, too
    ("ChatCompletionInput", "response_format"): ("response_format", Grammar),
    ("ChatCompletionOutputMessage", "tool_calls"): ("tool_calls", list[CallInAnswer] | None),
    ("TextGenerationOutputPrefillToken", "logprob"): ("logprob", float | None),  # nullable: the first token's
}
"""Field of a generated type → what the server has in its place."""

_MORE: Mapping[str, Mapping[str, Any]] = {
    "ChatCompletionInputMessage": {"tool_call_id": str},  # of OpenAI's, which the templates of models may use
    "ChatCompletionInput": {"guideline": str},
    "ChatCompletionOutput": {"object": str},
    "ChatCompletionStreamOutput": {"object": str},
}
"""Generated type → fields that the server has beside."""


def _strict(kind: Any) -> Any:
    """A generated type without the keys that it does not know; what may be null there may be absent."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        fields: dict[str, Any] = dict(_MORE.get(kind.__name__, {}))
        for field in dataclasses.fields(kind):
            name, hint = _OTHER.get((kind.__name__, field.name), (field.name, None))
            one = _strict(hints[field.name]) if hint is None else hint
            fields[name] = Required[one] if field.default is dataclasses.MISSING else one
        made = TypedDict(kind.__name__, fields, total=False)  # type: ignore[misc] # made at run time
        return with_config(ConfigDict(extra="forbid"))(made)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return Union[tuple(_strict(one) for one in arguments)]  # noqa: UP007 # made at run time
    if origin is list:
        return list[_strict(arguments[0])]  # type: ignore[misc] # made at run time
    return kind


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_strict(kind))


class ErrorBody(BaseModel):
    """`ErrorResponse`, under a status or within a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    error: str
    error_type: Literal["validation", "generation", "overloaded", "incomplete_generation", "healthcheck"]


_SENT = {
    "llm/v1/chat": _adapter(chat.ChatCompletionInput),
    "llm/v1/completions": _adapter(text.TextGenerationInput),
}
_ANSWERED = {
    "llm/v1/chat": _adapter(chat.ChatCompletionOutput),
    "llm/v1/completions": _adapter(text.TextGenerationOutput),
}
_PIECES = {
    "llm/v1/chat": _adapter(chat.ChatCompletionStreamOutput),
    "llm/v1/completions": _adapter(text.TextGenerationStreamOutput),
}

ADDS = ("reasoning", "tool_call_id")
"""Thoughts under their own name too, and a field of the server's messages that is null in all of them."""


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the API takes."""
    _SENT[kind].validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the API may give."""
    _ANSWERED[kind].validate_json(body, strict=True)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error."""
    ErrorBody.model_validate_json(body)


def check_event(kind: str, url: str, data: Json) -> None:
    """Accept the data of one event of a stream."""
    known = TypeAdapter(ErrorBody) if "error" in data else _PIECES[kind]
    known.validate_json(json.dumps(data), strict=True)
