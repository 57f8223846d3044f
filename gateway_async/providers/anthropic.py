"""Anthropic: the Messages API for chat, the older Text Completions API for completions.

https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/complete.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from gateway_async.config import AnthropicConfig, Model, RouteType
from gateway_async.errors import InvalidRequest, UpstreamError
from gateway_async.providers._base import (
    EventReader,
    Json,
    UpstreamRequest,
    UpstreamResponse,
    invalid,
    join_url,
    json_object,
    new_id,
    now,
    upstream_error,
)
from gateway_async.providers.anthropic_answer import (
    MALFORMED,
    NAME,
    MessagesReader,
    chat_answer,
    stream_error,
    text_of,
)
from gateway_async.providers.anthropic_request import (
    default_max_tokens,
    messages_request,
    rename_parameters,
)
from gateway_async.sse import Event

_HUMAN, _ASSISTANT = "\n\nHuman: ", "\n\nAssistant:"


class Anthropic:
    """The provider `anthropic`."""

    name = NAME
    route_types = frozenset({RouteType.LLM_V1_CHAT, RouteType.LLM_V1_COMPLETIONS})

    def bind(self, model: Model, kind: RouteType) -> "AnthropicAdapter":
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, AnthropicConfig)
        key = str(config.anthropic_api_key)
        base = config.anthropic_api_base or "https://api.anthropic.com/v1"
        chat = kind is RouteType.LLM_V1_CHAT
        headers = {
            "Content-Type": "application/json",
            "x-api-key": key,
            "anthropic-version": config.anthropic_version,
        }
        adapter = ChatAdapter if chat else CompletionAdapter
        return adapter(join_url(base, "messages" if chat else "complete"), headers, model.name or "", key)


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """What both APIs have in common."""

    url: str
    headers: Mapping[str, str]
    model: str
    key: str

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        return UpstreamRequest(self.url, self.headers, orjson.dumps(self.body(data)))

    def answer(self, response: UpstreamResponse) -> bytes:
        """The answer in the standard shape."""
        value = json_object(response.body, NAME)
        try:
            return orjson.dumps(self.translate(value))
        except MALFORMED:
            invalid(NAME, "its answer lacks what it should have")

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(NAME, response, secrets=(self.key,))

    def body(self, data: Json) -> Json:
        """The upstream's body."""
        raise NotImplementedError

    def translate(self, value: Json) -> Json:
        """The upstream's answer in the standard shape."""
        raise NotImplementedError

    def reader(self, data: Json) -> EventReader:
        """A reader for the stream that answers this request."""
        raise NotImplementedError


class ChatAdapter(AnthropicAdapter):
    """Chat through the Messages API."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /messages`."""
        return messages_request(data, self.model)

    def translate(self, value: Json) -> Json:
        """The message as a chat answer."""
        return chat_answer(value)

    def reader(self, data: Json) -> EventReader:
        """A reader for the events of a message."""
        return MessagesReader(include_usage=bool((data.get("stream_options") or {}).get("include_usage")))


class CompletionAdapter(AnthropicAdapter):
    """Completions through the Text Completions API, whose prompts are turns of a conversation."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /complete`."""
        if not isinstance(prompt := data["prompt"], str):
            raise InvalidRequest.field("prompt", "Anthropic takes one text")
        body = dict(data)
        rename_parameters(body)
        if "top_p" in body:
            raise InvalidRequest.field("top_p", "Anthropic's completions take 'temperature' instead")
        body["max_tokens_to_sample"] = body.pop("max_tokens", default_max_tokens(self.model))
        if prompt.startswith(_HUMAN.lstrip()):
            prompt = "\n\n" + prompt
        elif not prompt.startswith(_HUMAN):
            prompt = _HUMAN + prompt
        body["prompt"] = prompt if prompt.endswith(_ASSISTANT) else prompt + _ASSISTANT
        return {"model": self.model, **body}

    def translate(self, value: Json) -> Json:
        """The completion; Anthropic counts no tokens here."""
        text = text_of(value["completion"])
        choice = {"index": 0, "text": text, "finish_reason": _finish(value.get("stop_reason"))}
        return {
            "id": text_of(value.get("id") or new_id("cmpl")),
            "object": "text_completion",
            "created": now(),
            "model": text_of(value.get("model") or self.model),
            "choices": [choice],
            "usage": {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None},
        }

    def reader(self, data: Json) -> EventReader:
        """A reader for the pieces of a completion."""
        return CompletionReader(self.model)


class CompletionReader(EventReader):
    """The pieces of a completion, as chunks."""

    def __init__(self, model: str) -> None:
        super().__init__(NAME)
        self._frame = {
            "id": new_id("cmpl"),
            "object": "text_completion_chunk",
            "created": now(),
            "model": model,
        }

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunk that one event stands for."""
        value = self.json(event)
        if value.get("type") == "error":
            raise stream_error(value.get("error"))
        if value.get("type", "completion") != "completion" or "completion" not in value:
            return
        try:
            yield orjson.dumps(self._chunk(value))
        except MALFORMED:
            invalid(NAME, "an event of its stream lacks what it should have")
        self.done = value.get("stop_reason") is not None

    def _chunk(self, value: Json) -> Json:
        self._frame |= {key: text_of(value[key]) for key in ("id", "model") if value.get(key)}
        reason = value.get("stop_reason")
        choice = {
            "index": 0,
            "text": text_of(value["completion"]),
            "finish_reason": None if reason is None else _finish(reason),
        }
        return {**self._frame, "choices": [choice]}


def _finish(reason: str | None) -> str:
    return "stop" if reason == "stop_sequence" else "length"


provider = Anthropic()
