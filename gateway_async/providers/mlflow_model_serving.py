"""MLflow's model server: a served model that takes texts and gives texts or vectors.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally (`POST /invocations`): `inputs` and `params` go up,
`predictions` come down. What the model does with `params` only the model knows, so that all parameters are passed on.
"""

from collections.abc import Mapping
from typing import Any

from gateway_async.config import MlflowModelServingConfig, Model, RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import (
    chat_choice,
    chat_completion,
    embedding_list,
    text_choice,
    text_completion,
    text_of,
)
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid
from gateway_async.providers._requests import as_list, join_url

NAME = "mlflow-model-serving"


class MlflowModelServing:
    """The provider `mlflow-model-serving`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> JsonAdapter:
        """The adapter for one server."""
        config = model.config
        assert isinstance(config, MlflowModelServingConfig)
        url = join_url(config.model_server_url, "invocations")
        return _ADAPTERS[kind](NAME, url, {"Content-Type": "application/json"}, model.name or "")


class ChatAdapter(JsonAdapter):
    """Chat with a model that takes one message."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The message's content."""
        message, *more = data["messages"]
        if more:
            raise InvalidRequest.field(
                "messages", f"a model of MLflow's server takes one message, not {1 + len(more)}"
            )
        if message.get("tool_calls"):
            raise InvalidRequest.field("messages.0.tool_calls", "a model of MLflow's server takes none")
        if "content" not in message:
            raise InvalidRequest.field("messages.0.content", "the message to answer is expected here")
        return _inputs([message["content"]], data, "messages")

    def translate(self, value: Json, data: Json) -> Json:
        """An answer for each text that is predicted."""
        choices = [chat_choice(at, text, None) for at, text in enumerate(_texts(value))]
        return {**chat_completion(self.model, choices, None), "id": None}


class CompletionAdapter(JsonAdapter):
    """Completions of one prompt or several."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The prompts."""
        return _inputs(as_list(data["prompt"]), data, "prompt")

    def translate(self, value: Json, data: Json) -> Json:
        """A choice for each text that is predicted."""
        choices = [text_choice(at, text, None) for at, text in enumerate(_texts(value))]
        return text_completion(self.model, choices, None, answer_id=None)


class EmbeddingAdapter(JsonAdapter):
    """Embeddings of one text or several."""

    __slots__ = ()
    streams = False

    def body(self, data: Json, *, stream: bool) -> Json:
        """The texts."""
        return _inputs(as_list(data["input"]), data, "input", "encoding_format")

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        return embedding_list(self.model, _vectors(value), None, encoding=data.get("encoding_format"))


_ADAPTERS: Mapping[RouteType, type[JsonAdapter]] = {
    RouteType.LLM_V1_CHAT: ChatAdapter,
    RouteType.LLM_V1_COMPLETIONS: CompletionAdapter,
    RouteType.LLM_V1_EMBEDDINGS: EmbeddingAdapter,
}


def _inputs(inputs: list[Any], data: Json, *others: str) -> Json:
    """The body: the inputs, and as parameters what the request has besides."""
    body: Json = {"inputs": inputs}
    if params := {name: value for name, value in data.items() if name not in others}:
        body["params"] = params
    return body


def _texts(value: Json) -> list[str]:
    """The texts that are predicted: a list, or an object that holds one alone or under `choices`."""
    found = value["predictions"]
    if isinstance(found, dict):
        if len(found) > 1 and "choices" not in found:
            invalid(NAME, "its predictions are an object of several lists, and none is called 'choices'")
        found = next(iter(found.values())) if len(found) == 1 else found["choices"]
    if not isinstance(found, list) or not found:
        invalid(NAME, "its predictions are not a list of texts, or an empty one")
    return [text_of(text) for text in found]


def _vectors(value: Json) -> list[list[float]]:
    """The vectors that are predicted; numbers alone are one vector."""
    found = value["predictions"]
    if not isinstance(found, list) or not found or not any(item != [] for item in found):
        invalid(NAME, "its predictions are not a list of vectors, or hold nothing")
    if all(isinstance(item, float) for item in found):
        found = [found]
    if not all(isinstance(vector, list) and all(map(_is_number, vector)) for vector in found):
        invalid(NAME, "its predictions are not a list of vectors")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


provider = MlflowModelServing()
