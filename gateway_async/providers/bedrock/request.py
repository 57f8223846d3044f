"""A request in the form of Bedrock's Converse API: what its parameters are called there, and what has no counterpart.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. What is neither OpenAI's nor Converse's
is the model's own (`top_k`, `thinking`) and goes where Converse has those.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._requests import as_list, one_answer, take
from gateway_async.providers._tools import chosen_function
from gateway_async.providers.bedrock.adapter import VENDOR
from gateway_async.providers.bedrock.messages import cache_point, conversation

_TAKES: Mapping[str, str] = {
    "max_completion_tokens": "maxTokens",
    "max_tokens": "maxTokens",
    "metadata": "requestMetadata",
    "reasoning_effort": "reasoning_effort",
    "response_format": "response_format",
    "service_tier": "service_tier",
    "stop": "stopSequences",
    "temperature": "temperature",
    "tool_choice": "tool_choice",
    "tools": "tools",
    "top_p": "topP",
}

_INFERENCE = ("maxTokens", "temperature", "topP", "stopSequences")

_MEMBERS = frozenset(
    {
        *("additionalModelRequestFields", "additionalModelResponseFieldPaths", "guardrailConfig"),
        *("inferenceConfig", "outputConfig", "performanceConfig", "promptVariables", "requestMetadata"),
        *("serviceTier", "system", "toolConfig"),
    }
)
"""Converse's own parameters: a caller may give them as they are, beside OpenAI's or in their place."""

_TIERS = ("default", "flex", "priority", "reserved")
_FORGETS = "deepseek"
"""In the ids of models that tell their thoughts, and refuse them in the next request."""

_OWN_TOOLS = ("toolSpec", "systemTool", "cachePoint")


def converse_request(data: Json, model: str) -> Json:
    """The body for `POST /model/{id}/converse` and `/converse-stream`.

    Args:
        data: The request.
        model: The model's id.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    one_answer(data, VENDOR)
    given = take(data, VENDOR, _TAKES)
    given.pop("stream", None)
    given.pop("stream_options", None)
    if not given.get("requestMetadata", True):
        del given["requestMetadata"]  # Converse refuses an empty one
    said = given.pop("messages")
    system, messages = conversation(list(map(_thoughtless, said)) if _FORGETS in model else said)
    made: Json = {
        "system": system,
        "inferenceConfig": _inference(given),
        "toolConfig": _tools(given, messages),
        "outputConfig": _output(given),
        "serviceTier": _tier(given),
    }
    body: Json = {"messages": messages}
    for name, value in made.items():
        if value := _joined(name, value, given):
            body[name] = value
    body |= {name: given.pop(name) for name in list(given) if name in _MEMBERS}
    if given:
        body["additionalModelRequestFields"] = {**given, **_object("additionalModelRequestFields", body)}
    return body


def _thoughtless(message: Json) -> Json:
    return {name: value for name, value in message.items() if name != "thinking_blocks"}


def _joined(name: str, made: Any, given: Json) -> Any:
    """What was made of OpenAI's parameters, and what the caller says in Converse's own words."""
    if name == "system":
        own = given.pop(name, [])
        if not isinstance(own, list):
            raise InvalidRequest.field(name, "a list is expected")
        return [*made, *own]
    own = _object(name, given)
    given.pop(name, None)
    return {**made, **own}


def _object(name: str, values: Json) -> Json:
    if not isinstance(value := values.get(name, {}), dict):
        raise InvalidRequest.field(name, "an object is expected")
    return value


def _inference(given: Json) -> Json:
    found = {name: given.pop(name) for name in _INFERENCE if name in given}
    if isinstance(temperature := found.get("temperature"), int | float):
        found["temperature"] = 0.5 * temperature  # from 0 to 1 here
    if "stopSequences" in found:
        found["stopSequences"] = as_list(found["stopSequences"])
    return found


def _tier(given: Json) -> Json:
    if (tier := given.pop("service_tier", "auto")) == "auto":
        return {}
    if tier not in _TIERS:
        raise UnsupportedParameter.field("service_tier", f"{VENDOR} has no tier {tier!r}; leave it out")
    return {"type": tier}


def _output(given: Json) -> Json:
    wanted: Json = {}
    effort, form = given.pop("reasoning_effort", None), given.pop("response_format", {"type": "text"})
    if effort == "none":
        text = f"{VENDOR} has no general way to switch thoughts off; leave it out"
        raise UnsupportedParameter.field("reasoning_effort", text)
    if effort is not None:
        wanted["effort"] = "low" if effort == "minimal" else effort
    if form.get("type") == "json_schema" and isinstance(named := form.get("json_schema"), dict):
        schema = {"schema": orjson.dumps(named.get("schema") or {}).decode()}
        schema |= {key: named[key] for key in ("name", "description") if named.get(key)}
        wanted["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    elif form.get("type") != "text":
        raise UnsupportedParameter.field(
            "response_format", f"{VENDOR} takes 'text' or 'json_schema', with the schema given"
        )
    return wanted


def _tools(given: Json, messages: list[Json]) -> Json:
    tools, choice = given.pop("tools", []), given.pop("tool_choice", None)
    made = [block for index, tool in enumerate(tools) for block in _tool(tool, f"tools.{index}")]
    wanted = None if choice in (None, "none") else _tool_choice(choice)
    called = _called(messages)
    if choice == "none":
        if made and called:
            text = f"{VENDOR} can't forbid tools once some were called; leave it out"
            raise UnsupportedParameter.field("tool_choice", text)
        made = []  # tools that nobody tells of are not called
    if not made and "toolConfig" not in given:
        if wanted and choice != "auto":
            raise InvalidRequest.field("tool_choice", "it needs 'tools' to choose from")
        return {"tools": [_gone(name) for name in called]} if called else {}
    return {**({"tools": made} if made else {}), **({"toolChoice": wanted} if wanted else {})}


def _called(messages: list[Json]) -> list[str]:
    """The names of the tools that were called so far."""
    uses = (block.get("toolUse") for turn in messages for block in turn["content"])
    names = (use.get("name") for use in uses if isinstance(use, dict))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _gone(name: str) -> Json:
    """A tool that was called, and that the caller has no more: Converse refuses its calls if it is not told of."""
    schema = {"json": {"type": "object", "properties": {}}}
    return {"toolSpec": {"name": name, "description": "No longer available.", "inputSchema": schema}}


def _tool(tool: Json, at: str) -> list[Json]:
    kind, function = tool["type"], tool.get("function")
    mark = cache_point(tool, f"{at}.cache_control")
    if kind == "function" and isinstance(function, dict):
        spec: Json = {"name": function["name"]}
        spec |= {key: function[key] for key in ("description", "strict") if function.get(key)}
        spec["inputSchema"] = {"json": function.get("parameters") or {"type": "object", "properties": {}}}
        return [{"toolSpec": spec}, *mark]
    if kind in _OWN_TOOLS and kind in tool:
        return [{kind: tool[kind]}, *mark]
    raise InvalidRequest.field(at, f"{VENDOR} takes functions, each under 'function', and its own tools")


def _tool_choice(choice: Any) -> Json:
    if isinstance(choice, dict) and len(choice) == 1 and choice.keys() <= {"auto", "any", "tool"}:
        return dict(choice)
    if (name := chosen_function(choice, VENDOR)) is not None:
        return {"tool": {"name": name}}
    return {"any": {}} if choice == "required" else {"auto": {}}
