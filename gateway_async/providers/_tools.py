"""Tools in requests: the functions that a model may call, the choice among them, the calls that were made before."""

from typing import Any

import orjson

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json


def call_arguments(call: Json, at: str, vendor: str) -> tuple[str, Json]:
    """The name and the arguments of a call that the assistant made before.

    Args:
        call: One of a message's `tool_calls`.
        at: Its path in the body: `messages.1.tool_calls.0`.
        vendor: The provider, as a sentence names it.

    Raises:
        InvalidRequest: It is no call of a function, or its arguments are no JSON object.
    """
    if not isinstance(function := call.get("function"), dict):
        raise InvalidRequest.field(at, f"{vendor} takes calls of functions only")
    try:
        given = orjson.loads(function["arguments"] or "{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidRequest.field(f"{at}.function.arguments", "a JSON object in a string is expected")
    return function["name"], given


def functions_only(data: Json, vendor: str) -> list[Json]:
    """The functions among a request's tools, which must all be some.

    Raises:
        InvalidRequest: A tool is none; the error names it.
    """
    found = []
    for index, tool in enumerate(data.get("tools") or ()):
        if tool["type"] != "function" or not isinstance(tool.get("function"), dict):
            raise InvalidRequest.field(f"tools.{index}", f"{vendor} takes functions, each under 'function'")
        found.append(tool["function"])
    return found


def chosen_function(choice: Any, vendor: str) -> str | None:
    """The name of the one function that `tool_choice` wants; None for `auto`, `none` and `required`.

    Raises:
        InvalidRequest: It is none of these.
    """
    if choice in ("auto", "none", "required"):
        return None
    function = (
        choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    )
    if isinstance(function, dict) and isinstance(name := function.get("name"), str):
        return name
    raise InvalidRequest.field(
        "tool_choice", f"{vendor} takes 'auto', 'none', 'required' or one function's name"
    )
