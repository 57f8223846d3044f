"""Embeddings of Titan and of Cohere's models on Bedrock, each in its own form, through InvokeModel.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
`…/model-parameters-titan-embed-mm.html`, `…/model-parameters-embed.html`.
"""

from typing import Any

import orjson

from gateway_async.errors import InvalidRequest
from gateway_async.providers._answers import MALFORMED, embedding_list, json_object
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._errors import invalid
from gateway_async.providers._requests import take, texts_of
from gateway_async.providers.bedrock.adapter import BedrockAdapter

TOKENS = "x-amzn-bedrock-input-token-count"
"""The header that tells how many tokens were read."""


class TitanEmbeddings(BedrockAdapter):
    """Titan's embeddings: one text for each call."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body in Titan's form."""
        takes = {} if "titan-embed-text-v1" in self.model else {"dimensions": "dimensions"}
        texts = texts_of(data, "Titan")
        if len(texts) != 1:
            raise InvalidRequest.field("input", f"Titan embeds one text for each call, not {len(texts)}")
        body = {**take(data, "Titan", takes), "inputText": texts[0]}
        del body["input"]
        if "titan-embed-image" in self.model and "dimensions" in body:
            body["embeddingConfig"] = {"outputEmbeddingLength": body.pop("dimensions")}
        return body

    def translate(self, value: Json, data: Json) -> Json:
        """The vector of the one text."""
        vector = value.get("embedding") or _of_a_type(value["embeddingsByType"])
        used = value.get("inputTextTokenCount")
        return embedding_list(self.model, [vector], used, encoding=data.get("encoding_format"))


class CohereEmbeddings(BedrockAdapter):
    """Cohere's embeddings of several texts at once."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body in Cohere's form, which must say what the vectors are for: documents that will be searched."""
        body = take(data, "Cohere", {"dimensions": "output_dimension"} if "embed-v4" in self.model else {})
        del body["input"]
        return {"texts": texts_of(data, "Cohere"), "input_type": "search_document", **body}

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The vectors, and the tokens that a header counts."""
        value = json_object(response.body, self.provider)
        count = response.headers.get(TOKENS, "")
        try:
            vectors = _vectors(value["embeddings"])
            answer = embedding_list(
                self.model,
                vectors,
                int(count) if count.isdecimal() else None,
                encoding=data.get("encoding_format"),
            )
            return orjson.dumps(answer)
        except MALFORMED:
            invalid(self.provider, "its answer lacks what it should have")


def _vectors(embeddings: Any) -> list[Any]:
    """The vectors, which stand by their type where the request names types."""
    if isinstance(embeddings, dict):
        embeddings = _of_a_type(embeddings)
    if not isinstance(embeddings, list):
        raise TypeError("a list is expected")
    return embeddings


def _of_a_type(by_type: Json) -> Any:
    """The numbers of the one type that a caller gets: floats, where there are some."""
    return by_type.get("float") or list(by_type.values())[0]  # noqa: RUF015 - `next` would raise StopIteration
