"""A request in the form of Mistral's API: what its parameters are called there, and what has no counterpart.

https://docs.mistral.ai/api/endpoint/chat, https://docs.mistral.ai/api/endpoint/fim.
"""

from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._requests import as_list, one_prompt, take
from gateway_async.providers._tools import chosen_function
from gateway_async.providers.mistral.messages import VENDOR, conversation

_SAME = (
    *("frequency_penalty", "logprobs", "max_tokens", "metadata", "n", "parallel_tool_calls", "prediction"),
    *("presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format", "service_tier", "stop"),
    *("temperature", "tool_choice", "tools", "top_logprobs", "top_p"),
)
_CHAT: Mapping[str, str] = {
    **{name: name for name in _SAME},
    "max_completion_tokens": "max_tokens",
    "seed": "random_seed",
}
_FIM: Mapping[str, str] = {
    **{name: name for name in ("max_tokens", "metadata", "prompt_cache_key", "stop", "suffix")},
    **{name: name for name in ("temperature", "top_p")},
    "seed": "random_seed",
}

_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def chat_request(data: Json) -> Json:
    """The body for `POST /chat/completions`, without the model's name.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = take(data, VENDOR, _CHAT)
    if type(body.get("logprobs", False)) is not bool:
        raise InvalidRequest.field(
            "logprobs", f"{VENDOR} takes true or false; their number is 'top_logprobs'"
        )
    if (tier := body.get("service_tier", "auto")) not in _SERVICE_TIERS:
        raise UnsupportedParameter.field("service_tier", f"{VENDOR} has no tier {tier!r}; leave it out")
    if "service_tier" in body:
        body["service_tier"] = _SERVICE_TIERS[tier]
    if "prediction" in body:
        body["prediction"] = _prediction(body["prediction"])
    if "tools" in body:
        body["tools"] = [_tool(tool, f"tools.{index}") for index, tool in enumerate(body["tools"])]
    if "tool_choice" in body:
        body["tool_choice"] = _tool_choice(body["tool_choice"])
    body["messages"] = conversation(body["messages"])
    return body


def fim_request(data: Json) -> Json:
    """The body for `POST /fim/completions`: what stands between a prompt and a suffix is asked for."""
    return take(data, VENDOR, _FIM) | {"prompt": one_prompt(data, VENDOR)}


def legacy_prompt(data: Json) -> Json:
    """A completion's request as it becomes a chat's.

    As users of `mlflow.gateway` know it: the temperature on the scale of Mistral's first API, and without `n` and
    `stop`, which that had not; see `legacy_dropped`.
    """
    if data.get("logprobs") is not None:
        raise UnsupportedParameter.field(
            "logprobs", f"{VENDOR}'s chats have no likelihoods of a text; leave it out"
        )
    kept = {name: value for name, value in data.items() if name not in ("n", "stop")}
    if "temperature" in kept:
        kept["temperature"] = 0.5 * kept["temperature"]
    return kept


def legacy_dropped(data: Json) -> tuple[str, ...]:
    """What a completion asked for and does not get."""
    return tuple(name for name, nothing in (("n", 1), ("stop", [])) if data.get(name, nothing) != nothing)


def _prediction(given: Json) -> Json:
    texts = [_text(part) for part in as_list(given.get("content"))]
    if None in texts:
        raise InvalidRequest.field("prediction.content", "a text is expected")
    return {"type": "content", "content": "".join(filter(None, texts))}


def _text(part: Any) -> str | None:
    if isinstance(part, dict) and part.get("type") == "text":
        part = part.get("text")
    return part if isinstance(part, str) else None


def _tool(tool: Json, at: str) -> Json:
    function = tool.get("function")
    if tool["type"] != "function":
        if "custom" in tool:
            raise InvalidRequest.field(f"{at}.custom", f"{VENDOR} takes functions, whose arguments are JSON")
        return tool  # one of Mistral's own
    if function is None:
        raise InvalidRequest.field(f"{at}.function", "a function is expected, with its name")
    made = {key: function[key] for key in ("name", "description", "strict") if function.get(key) is not None}
    made["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}


def _tool_choice(choice: Any) -> Any:
    if choice in ("any", "required"):
        return "any"
    name = chosen_function(choice, VENDOR)
    return choice if name is None else {"type": "function", "function": {"name": name}}
