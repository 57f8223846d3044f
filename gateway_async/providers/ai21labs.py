"""AI21: the Jamba models' chat API for chat and completions; Jurassic-2 completions, as the documented gateway has them.

https://docs.ai21.com/reference/jamba-1-6-api-ref, https://docs.ai21.com/reference/j2-complete-api-ref. Jurassic-2 is
retired upstream; its format is kept for the contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_async.config import AI21LabsConfig, Model, RouteType
from gateway_async.errors import NotSupported, UnsupportedParameter
from gateway_async.providers._adapter import JsonAdapter, encoded
from gateway_async.providers._answers import text_choice, text_completion, text_of
from gateway_async.providers._base import Adapter, Json, UpstreamRequest
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._message_parts import check_said, earlier_call, role_of
from gateway_async.providers._requests import (
    as_list,
    join_url,
    one_prompt,
    own_name,
    path_part,
    plain_text,
    take,
)
from gateway_async.providers._tools import functions_only
from gateway_async.providers.openai_format.adapter import OpenAIAdapter

NAME, VENDOR = "ai21labs", "AI21"

_JAMBA: Mapping[str, str] = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "n": "n",
    "response_format": "response_format",
    "stop": "stop",
    "temperature": "temperature",
    "tools": "tools",
    "top_p": "top_p",
}

_ROLES = ("system", "user", "assistant", "tool")
_FUNCTION = ("name", "description", "parameters")

_RENAMED: Mapping[str, str] = {"max_tokens": "maxTokens", "n": "numResults", "stop": "stopSequences"}
"""Names that the documented gateway changes; it takes them in its own way only."""

_JURASSIC: Mapping[str, str] = {**_RENAMED, "temperature": "temperature", "top_p": "topP"}

_FINISH = {"endoftext": "stop", "length": "length", "stop": "stop"}


class AI21Labs:
    """The provider `ai21labs`."""

    name = NAME
    route_types = frozenset({RouteType.LLM_V1_CHAT, RouteType.LLM_V1_COMPLETIONS})

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model.

        Raises:
            NotSupported: A Jurassic-2 model is to chat.
        """
        config = model.config
        assert isinstance(config, AI21LabsConfig)
        base = config.ai21labs_api_base or "https://api.ai21.com/studio/v1"
        name = model.name or ""
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {config.ai21labs_api_key}",
        }
        if not name.startswith("j2-"):
            url = join_url(base, "chat", "completions")
            chat = JambaAdapter(NAME, RouteType.LLM_V1_CHAT, url, headers, name)
            return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, VENDOR)
        if kind is RouteType.LLM_V1_CHAT:
            raise NotSupported(
                f"{name} does not chat; AI21's Jamba models do, and {name} has llm/v1/completions"
            )
        return JurassicAdapter(NAME, join_url(base, path_part(name), "complete"), headers, name)


@dataclass(frozen=True, slots=True)
class JambaAdapter(OpenAIAdapter):
    """Chat in OpenAI's format, of texts alone; its answers name no model and no time."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The body of `POST /chat/completions`."""
        body = take(_with_tools(data), VENDOR, _JAMBA)
        dropped = _not_promised(data) if "tools" in body else ()
        if body.get("response_format", {"type": "text"}).get("type") not in ("text", "json_object"):
            raise UnsupportedParameter.field("response_format", f"{VENDOR} takes 'text' and 'json_object'")
        body["messages"] = [
            _message(message, f"messages.{at}") for at, message in enumerate(body["messages"])
        ]
        sent = encoded({"model": self.model, **body})
        return UpstreamRequest(self.url, self.headers, sent, dropped=dropped)


class JurassicAdapter(JsonAdapter):
    """Completions by Jurassic-2."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /{model}/complete`."""
        for name, own in _RENAMED.items():
            own_name(data, own, name)
        body = take(data, f"{VENDOR}'s Jurassic-2", _JURASSIC) | {"prompt": one_prompt(data, VENDOR)}
        if "stopSequences" in body:
            body["stopSequences"] = as_list(body["stopSequences"])
        return body

    def translate(self, value: Json, data: Json) -> Json:
        """A choice for each text. AI21 counts no tokens here; the answer has no id, as the documented gateway's."""
        choices = [
            text_choice(
                at, made["data"]["text"], _FINISH.get(text_of(made["finishReason"]["reason"]), "stop")
            )
            for at, made in enumerate(value["completions"])
        ]
        return text_completion(self.model, choices, None, answer_id=None)


def _with_tools(data: Json) -> Json:
    """The request with the tools that the model may call; AI21 leaves the choice to the model."""
    functions, choice = functions_only(data, VENDOR), data.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise UnsupportedParameter.field("tool_choice", f"with {VENDOR} it is 'auto' or 'none'")
    made = {name: value for name, value in data.items() if name not in ("tool_choice", "tools")}
    if functions and choice == "auto":
        made["tools"] = [_tool(function) for function in functions]
    return made


def _tool(function: Json) -> Json:
    kept = {name: function[name] for name in _FUNCTION if function.get(name) is not None}
    return {"type": "function", "function": kept}


def _not_promised(data: Json) -> tuple[str, ...]:
    """Where it is asked for that calls keep to a schema, which AI21 can't promise."""
    functions = enumerate(functions_only(data, VENDOR))
    return tuple(f"tools.{index}.function.strict" for index, function in functions if function.get("strict"))


def _message(message: Json, at: str) -> Json:
    check_said(message, at, VENDOR)
    made: Json = {"role": role_of(message, _ROLES, at, VENDOR)}
    calls = message.get("tool_calls")
    if message.get("content") is not None or not calls:
        made["content"] = plain_text(message.get("content") or message.get("refusal"), at, VENDOR)
    if calls:
        made["tool_calls"] = [
            earlier_call(call, f"{at}.tool_calls.{index}", VENDOR) for index, call in enumerate(calls)
        ]
    if "tool_call_id" in message:
        made["tool_call_id"] = message["tool_call_id"]
    return made


provider = AI21Labs()
