"""Text embeddings on Vertex AI: texts as instances, their vectors as predictions.

https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api.
"""

from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import count_of, embedding_list
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._google import google_error
from gateway_async.providers._requests import take, texts_of

_OF_INSTANCES = ("task_type", "title")
"""Google's own parameters that stand with each text; the others stand beside the texts."""


class EmbeddingAdapter(JsonAdapter):
    """Embeddings of one text or several."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The texts, each an instance."""
        rest = take(data, "Vertex AI", {"dimensions": "outputDimensionality"})
        del rest["input"]
        own = {name: rest.pop(name) for name in _OF_INSTANCES if name in rest}
        body: Json = {"instances": [{"content": text, **own} for text in texts_of(data, "Vertex AI")]}
        if rest:
            body["parameters"] = rest
        return body

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text; all of their tokens together."""
        found = [prediction["embeddings"] for prediction in value["predictions"]]
        used = sum(count_of((one.get("statistics") or {}).get("token_count")) for one in found)
        vectors = [one["values"] for one in found]
        return embedding_list(self.model, vectors, used, encoding=data.get("encoding_format"))

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """Google's error, with the caller's status where the caller is at fault."""
        return google_error(self.provider, response)
