"""A request in the form of Together AI's API: what it takes under which name, and what it can't be given.

https://docs.together.ai/reference/chat-completions-1, …/completions-1.
"""

from collections.abc import Iterator, Mapping

from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import (
    bare_image,
    earlier_call,
    image_details,
    only_keys,
    role_of,
    spoken,
)
from gateway_async.providers._requests import as_list, one_prompt, plain_text, take
from gateway_async.providers._tools import chosen_function, functions_only

NAME, VENDOR = "togetherai", "Together AI"

_SAME = (
    *("echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty", "seed"),
    *("stop", "temperature", "top_p"),
)
_COMPLETION: Mapping[str, str] = {**{name: name for name in _SAME}, "top_logprobs": "top_logprobs"}
_CHAT: Mapping[str, str] = {
    **_COMPLETION,
    **{name: name for name in ("reasoning_effort", "response_format", "tool_choice", "tools")},
    "max_completion_tokens": "max_tokens",
}

_EFFORTS = ("low", "medium", "high")
_KEYS: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "tool_calls", "reasoning_content", "reasoning"}),
    "tool": frozenset({"role", "content", "name", "tool_call_id"}),
}
"""What a message of each role may have. Only what users say may stand in parts."""

_PARTS = frozenset({"text", "image_url", "video_url", "audio_url", "input_audio"})


def chat_request(data: Json) -> Json:
    """The body for `POST /chat/completions`, without the model's name.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    body = _sampling(data, _CHAT)
    if (effort := body.get("reasoning_effort", "low")) not in _EFFORTS:
        raise UnsupportedParameter.field(
            "reasoning_effort", f"{VENDOR} takes {', '.join(_EFFORTS)}, not {effort!r}"
        )
    if "tools" in body:
        body["tools"] = [_tool(function) for function in functions_only(body, VENDOR)]
    if "tool_choice" in body:
        chosen_function(body["tool_choice"], VENDOR)
    body["messages"] = [_message(message, f"messages.{at}") for at, message in enumerate(body["messages"])]
    return body


def left_out(data: Json) -> Iterator[str]:
    """Where it is asked for what Together AI can't promise: calls by the letter of a schema, a closer look at an image."""
    for index, tool in enumerate(data.get("tools") or ()):
        if tool["function"].get("strict"):
            yield f"tools.{index}.function.strict"
    yield from image_details(data["messages"])


def completion_request(data: Json) -> Json:
    """The body for `POST /completions`, without the model's name.

    Raises:
        InvalidRequest: As above, or `max_tokens` is missing.
    """
    prompt = one_prompt(data, VENDOR)
    if "max_tokens" not in data:
        raise InvalidRequest.field("max_tokens", f"{VENDOR} wants it for completions", kind="missing")
    return _sampling(data, _COMPLETION) | {"prompt": prompt}


def _sampling(data: Json, takes: Mapping[str, str]) -> Json:
    body = take(data, VENDOR, takes)
    if "stop" in body:
        body["stop"] = as_list(body["stop"])
    if body.get("logprobs") is False:
        del body["logprobs"]
    elif "logprobs" in body:
        body["logprobs"] = int(body["logprobs"])
    if (most := body.pop("top_logprobs", None)) is not None:
        if type(most) is not int:
            raise InvalidRequest.field("top_logprobs", "a whole number is expected")
        body["logprobs"] = most
    return body


def _tool(function: Json) -> Json:
    kept = {key: value for key, value in function.items() if key != "strict" and value is not None}
    return {"type": "function", "function": kept}


def _message(message: Json, at: str) -> Json:
    role = role_of(message, _KEYS, at, VENDOR)
    made = {**only_keys(spoken(message), _KEYS[role], at, VENDOR), "role": role}
    if isinstance(content := made.get("content"), list):
        if role == "user":
            made["content"] = [_part(part, f"{at}.content.{index}") for index, part in enumerate(content)]
        else:
            made["content"] = plain_text(content, at, VENDOR)
    if "tool_calls" in made:
        made["tool_calls"] = [
            {**call, **earlier_call(call, f"{at}.tool_calls.{index}", VENDOR)}
            for index, call in enumerate(made["tool_calls"])
        ]
    return made


def _part(part: Json, at: str) -> Json:
    kind = part["type"]
    if kind not in _PARTS:
        raise InvalidRequest.field(at, f"{VENDOR} takes no part of type {kind!r}")
    if kind == "input_audio" and part["input_audio"]["format"] != "wav":
        raise InvalidRequest.field(f"{at}.input_audio.format", f"{VENDOR} takes 'wav'")
    return bare_image(part, at) if kind == "image_url" else part
