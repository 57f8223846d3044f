"""The Messages API of Text Generation Inference: OpenAI's format, as far as the server goes with it.

https://huggingface.co/docs/text-generation-inference/messages_api. Calls of tools differ from version to version:
https://github.com/huggingface/text-generation-inference/issues/2794.
"""

from collections.abc import Mapping

import orjson

from gateway_async.errors import InvalidRequest
from gateway_async.providers._answers import new_id, text_of
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import bare_image, earlier_call, only_keys, spoken
from gateway_async.providers._requests import as_list, one_answer, take
from gateway_async.providers._tools import chosen_function, functions_only

VENDOR = "Text Generation Inference"

_SAME = (
    *("frequency_penalty", "logprobs", "max_tokens", "presence_penalty", "response_format", "seed", "stop"),
    *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p"),
)
_TAKES: Mapping[str, str] = {**{name: name for name in _SAME}, "max_completion_tokens": "max_tokens"}

_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
"""What a message may have."""


def chat_request(data: Json) -> Json:
    """The body for `POST /v1/chat/completions`, without the model's name.

    Raises:
        InvalidRequest: Something in the request has no counterpart there; the error names it.
    """
    one_answer(data, VENDOR)
    body = take({name: value for name, value in data.items() if name != "n"}, VENDOR, _TAKES)
    if type(body.get("logprobs", False)) is not bool:
        raise InvalidRequest.field(
            "logprobs", f"{VENDOR} takes true or false; their number is 'top_logprobs'"
        )
    if "stop" in body:
        body["stop"] = as_list(body["stop"])
    if body.get("top_p") == 1:  # which asks for nothing, and is refused
        del body["top_p"]
    if "response_format" in body:
        _set_format(body)
    if "tools" in body:
        body["tools"] = [_tool(function) for function in functions_only(body, VENDOR)]
    if "tool_choice" in body:
        # Every version takes a function's name alone.
        body["tool_choice"] = chosen_function(body["tool_choice"], VENDOR) or body["tool_choice"]
    body["messages"] = [_message(message, f"messages.{at}") for at, message in enumerate(body["messages"])]
    return body


def _set_format(body: Json) -> None:
    """Ask for a form of the answer as every version knows it: by a schema, which stands under `value`."""
    form = body.pop("response_format")
    if form.get("type") == "json_schema":
        named = form.get("json_schema")
        if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
            raise InvalidRequest.field("response_format.json_schema.schema", "a schema is expected")
        form = {"type": "json_object", "value": named["schema"]}
    if form.get("type") != "text":
        body["response_format"] = form


def _tool(function: Json) -> Json:
    """A tool; the server holds a model to every schema, asked to or not (`strict`)."""
    made = {key: function[key] for key in ("name", "description") if function.get(key) is not None}
    made["parameters"] = function.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}


def _message(message: Json, at: str) -> Json:
    # A model's thoughts are not for it to read again.
    made = only_keys({**spoken(message), "reasoning_content": None}, _KEYS, at, VENDOR)
    if made["role"] == "developer":  # which the models' templates do not know
        made["role"] = "system"
    if isinstance(content := made.get("content"), list):
        made["content"] = [_part(part, f"{at}.content.{index}") for index, part in enumerate(content)]
    if calls := made.pop("tool_calls", None):
        made["tool_calls"] = [
            earlier_call(call, f"{at}.tool_calls.{index}", VENDOR) for index, call in enumerate(calls)
        ]
        if not made.get("content"):  # a message is either a content, were it empty, or calls
            made.pop("content", None)
    elif "content" not in made:
        made["content"] = ""
    return made


def _part(part: Json, at: str) -> Json:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] != "image_url":
        raise InvalidRequest.field(at, f"{VENDOR} takes texts and images, not {part['type']!r}")
    return bare_image(part, at)


def mend_choice(choice: Json, message: Json) -> None:
    """Bring a choice and its message, or its delta, into OpenAI's form.

    Raises:
        KeyError: And the others of `MALFORMED`: it is not what the API promises.
    """
    if (thoughts := message.get("reasoning")) is not None:
        message["reasoning_content"] = thoughts
    calls = message.get("tool_calls")
    if isinstance(calls, dict):  # as a stream has them before version 3
        calls = message["tool_calls"] = [calls]
    for call in calls or ():
        _mend_call(call)
    if calls and choice.get("finish_reason") in ("eos_token", "stop", "stop_sequence"):
        choice["finish_reason"] = "tool_calls"


def _mend_call(call: Json) -> None:
    """A call as text, with an id; the later pieces of one in a stream have neither its id nor its name again."""
    function = call["function"]
    if not isinstance(function.get("arguments"), str):
        function["arguments"] = orjson.dumps(function.get("arguments") or {}).decode()
    function.pop("description", None)
    if function.get("name") is None:
        function.pop("name", None)
        call.pop("id", None)
        call.pop("type", None)
    else:
        text_of(function["name"])
        call["id"] = call.get("id") or new_id("call")
