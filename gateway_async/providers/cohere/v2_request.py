"""A chat in the form of Cohere's API v2: messages and tools like OpenAI's, under rules of their own.

https://docs.cohere.com/reference/chat; https://docs.cohere.com/docs/tool-use-overview.
"""

from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import check_said, earlier_call, image_address, role_of
from gateway_async.providers._requests import as_list, one_answer, take
from gateway_async.providers._tools import chosen_function, functions_only
from gateway_async.providers.cohere.api import VENDOR, response_format

_TAKES: Mapping[str, str] = {
    "frequency_penalty": "frequency_penalty",
    "logprobs": "logprobs",
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "reasoning_effort": "reasoning_effort",
    "response_format": "response_format",
    "seed": "seed",
    "stop": "stop_sequences",
    "temperature": "temperature",
    "tool_choice": "tool_choice",
    "tools": "tools",
    "top_p": "p",
}

_P_RANGE = (0.01, 0.99)
"""Many clients always send OpenAI's default, which is 1; Cohere's own is 0.75."""

_THINKING = {"none": "disabled", "high": "enabled"}
"""What of OpenAI's efforts Cohere's own OpenAI-compatible API takes: https://docs.cohere.com/docs/compatibility-api."""

_TEXT = {"type": "text"}

_PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("text",),
    "user": ("text", "image_url"),
    "assistant": ("text", "refusal", "thinking"),
    "tool": ("text", "document"),
}
"""Each role with what its messages may hold. `thinking` and `document` are Cohere's own, and go as they are."""


def chat_request(data: Json) -> Json:
    """The body for `POST /chat`, without the model.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    one_answer(data, VENDOR)
    body = take(data, VENDOR, _TAKES)
    body["messages"] = [_message(message, f"messages.{at}") for at, message in enumerate(body["messages"])]
    if "top_p" in data:
        least, most = _P_RANGE
        body["p"] = min(max(data["top_p"], least), most)
    if "stop_sequences" in body:
        body["stop_sequences"] = as_list(body["stop_sequences"])
    form = body.pop("response_format", _TEXT)
    if form != _TEXT:  # Cohere takes none beside documents and tools
        body["response_format"] = response_format(form, "json_schema")
    if not isinstance(body.get("logprobs", False), bool):
        raise UnsupportedParameter.field("logprobs", f"{VENDOR} takes true or false")
    if (effort := body.pop("reasoning_effort", None)) is not None:
        if effort not in _THINKING:
            raise UnsupportedParameter.field(
                "reasoning_effort", f"{VENDOR} takes 'none' and 'high'; 'thinking' takes a 'token_budget'"
            )
        body.setdefault("thinking", {"type": _THINKING[effort]})
    _set_tools(body)
    return body


def _set_tools(body: Json) -> None:
    functions, choice = functions_only(body, VENDOR), body.pop("tool_choice", "auto")
    body.pop("tools", None)
    name = chosen_function(choice, VENDOR)
    if name is not None:
        # There is no word for it: the one function stands alone, and must be called.
        functions = [function for function in functions if function["name"] == name]
        if not functions:
            raise InvalidRequest.field("tool_choice", f"there is no function {name!r} among the tools")
    if functions:
        body["tools"] = [_tool(function) for function in functions]
    if choice == "none" and functions:
        body["tool_choice"] = "NONE"
    elif choice not in ("auto", "none"):
        body["tool_choice"] = "REQUIRED"
    if any(function.get("strict") for function in functions):
        body.setdefault("strict_tools", True)


def _tool(function: Json) -> Json:
    made: Json = {"name": function["name"]}
    if function.get("description") is not None:
        made["description"] = function["description"]
    made["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}


def _message(message: Json, at: str) -> Json:
    role = role_of(message, _PARTS, at, VENDOR)
    if role == "assistant":
        return _assistant(message, at)
    made = {"role": role, "content": _content(message.get("content") or "", role, at)}
    if role != "tool":
        return made
    if "tool_call_id" not in message:
        raise InvalidRequest.field(f"{at}.tool_call_id", "a tool's answer names the call that it answers")
    return {**made, "tool_call_id": message["tool_call_id"]}


def _assistant(message: Json, at: str) -> Json:
    check_said(message, at, VENDOR)
    made: Json = {"role": "assistant"}
    content = _content(message.get("content") or message.get("refusal") or "", "assistant", at)
    if isinstance(content, list):
        content = [part for part in content if part.get("text") != ""]
    if thought := message.get("reasoning_content"):
        said = [{"type": "text", "text": content}] if content and isinstance(content, str) else content
        content = [{"type": "thinking", "thinking": thought}, *said]
    if content:
        made["content"] = content
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [
            earlier_call(call, f"{at}.tool_calls.{index}", VENDOR) for index, call in enumerate(calls)
        ]
    return made | {name: message[name] for name in ("tool_plan", "citations") if message.get(name)}


def _content(content: Any, role: str, at: str) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part, role, f"{at}.content.{index}") for index, part in enumerate(content)]


def _part(part: Json, role: str, at: str) -> Json:
    kind = part["type"]
    if kind not in _PARTS[role]:
        raise InvalidRequest.field(at, f"{VENDOR} takes no {kind!r} in a message of role {role!r}")
    if kind == "image_url":
        made = {"url": image_address(part, at)}
        if detail := part[kind].get("detail"):
            made["detail"] = detail
        return {"type": kind, kind: made}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    return {"type": "text", "text": part["text"]} if kind == "text" else part
