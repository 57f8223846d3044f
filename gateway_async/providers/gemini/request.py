"""A request in the form of the Gemini API: https://ai.google.dev/api/generate-content.

What the caller adds under the API's own names goes along: `safetySettings`, `cachedContent`, and a `generationConfig`,
which is laid over the one that is made here. A tool of Gemini's own is named by its `type`: `{"type": "googleSearch"}`.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._requests import as_list, take
from gateway_async.providers._tools import chosen_function
from gateway_async.providers.gemini.contents import VENDOR, conversation

_SAMPLING: Mapping[str, str] = {
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "max_completion_tokens": "maxOutputTokens",
    "max_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_k": "topK",
    "top_logprobs": "logprobs",
    "top_p": "topP",
}
_TAKES: Mapping[str, str] = {
    **_SAMPLING,
    "reasoning_effort": "reasoning_effort",
    "response_format": "response_format",
    "service_tier": "service_tier",
    "store": "store",
    "tool_choice": "tool_choice",
    "tools": "tools",
}

_OWN_TOOLS: Mapping[str, str] = {
    re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name): name
    for name in (
        "codeExecution",
        "computerUse",
        "fileSearch",
        "googleMaps",
        "googleSearch",
        "googleSearchRetrieval",
        "mcpServers",
        "urlContext",
    )
}
"""Gemini's own tools by their names with underscores; they may be named either way."""

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_SERVICE_TIERS = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}

_BY_BUDGET = re.compile(r"gemini-(2\.|robotics-er-1\.)")
"""Models whose thinking is bounded by a number of tokens; later ones have levels."""

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""The tokens that Google's own OpenAI format sets: https://ai.google.dev/gemini-api/docs/openai#thinking."""

_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}


def generate_request(data: Json, model: str) -> Json:
    """The body for `:generateContent` and `:streamGenerateContent`.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = take(data, VENDOR, _TAKES)
    body.pop("stream", None)  # the address says it
    config = _sampling(body)
    if (effort := body.pop("reasoning_effort", None)) is not None:
        config["thinkingConfig"] = _thinking(effort, model)
    config |= _output(body.pop("response_format", {"type": "text"}))
    _lay(body, "generationConfig", config)
    _set_service_tier(body)
    _set_tools(body)
    system, body["contents"] = conversation(body.pop("messages"), model)
    if system:
        if "systemInstruction" in body:
            raise InvalidRequest.field("systemInstruction", "it stands in a message of the system already")
        body["systemInstruction"] = {"parts": system}
    return body


def _sampling(body: Json) -> Json:
    config = {name: body.pop(name) for name in _SAMPLING.values() if name in body}
    if "stopSequences" in config:
        config["stopSequences"] = as_list(config["stopSequences"])
    if not isinstance(config.get("responseLogprobs", True), bool):
        raise UnsupportedParameter.field(
            "logprobs", f"{VENDOR} takes true or false, and their number as 'top_logprobs'"
        )
    if not config.get("responseLogprobs") and config.get("logprobs") == 0:
        del config["logprobs"]
    return config


def _thinking(effort: str, model: str) -> Json:
    if effort == "minimal" and "-pro" in model:
        effort = "low"  # the least that these models do
    if effort in _BUDGETS and (effort == "none" or _BY_BUDGET.match(model)):
        return {"thinkingBudget": _BUDGETS[effort]}
    if effort in _LEVELS and not _BY_BUDGET.match(model):
        return {"thinkingLevel": _LEVELS[effort]}
    raise UnsupportedParameter.field("reasoning_effort", f"{model} has no effort {effort!r}; leave it out")


def _output(form: Json) -> Json:
    named = form.get("json_schema")
    if form.get("type") == "text":
        return {}
    if form.get("type") == "json_object":
        return {"responseMimeType": "application/json"}
    if form.get("type") == "json_schema" and isinstance(named, dict):
        schema = named.get("schema")
        wanted: Json = {} if schema is None else {"responseJsonSchema": schema}
        return {"responseMimeType": "application/json", **wanted}
    raise UnsupportedParameter.field(
        "response_format", f"{VENDOR} takes 'text', 'json_object', or 'json_schema' with the schema given"
    )


def _lay(body: Json, name: str, made: Json) -> None:
    """Put what was made of OpenAI's parameters under what the caller says in Gemini's own words."""
    if not made:
        return
    if not isinstance(own := body.get(name, {}), dict):
        raise InvalidRequest.field(name, "an object is expected")
    body[name] = {**made, **own}
    for key in made.keys() & own.keys():
        if isinstance(made[key], dict) and isinstance(own[key], dict):
            body[name][key] = {**made[key], **own[key]}


def _set_service_tier(body: Json) -> None:
    tier = body.pop("service_tier", "auto")
    if tier in _SERVICE_TIERS:
        body["serviceTier"] = _SERVICE_TIERS[tier]
    elif tier != "auto":
        raise UnsupportedParameter.field("service_tier", f"{VENDOR} has no tier {tier!r}; leave it out")


def _set_tools(body: Json) -> None:
    functions: list[Json] = []
    own: list[Json] = []
    tools, choice = body.pop("tools", ()), body.pop("tool_choice", None)
    for index, tool in enumerate(tools):
        if made := _own(tool):
            own.append(made)
        else:
            functions.append(_declaration(tool, f"tools.{index}"))
    if choice == "none":
        own = []  # the mode `NONE` is for functions alone
    if declared := [{"functionDeclarations": functions}] * bool(functions) + own:
        body["tools"] = declared
    strict = any((tool.get("function") or {}).get("strict") for tool in tools)
    config: Json = {}
    if calling := _calling(choice, functions, strict=strict):
        config["functionCallingConfig"] = calling
    if functions and own:  # https://ai.google.dev/gemini-api/docs/tool-combination
        config["includeServerSideToolInvocations"] = True
    _lay(body, "toolConfig", config)


def _own(tool: Json) -> Json | None:
    """A tool of Gemini's own in its form; None for any other."""
    kind = tool["type"]
    name = _OWN_TOOLS.get(kind) or (kind if kind in _OWN_TOOLS.values() else None)
    return {name: tool.get(kind, {})} if name else None


def _declaration(tool: Json, at: str) -> Json:
    if tool["type"] != "function" or not isinstance(function := tool.get("function"), dict):
        raise InvalidRequest.field(
            at, f"{VENDOR} takes functions, each under 'function', and tools of its own"
        )
    made: Json = {"name": function["name"]}
    if function.get("description") is not None:
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = function["parameters"]
    return made


def _calling(choice: Any, functions: list[Json], *, strict: bool) -> Json:
    if not functions:  # Gemini refuses every mode where there is nothing to call
        if choice in (None, "auto", "none"):
            return {}
        raise UnsupportedParameter.field("tool_choice", f"{VENDOR} can be made to call functions only")
    if choice in (None, "auto") and strict:
        return {"mode": "VALIDATED"}  # as `AUTO`, and held to the schemas; `ANY` always is
    if choice is None:
        return {}
    if (name := chosen_function(choice, VENDOR)) is not None:
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    return {"mode": _MODES[choice]}
