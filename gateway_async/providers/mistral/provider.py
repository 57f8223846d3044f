"""Mistral: OpenAI's format with parameters, contents and refusals of its own; completions are chats of one message.

https://docs.mistral.ai/api. Models of code also fill the middle between a prompt and a suffix.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

import orjson

from gateway_async.config import MistralConfig, Model, RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import JsonAdapter, encoded
from gateway_async.providers._answers import count_of, embedding_list, now
from gateway_async.providers._base import Adapter, Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._completions import CompletionsByChat
from gateway_async.providers._errors import reported_error, upstream_error
from gateway_async.providers._requests import join_url, take, texts_of
from gateway_async.providers._variant import VariantAdapter, VariantReader, caller_wants_usage, choices_of
from gateway_async.providers.mistral.answer import NAME, mend_choice, said
from gateway_async.providers.mistral.messages import BLOCKS, VENDOR, has_names
from gateway_async.providers.mistral.request import chat_request, fim_request, legacy_dropped, legacy_prompt
from gateway_async.providers.openai_format.adapter import PATHS


class Mistral:
    """The provider `mistral`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, MistralConfig)
        base = config.mistral_api_base or "https://api.mistral.ai/v1"
        name = model.name or ""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {config.mistral_api_key}"}
        if kind is RouteType.LLM_V1_EMBEDDINGS:
            return EmbeddingAdapter(NAME, join_url(base, PATHS[kind]), headers, name)
        chat = RouteType.LLM_V1_CHAT
        adapter = ChatAdapter(NAME, chat, join_url(base, PATHS[chat]), headers, name)
        if kind is chat:
            return adapter
        return CompletionAdapter(adapter, VENDOR, name, join_url(base, "fim", "completions"))


class ChatAdapter(VariantAdapter):
    """Chat."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /chat/completions`."""
        return chat_request(data)

    def left_out(self, data: Json) -> Iterable[str]:
        """Who said something, where that is named."""
        return ("messages.name",) if has_names(data["messages"]) else ()

    def mend(self, value: Json) -> None:
        """Contents, reasons and calls as OpenAI's clients know them."""
        for choice, message in choices_of(value):
            mend_choice(choice, message)

    def reader(self, data: Json) -> VariantReader:
        """A reader for the chunks."""
        return ChatReader(self, include_usage=caller_wants_usage(data))

    def refuse_error(self, value: Json) -> None:
        """Raise the error whose body stands in the place of an answer or a chunk."""
        if value.get("object") in ("error", "Error"):
            raise reported_error(NAME, value)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the fields that it finds wrong."""
        return upstream_error(NAME, response, said=said(response.body))


class ChatReader(VariantReader):
    """Chunks of a chat."""

    def __init__(self, adapter: ChatAdapter, *, include_usage: bool) -> None:
        super().__init__(adapter, include_usage=include_usage)
        self._blocks = count()

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape, and number its blocks through the whole stream."""
        super().standard_chunk(value)
        for choice in value["choices"]:
            for block in choice["delta"].get(BLOCKS) or ():
                block["index"] = next(self._blocks)
        return True


@dataclass(frozen=True, slots=True)
class CompletionAdapter(CompletionsByChat):
    """Completions by a chat of one message; with a `suffix`, what stands before it, by a model of code."""

    model: str
    fim_url: str

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The chat's request, or the one that fills the middle."""
        if "suffix" not in data or not self.model.startswith("codestral"):
            request = CompletionsByChat.request(self, legacy_prompt(data), stream=stream)
            return replace(request, dropped=legacy_dropped(data))
        body = {"model": self.model, **fim_request(data)}
        assert isinstance(self.chat, VariantAdapter)
        return UpstreamRequest(self.fim_url, self.chat.headers, encoded(body))

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The chat's answer, as a completion of the route's model, made now."""
        answer = orjson.loads(CompletionsByChat.answer(self, response, data))
        return orjson.dumps({**answer, "model": self.model, "created": now()})


class EmbeddingAdapter(JsonAdapter):
    """Embeddings, as numbers; base64 is made of them here."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /embeddings`."""
        body = take(data, VENDOR, {"dimensions": "output_dimension", "metadata": "metadata"})
        texts_of(data, VENDOR)  # tokens are refused
        if data.get("encoding_format") == "float":
            body["encoding_format"] = "float"
        return {"model": self.model, **body}

    def translate(self, value: Json, data: Json) -> Json:
        """The vectors under the route's model."""
        rows = sorted(value["data"], key=lambda row: row.get("index") or 0)
        vectors = [row["embedding"] for row in rows]
        made = embedding_list(self.model, vectors, None, encoding=data.get("encoding_format"))
        used = {name: count_of(value["usage"].get(name)) for name in made["usage"]}
        return {**value, **made, "usage": {**value["usage"], **used}}

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the fields that it finds wrong."""
        return upstream_error(NAME, response, said=said(response.body))


provider = Mistral()
