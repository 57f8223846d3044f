"""Gemini: the Gemini API for chat and embeddings; completions are chats of one message.

https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_async.config import GeminiConfig, Model, RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import JsonAdapter, encoded
from gateway_async.providers._answers import embedding_list, wants_usage
from gateway_async.providers._base import Adapter, Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._google import google_error
from gateway_async.providers._requests import join_url, path_part, take, texts_of
from gateway_async.providers.gemini.answer import NAME, chat_answer
from gateway_async.providers.gemini.contents import VENDOR
from gateway_async.providers.gemini.request import generate_request
from gateway_async.providers.gemini.stream import GenerateReader

_EMBEDDINGS: Mapping[str, str] = {"dimensions": "outputDimensionality"}


class Gemini:
    """The provider `gemini`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, GeminiConfig)
        base = config.gemini_api_base or "https://generativelanguage.googleapis.com/v1beta/models"
        name = (model.name or "").removeprefix("models/")
        headers = {"Content-Type": "application/json", "x-goog-api-key": str(config.gemini_api_key)}

        def url(operation: str) -> str:
            return join_url(base, path_part(f"{name}:{operation}"))

        if kind is RouteType.LLM_V1_EMBEDDINGS:
            return EmbeddingAdapter(
                NAME, url("embedContent"), headers, name, batch_url=url("batchEmbedContents")
            )
        stream_url = url("streamGenerateContent")
        stream_url += f"{'&' if '?' in stream_url else '?'}alt=sse"
        chat = ChatAdapter(NAME, url("generateContent"), headers, name, stream_url)
        return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, VENDOR)


class ChatAdapter(JsonAdapter):
    """Chat through `generateContent`."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `:generateContent`."""
        return generate_request(data, self.model)

    def translate(self, value: Json, data: Json) -> Json:
        """The candidates as a chat answer."""
        return chat_answer(value, self.model)

    def reader(self, data: Json) -> GenerateReader:
        """A reader for the pieces of the candidates."""
        return GenerateReader(self.model, include_usage=wants_usage(data))

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error."""
        return google_error(NAME, response)


@dataclass(frozen=True, slots=True)
class EmbeddingAdapter(JsonAdapter):
    """Embeddings, one by `embedContent`, several by `batchEmbedContents`."""

    batch_url: str = ""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        body = self.body(data, stream=stream)
        url = self.batch_url if "requests" in body else self.url
        return UpstreamRequest(url, self.headers, encoded(body))

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body for one text, or for several."""
        rest = take(data, VENDOR, _EMBEDDINGS)
        del rest["input"]
        contents = [{"content": {"parts": [{"text": text}]}} for text in texts_of(data, VENDOR)]
        if len(contents) == 1:
            return {**contents[0], **rest}
        return {"requests": [{"model": f"models/{self.model}", **content, **rest} for content in contents]}

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        rows = value.get("embeddings") or [value["embedding"]]
        used = (value.get("usageMetadata") or {}).get("promptTokenCount")
        encoding = data.get("encoding_format")
        return embedding_list(self.model, [row["values"] for row in rows], used, encoding=encoding)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error."""
        return google_error(NAME, response)


provider = Gemini()
