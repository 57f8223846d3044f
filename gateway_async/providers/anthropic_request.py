"""A chat request in the form of Anthropic's Messages API.

https://docs.anthropic.com/en/api/messages: system messages stand apart, tools and their results are content blocks,
`max_tokens` is required, and the temperature goes to 1 where the gateway's goes to 2.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json

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

_UNSUPPORTED = (
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "modalities",
    "prediction",
    "presence_penalty",
    "seed",
    "store",
    "top_logprobs",
    "verbosity",
)
"""OpenAI's parameters that the Messages API has nothing for. Left at nothing (0, false) they do no harm."""

_DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)


def default_max_tokens(model: str) -> int:
    """The `max_tokens` for a caller who gave none: all that the model can write."""
    return next((limit for pattern, limit in _OUTPUT_LIMITS if pattern.match(model)), _OTHERWISE)


def check_sampling(data: Mapping[str, Any]) -> None:
    """Accept a request whose sampling parameters Anthropic can follow.

    Raises:
        InvalidRequest: It can't.
    """
    if "top_p" in data and "temperature" in data:
        raise InvalidRequest.field("top_p", "Anthropic takes either 'temperature' or 'top_p'; leave one out")
    if data.get("n", 1) != 1:
        raise InvalidRequest.field(
            "n", f"Anthropic gives one answer, so 'n' is 1 or left out, not {data['n']}"
        )
    if (data.get("max_tokens") or 0) > MOST_TOKENS:
        raise InvalidRequest.field("max_tokens", f"at most {MOST_TOKENS} tokens can be asked for")


def messages_request(data: Json, model: str) -> Json:
    """The body for `POST /messages`.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = dict(data)
    for name in _UNSUPPORTED:
        if body.pop(name, None):
            raise InvalidRequest.field(name, "Anthropic has no such parameter; leave it out")
    body.pop("stream_options", None)
    if (limit := body.pop("max_completion_tokens", None)) is not None:
        body.setdefault("max_tokens", limit)
    check_sampling(body)
    body.pop("n", None)
    body.setdefault("max_tokens", default_max_tokens(model))
    if "temperature" in body:
        body["temperature"] = 0.5 * body["temperature"]
    if (stop := body.pop("stop", None)) is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if (user := body.pop("user", None)) is not None:
        body["metadata"] = {"user_id": user, **body.get("metadata", {})}
    _set_output(body)
    _set_tools(body)
    system, body["messages"] = _conversation(body["messages"])
    if system:
        body["system"] = system
    return {"model": model, **body}


def _set_output(body: Json) -> None:
    effort = body.pop("reasoning_effort", None)
    if effort == "none":
        body.setdefault("thinking", {"type": "disabled"})
    elif effort is not None:
        level = "low" if effort == "minimal" else effort
        body["output_config"] = {"effort": level, **body.get("output_config", {})}
    form = body.pop("response_format", None) or {"type": "text"}
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        wanted = {"format": {"type": "json_schema", "schema": schema}}
        body["output_config"] = {**body.get("output_config", {}), **wanted}
    elif form.get("type") != "text":
        raise InvalidRequest.field(
            "response_format", "Anthropic takes 'text' or 'json_schema', with the schema given"
        )


def _set_tools(body: Json) -> None:
    if "tools" in body:
        body["tools"] = [_tool(tool) for tool in body["tools"]]
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


def _tool(tool: Json) -> Json:
    function = tool.get("function")
    if tool.get("type") != "function" or function is None:
        return tool  # one of Anthropic's own
    made: Json = {"name": function["name"]}
    made |= {key: function[key] for key in ("description", "strict") if function.get(key) is not None}
    made["input_schema"] = function.get("parameters") or {"type": "object", "properties": {}}
    return made | {key: tool[key] for key in ("cache_control",) if key in tool}


def _tool_choice(choice: Any) -> Json:
    if isinstance(choice, str) and choice in ("auto", "none", "required"):
        return {"type": "any" if choice == "required" else choice}
    if isinstance(choice, dict):
        if choice.get("type") == "function" and isinstance(function := choice.get("function"), dict):
            return {"type": "tool", "name": function.get("name")}
        if choice.get("type") in ("auto", "any", "tool", "none"):
            return dict(choice)
    raise InvalidRequest.field(
        "tool_choice", "Anthropic takes 'auto', 'none', 'required' or one function's name"
    )


def _conversation(messages: list[Json]) -> tuple[Any, list[Json]]:
    """The system prompt, and the messages of user and assistant."""
    system: list[Any] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        if role in ("system", "developer"):
            system.append(_content(message.get("content") or "", at))
        elif role == "user":
            turns.append({"role": "user", "content": _content(message.get("content") or "", at)})
        elif role == "assistant":
            turns.append({"role": "assistant", "content": _assistant(message, at)})
        elif role == "tool":
            result = _tool_result(message, at)
            # The results of parallel calls stand together in one turn.
            if turns and turns[-1]["role"] == "user" and index and messages[index - 1]["role"] == "tool":
                turns[-1]["content"].append(result)
            else:
                turns.append({"role": "user", "content": [result]})
        else:
            raise InvalidRequest.field(f"{at}.role", f"Anthropic has no role {role!r}")
    if all(isinstance(text, str) for text in system):
        return "\n".join(system), turns
    blocks = [[{"type": "text", "text": part}] if isinstance(part, str) else part for part in system]
    return [block for part in blocks for block in part], turns


def _assistant(message: Json, at: str) -> Any:
    content = _content(message.get("content") or "", at)
    thoughts, calls = message.get("thinking_blocks") or [], message.get("tool_calls") or []
    if not thoughts and not calls:
        return content
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    blocks = [{key: value for key, value in block.items() if key != "index"} for block in thoughts]
    blocks += [block for block in said if block.get("text") != ""]
    return blocks + [_tool_use(call, f"{at}.tool_calls.{index}") for index, call in enumerate(calls)]


def _tool_use(call: Json, at: str) -> Json:
    if not isinstance(function := call.get("function"), dict):
        raise InvalidRequest.field(at, "Anthropic takes calls of functions only")
    try:
        given = orjson.loads(function["arguments"] or "{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InvalidRequest.field(f"{at}.function.arguments", "a JSON object in a string is expected")
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}


def _tool_result(message: Json, at: str) -> Json:
    if "tool_call_id" not in message:
        raise InvalidRequest.field(f"{at}.tool_call_id", "a tool's answer names the call that it answers")
    content = _content(message.get("content") or "", at)
    return {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}


def _content(content: Any, at: str) -> Any:
    if isinstance(content, str):
        return content
    return [_block(part, f"{at}.content.{index}") for index, part in enumerate(content)]


def _block(part: Json, at: str) -> Json:
    kind = part["type"]
    rest = {key: part[key] for key in ("cache_control",) if key in part}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"], f"{at}.image_url.url"), **rest}
    if kind == "file":
        file = part["file"]
        if file.get("file_id"):
            return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **rest}
        named = {"title": file["filename"]} if file.get("filename") else {}
        return {
            "type": "document",
            "source": _source(file.get("file_data") or "", f"{at}.file.file_data"),
            **named,
            **rest,
        }
    if kind == "input_audio":
        raise InvalidRequest.field(at, "Anthropic takes no audio")
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    return part  # text as it is, and Anthropic's own kinds


def _source(url: str, at: str) -> Json:
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found["kind"], "data": found["data"]}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise InvalidRequest.field(at, "an https:// address or 'data:{media type};base64,{data}' is expected")
