"""Anthropic: the Messages API for chat, the older Text Completions API for completions of the models that have it.

https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/complete.
"""

import re
from collections.abc import Iterable

from gateway_async.config import AnthropicConfig, Model, RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import (
    Chunks,
    new_id,
    text_choice,
    text_completion,
    text_of,
    wants_usage,
)
from gateway_async.providers._base import Adapter, Json
from gateway_async.providers._claude_text import as_turn, text_finish
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._requests import join_url, one_prompt
from gateway_async.providers._streams import EventReader, JsonReader
from gateway_async.providers.anthropic.answer import NAME, chat_answer
from gateway_async.providers.anthropic.request import default_max_tokens, messages_request, sampling
from gateway_async.providers.anthropic.stream import MessagesReader, stream_error

_CHATS_ONLY = re.compile(r"claude-([3-9]|(opus|sonnet|haiku|fable|mythos)-\d)")
"""Models that the older API does not serve: all since Claude 3. Their completions are chats of one message."""


class Anthropic:
    """The provider `anthropic`."""

    name = NAME
    route_types = frozenset({RouteType.LLM_V1_CHAT, RouteType.LLM_V1_COMPLETIONS})

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, AnthropicConfig)
        key = str(config.anthropic_api_key)
        base = config.anthropic_api_base or "https://api.anthropic.com/v1"
        model_name = model.name or ""
        headers = {
            "Content-Type": "application/json",
            "x-api-key": key,
            "anthropic-version": config.anthropic_version,
        }
        if kind is RouteType.LLM_V1_COMPLETIONS and not _CHATS_ONLY.match(model_name):
            return CompletionAdapter(NAME, join_url(base, "complete"), headers, model_name)
        chat = ChatAdapter(NAME, join_url(base, "messages"), headers, model_name)
        return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, "Anthropic")


class ChatAdapter(JsonAdapter):
    """Chat through the Messages API."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /messages`."""
        return messages_request(data, self.model)

    def translate(self, value: Json, data: Json) -> Json:
        """The message as a chat answer."""
        return chat_answer(value, self.provider)

    def reader(self, data: Json) -> EventReader:
        """A reader for the events of a message."""
        return MessagesReader(self.provider, include_usage=wants_usage(data))


class CompletionAdapter(JsonAdapter):
    """Completions through the Text Completions API, whose prompts are turns of a conversation."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /complete`."""
        prompt = one_prompt(data, "Anthropic")
        if "top_p" in data:
            raise InvalidRequest.field("top_p", "Anthropic's completions take 'temperature' instead")
        body = sampling(data)
        body["max_tokens_to_sample"] = body.pop("max_tokens", default_max_tokens(self.model))
        body["prompt"] = as_turn(prompt)
        return {"model": self.model, **body}

    def translate(self, value: Json, data: Json) -> Json:
        """The completion; Anthropic counts no tokens here."""
        choice = text_choice(0, value["completion"], text_finish(value.get("stop_reason")))
        answer_id = text_of(value.get("id") or new_id("cmpl"))
        return text_completion(value.get("model") or self.model, [choice], None, answer_id=answer_id)

    def reader(self, data: Json) -> EventReader:
        """A reader for the pieces of a completion."""
        return CompletionReader(self.model)


class CompletionReader(JsonReader):
    """The pieces of a completion, as chunks."""

    def __init__(self, model: str) -> None:
        super().__init__(NAME)
        self._chunks = Chunks(RouteType.LLM_V1_COMPLETIONS, model)

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunk that one event stands for."""
        if value.get("type") == "error":
            raise stream_error(NAME, value.get("error"))
        if value.get("type", "completion") != "completion" or "completion" not in value:
            return
        self._chunks.frame |= {key: text_of(value[key]) for key in ("id", "model") if value.get(key)}
        reason = value.get("stop_reason")
        finish = None if reason is None else text_finish(reason)
        yield self._chunks.text(text_of(value["completion"]), finish)
        self.done = reason is not None


provider = Anthropic()
