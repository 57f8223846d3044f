"""A request in the form of Anthropic's APIs: what its parameters are called there, and what has no counterpart.

https://docs.anthropic.com/en/api/messages: `max_tokens` is required, and the temperature goes to 1 where the
gateway's goes to 2.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers.anthropic_messages import conversation

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

_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    "seed": (),
    "store": (False,),
    "suffix": ("",),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}
"""OpenAI's parameters that Anthropic has nothing for, each with the values that ask for nothing and do no harm."""


def default_max_tokens(model: str) -> int:
    """The `max_tokens` for a caller who gave none: all that the model can write."""
    return next((limit for pattern, limit in _OUTPUT_LIMITS if pattern.match(model)), _OTHERWISE)


def messages_request(data: Json, model: str) -> Json:
    """The body for `POST /messages`.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = dict(data)
    rename_parameters(body)
    if (limit := body.pop("max_completion_tokens", None)) is not None:
        body.setdefault("max_tokens", limit)
    body.setdefault("max_tokens", default_max_tokens(model))
    _set_output(body)
    _set_tools(body)
    system, body["messages"] = conversation(body["messages"])
    if system:
        body["system"] = system
    return {"model": model, **body}


def rename_parameters(body: Json) -> None:
    """Give the parameters that all of Anthropic's APIs share their names and scales there.

    Raises:
        InvalidRequest: One has no counterpart; the error names it.
    """
    for name in [name for name in body if name in _UNSUPPORTED]:
        if body.pop(name) not in _UNSUPPORTED[name]:
            raise InvalidRequest.field(name, "Anthropic has no such parameter; leave it out")
    if "top_p" in body and "temperature" in body:
        raise InvalidRequest.field("top_p", "Anthropic takes either 'temperature' or 'top_p'; leave one out")
    if (count := body.pop("n", 1)) != 1:
        raise InvalidRequest.field("n", f"Anthropic gives one answer, so 'n' is 1 or left out, not {count}")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name, 0) > MOST_TOKENS:
            raise InvalidRequest.field(name, f"at most {MOST_TOKENS} tokens can be asked for")
    body.pop("stream_options", None)
    if "temperature" in body:
        body["temperature"] = 0.5 * body["temperature"]
    if (stop := body.pop("stop", None)) is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (user := body.pop("user", None)) is not None:
        body["metadata"] = {"user_id": user, **body.get("metadata", {})}


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
        raise InvalidRequest.field(
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
    if choice is None and parallel is False and body.get("tools"):
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
