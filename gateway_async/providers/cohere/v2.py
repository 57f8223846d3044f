"""Cohere's API v2: chat and embed.

https://docs.cohere.com/reference/chat, https://docs.cohere.com/reference/embed.
"""

from gateway_async.providers._answers import wants_usage
from gateway_async.providers._base import Json
from gateway_async.providers._requests import as_list, take
from gateway_async.providers._streams import JsonReader
from gateway_async.providers.cohere.api import VENDOR, CohereAdapter, check_embedding, vectors
from gateway_async.providers.cohere.v2_answer import ChatReader, chat_answer
from gateway_async.providers.cohere.v2_request import chat_request


class ChatAdapter(CohereAdapter):
    """Chat."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /chat`."""
        return {"model": self.model, **chat_request(data)}

    def translate(self, value: Json, data: Json) -> Json:
        """The message as a chat answer."""
        return chat_answer(value, self.model)

    def reader(self, data: Json) -> JsonReader:
        """A reader for the events of a message."""
        return ChatReader(self.model, include_usage=wants_usage(data))


class EmbeddingAdapter(CohereAdapter):
    """Embeddings. What they are for stands in `input_type`; without it, they are for texts to be found."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /embed`."""
        check_embedding(data)
        body = take(data, VENDOR, {"dimensions": "output_dimension", "input": "texts"})
        needed = {"input_type": "search_document", "embedding_types": ["float"]}
        return {"model": self.model, **needed, **body, "texts": as_list(body["texts"])}

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        return vectors(value, data, self.model)
