"""A request in the form of Anthropic's APIs: what its parameters are called there, and what has no counterpart.

https://docs.anthropic.com/en/api/messages: `max_tokens` is required, and the temperature goes to 1 where the
gateway's goes to 2.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._requests import as_list, one_answer, take
from gateway_async.providers.anthropic.messages import conversation

MOST_TOKENS = 1_000_000

_OUTPUT_LIMITS = (
    (re.compile(r"claude-3-7"), 64_000),
    (re.compile(r"claude-3-5"), 8_192),
    (re.compile(r"claude-3-"), 4_096),
    (re.compile(r"claude-opus-4(-0|-1|-2025|$)"), 32_000),
    (re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-\d"), 64_000),
)
"""What a model can write at most; Anthropic refuses a larger `max_tokens`. The first that fits counts."""

_OTHERWISE = 200_000

_SAMPLING: Mapping[str, str] = {
    "max_tokens": "max_tokens",
    "metadata": "metadata",
    "stop": "stop_sequences",
    "temperature": "temperature",
    "top_p": "top_p",
    "user": "user",
}
_CHAT: Mapping[str, str] = {
    **_SAMPLING,
    "max_completion_tokens": "max_tokens",
    "parallel_tool_calls": "parallel_tool_calls",
    "reasoning_effort": "reasoning_effort",
    "response_format": "response_format",
    "service_tier": "service_tier",
    "tool_choice": "tool_choice",
    "tools": "tools",
}

_SERVICE_TIERS = {"default": "standard_only", "standard_only": "standard_only", "auto": "auto"}


def default_max_tokens(model: str) -> int:
    """The `max_tokens` for a caller who gave none: all that the model can write."""
    return next((limit for pattern, limit in _OUTPUT_LIMITS if pattern.match(model)), _OTHERWISE)


def messages_request(data: Json, model: str) -> Json:
    """The body for `POST /messages`.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = sampling(data, _CHAT)
    body.setdefault("max_tokens", default_max_tokens(model))
    if (tier := body.get("service_tier", "auto")) not in _SERVICE_TIERS:
        raise UnsupportedParameter.field("service_tier", f"Anthropic has no tier {tier!r}; leave it out")
    if "service_tier" in body:
        body["service_tier"] = _SERVICE_TIERS[tier]
    _set_output(body)
    _set_tools(body)
    system, body["messages"] = conversation(body["messages"])
    if system:
        body["system"] = system
    return {"model": model, **body}


def sampling(data: Json, takes: Mapping[str, str] = _SAMPLING) -> Json:
    """The request, its parameters under the names and on the scales of Anthropic's APIs.

    Raises:
        InvalidRequest: One has no counterpart; the error names it.
    """
    for name in ("max_tokens", "max_completion_tokens"):
        if data.get(name, 0) > MOST_TOKENS:
            raise InvalidRequest.field(name, f"at most {MOST_TOKENS} tokens can be asked for")
    if "temperature" in data and data.get("top_p") == 1:
        data = {name: value for name, value in data.items() if name != "top_p"}  # which asks for nothing
    if "top_p" in data and "temperature" in data:
        raise InvalidRequest.field("top_p", "Anthropic takes either 'temperature' or 'top_p'; leave one out")
    one_answer(data, "Anthropic")
    body = take(data, "Anthropic", takes)
    if "temperature" in body:
        body["temperature"] = 0.5 * body["temperature"]
    if "stop_sequences" in body:
        body["stop_sequences"] = as_list(body["stop_sequences"])
    if (user := body.pop("user", None)) is not None:
        body["metadata"] = {"user_id": user, **body.get("metadata", {})}
    return body


def _set_output(body: Json) -> None:
    wanted: Json = {}
    effort = body.pop("reasoning_effort", None)
    if effort == "none":
        body.setdefault("thinking", {"type": "disabled"})
    elif effort is not None:
        wanted["effort"] = "low" if effort == "minimal" else effort
    form = body.pop("response_format", {"type": "text"})
    if form.get("type") == "json_schema" and isinstance(named := form.get("json_schema"), dict):
        wanted["format"] = {"type": "json_schema", "schema": named.get("schema") or {}}
    elif form.get("type") != "text":
        raise UnsupportedParameter.field(
            "response_format", "Anthropic takes 'text' or 'json_schema', with the schema given"
        )
    if not wanted:
        return
    if not isinstance(given := body.get("output_config", {}), dict):
        raise InvalidRequest.field("output_config", "an object is expected")
    body["output_config"] = {**wanted, **given}


def _set_tools(body: Json) -> None:
    if "tools" in body:
        body["tools"] = [_tool(tool, f"tools.{index}") for index, tool in enumerate(body["tools"])]
    choice = body.pop("tool_choice", None)
    parallel = body.pop("parallel_tool_calls", None)
    if not body.get("tools"):
        body.pop("tools", None)
        choice = (
            None if choice in ("auto", "none") else choice
        )  # it is refused where there is nothing to choose
    elif choice is None and parallel is False:
        choice = "auto"
    if choice is None:
        return
    wanted = _tool_choice(choice)
    if parallel is False and wanted["type"] != "none":
        wanted["disable_parallel_tool_use"] = True
    body["tool_choice"] = wanted


def _tool(tool: Json, at: str) -> Json:
    function = tool.get("function")
    if tool["type"] != "function":
        if "custom" in tool:
            raise InvalidRequest.field(f"{at}.custom", "Anthropic takes functions, whose arguments are JSON")
        return tool  # one of Anthropic's own
    if function is None:
        raise InvalidRequest.field(f"{at}.function", "a function is expected, with its name")
    made: Json = {"name": function["name"]}
    made |= {key: function[key] for key in ("description", "strict") if function.get(key) is not None}
    made["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
    return made | {key: tool[key] for key in ("cache_control",) if key in tool}


def _tool_choice(choice: Any) -> Json:
    if isinstance(choice, str) and choice in ("auto", "none", "required"):
        return {"type": "any" if choice == "required" else choice}
    if isinstance(choice, dict):
        function = choice.get("function")
        if choice.get("type") == "function" and isinstance(function, dict) and "name" in function:
            return {"type": "tool", "name": function["name"]}
        if choice.get("type") in ("auto", "any", "tool", "none"):
            return dict(choice)
    raise InvalidRequest.field(
        "tool_choice", "Anthropic takes 'auto', 'none', 'required' or one function's name"
    )
