"""Cohere's API v1: chat, generate and embed.

https://docs.cohere.com/v1/reference/chat, …/generate, …/embed. It is spoken as the documented gateway speaks it: the
temperature goes to 5 where the gateway's goes to 2, the system prompt is `preamble_override`, a text to embed is sent as
it came. Streams are lines of JSON.
"""

from collections.abc import Mapping

from gateway_async.config import RouteType
from gateway_async.errors import InvalidRequest, UnsupportedParameter
from gateway_async.providers._answers import (
    chat_choice,
    chat_completion,
    text_choice,
    text_completion,
    text_of,
    wants_usage,
)
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import check_said
from gateway_async.providers._requests import as_list, one_answer, one_prompt, own_name, plain_text, take
from gateway_async.providers._streams import JsonReader
from gateway_async.providers.cohere.api import (
    CohereAdapter,
    check_embedding,
    finish_reason,
    response_format,
    usage,
    vectors,
)
from gateway_async.providers.cohere.v1_answer import ChatReader, GenerateReader, chat_usage, found

_API = "Cohere's v1 API"
_OF_V2 = "goes over Cohere's v2 API, with a 'cohere_api_base' that ends in /v2"

_SAMPLING: Mapping[str, str] = {
    "frequency_penalty": "frequency_penalty",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "p",
}
_CHAT = {**_SAMPLING, "max_completion_tokens": "max_tokens", "response_format": "response_format"}
_GENERATE = {**_SAMPLING, "n": "num_generations", "stop": "stop_sequences"}


class ChatAdapter(CohereAdapter):
    """Chat; the last message is the one that is answered."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /chat`."""
        one_answer(data, _API)
        for name in ("tools", "tool_choice"):
            if data.get(name, "none") not in ([], "none", "auto"):
                raise UnsupportedParameter.field(name, f"a chat with tools {_OF_V2}")
        if data.get("stop"):
            raise UnsupportedParameter.field("stop", f"{_API} has 'stop_sequences' for a chat; say it so")
        body = _scaled(take(data, _API, _CHAT))
        if "response_format" in body:
            body["response_format"] = response_format(body["response_format"], "schema")
        conversation = _conversation(body.pop("messages"))
        return {"model": self.model, **body, **conversation}

    def translate(self, value: Json, data: Json) -> Json:
        """The text that answers, and what it rests on."""
        choice = chat_choice(0, text_of(value["text"]), _finish(value), **found(value))
        answer_id = text_of(value.get("response_id") or "")
        return chat_completion(self.model, [choice], chat_usage(value), answer_id=answer_id)

    def reader(self, data: Json) -> JsonReader:
        """A reader for the events of a chat."""
        return ChatReader(self.model, include_usage=wants_usage(data))


class GenerateAdapter(CohereAdapter):
    """Completions."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /generate`."""
        for name, own in (("n", "num_generations"), ("stop", "stop_sequences")):
            if own in data:
                text = f"{own}: the gateway's name for it is {name!r}"
                raise InvalidRequest(text, detail=text, status=400, error_code="BAD_REQUEST")
        body = _scaled(take(data, _API, _GENERATE)) | {"prompt": one_prompt(data, _API)}
        if "stop_sequences" in body:
            body["stop_sequences"] = as_list(body["stop_sequences"])
        return {"model": self.model, **body}

    def translate(self, value: Json, data: Json) -> Json:
        """A choice for each text. The answer has no id, as the documented gateway gives it."""
        choices = [
            text_choice(at, made["text"], _finish(made)) for at, made in enumerate(value["generations"])
        ]
        return text_completion(self.model, choices, usage(value.get("meta")), answer_id=None)

    def reader(self, data: Json) -> JsonReader:
        """A reader for the events of texts."""
        return GenerateReader(self.model, include_usage=wants_usage(data))


class EmbeddingAdapter(CohereAdapter):
    """Embeddings."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /embed`."""
        own_name(data, "texts", "input")
        check_embedding(data)
        return {"model": self.model, **take(data, _API, {"input": "texts"})}

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        return vectors(value, data, self.model)


V1: Mapping[RouteType, tuple[str, type[CohereAdapter]]] = {
    RouteType.LLM_V1_CHAT: ("chat", ChatAdapter),
    RouteType.LLM_V1_COMPLETIONS: ("generate", GenerateAdapter),
    RouteType.LLM_V1_EMBEDDINGS: ("embed", EmbeddingAdapter),
}
"""Type of a route → the operation's path, and its adapter."""


def _scaled(body: Json) -> Json:
    if "temperature" in body:
        body["temperature"] = 2.5 * body["temperature"]
    return body


def _finish(value: Json) -> str | None:
    """Why a text ends, where v1 says so; at first it did not."""
    return None if value.get("finish_reason") is None else finish_reason(value["finish_reason"])


def _conversation(messages: list[Json]) -> Json:
    """The conversation in v1's form: the message to answer, what was said before, the system prompt."""
    system, history = [], []
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        check_said(message, at, _API)
        text = plain_text(message.get("content") or message.get("refusal"), at, _API)
        for name in ("tool_calls", "tool_call_id"):
            if message.get(name):
                raise InvalidRequest.field(f"{at}.{name}", f"a chat with tools {_OF_V2}")
        if role in ("system", "developer"):
            system.append(text)
        elif role in ("user", "assistant"):
            history.append({"role": "USER" if role == "user" else "CHATBOT", "message": text})
        else:
            raise InvalidRequest.field(f"{at}.role", f"{_API} has no role {role!r}")
    if (last := messages[-1]["role"]) != "user":
        raise InvalidRequest.field(
            f"messages.{len(messages) - 1}.role", f"the last one is 'user', not {last!r}"
        )
    made: Json = {"message": history.pop()["message"]}
    if system:
        made["preamble_override"] = "\n".join(system)
    return {**made, "chat_history": history} if history else made
