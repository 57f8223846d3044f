"""PaLM: the API that Gemini's has replaced, for chat, completions and embeddings as mlflow maps them.

https://ai.google.dev/api/palm, of which the service is gone. Its temperature goes to 1 where the gateway's goes to 2; it
has no streams, and tells neither tokens nor reasons. Messages keep their roles, as the names of their authors.
"""

from collections.abc import Mapping

from gateway_async.config import Model, PaLMConfig, RouteType
from gateway_async.errors import InvalidRequest, UnsupportedParameter, UpstreamError
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import (
    chat_choice,
    chat_completion,
    embedding_list,
    text_choice,
    text_completion,
    text_of,
)
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._errors import invalid
from gateway_async.providers._google import google_error
from gateway_async.providers._message_parts import check_said
from gateway_async.providers._requests import (
    as_list,
    join_url,
    one_prompt,
    own_name,
    path_part,
    plain_text,
    take,
    texts_of,
)

NAME, VENDOR = "palm", "PaLM"

_CHAT: Mapping[str, str] = {
    "n": "candidateCount",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_p": "top_p",
}
_COMPLETIONS: Mapping[str, str] = {**_CHAT, "max_tokens": "maxOutputTokens"}


class PaLM:
    """The provider `palm`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> JsonAdapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, PaLMConfig)
        base = config.palm_api_base or "https://generativelanguage.googleapis.com/v1beta3/models"
        name = model.name or ""
        headers = {"Content-Type": "application/json", "x-goog-api-key": str(config.palm_api_key)}
        operation, adapter = _OPERATIONS[kind]
        return adapter(NAME, join_url(base, path_part(f"{name}:{operation}")), headers, name)


class _Adapter(JsonAdapter):
    """What the three operations have in common: Google's errors, and no streams."""

    __slots__ = ()
    streams = False

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error."""
        return google_error(NAME, response)


class ChatAdapter(_Adapter):
    """Chat through `generateMessage`."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `:generateMessage`."""
        for name in ("max_tokens", "max_completion_tokens", "maxOutputTokens"):
            if name in data:
                raise UnsupportedParameter.field(name, f"{VENDOR}'s chat has no such parameter; leave it out")
        body = _parameters(data, _CHAT)
        messages = [_message(message, at) for at, message in enumerate(body.pop("messages"))]
        rest = {name: body.pop(name) for name in ("context", "examples") if name in body}
        return {**body, "prompt": {"messages": messages, **rest}}

    def translate(self, value: Json, data: Json) -> Json:
        """The candidates, each by its author."""
        choices = [
            _said(at, text_of(one["content"]), one.get("author"))
            for at, one in enumerate(value.get("candidates") or ())
        ]
        if not choices:
            refusal = _blocked(value)
            choices = [chat_choice(0, None, "content_filter", refusal=refusal)]
        return {**chat_completion(self.model, choices, None), "id": None}


class CompletionAdapter(_Adapter):
    """Completions through `generateText`."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `:generateText`."""
        return {**_parameters(data, _COMPLETIONS), "prompt": {"text": one_prompt(data, VENDOR)}}

    def translate(self, value: Json, data: Json) -> Json:
        """The candidates."""
        choices = [
            text_choice(at, one["output"], None) for at, one in enumerate(value.get("candidates") or ())
        ]
        if not choices:
            _blocked(value)
            choices = [text_choice(0, "", "content_filter")]
        return text_completion(self.model, choices, None, answer_id=None)


class EmbeddingAdapter(_Adapter):
    """Embeddings through `batchEmbedText`."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `:batchEmbedText`; Google takes a single text in place of a list with one."""
        own_name(data, "texts", "input")
        body = take(data, VENDOR, {"input": "texts"})
        texts_of(data, VENDOR)
        return body

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        vectors = [embedding["value"] for embedding in value["embeddings"]]
        return embedding_list(self.model, vectors, None, encoding=data.get("encoding_format"))


_OPERATIONS: Mapping[RouteType, tuple[str, type[_Adapter]]] = {
    RouteType.LLM_V1_CHAT: ("generateMessage", ChatAdapter),
    RouteType.LLM_V1_COMPLETIONS: ("generateText", CompletionAdapter),
    RouteType.LLM_V1_EMBEDDINGS: ("batchEmbedText", EmbeddingAdapter),
}


def _parameters(data: Json, takes: Mapping[str, str]) -> Json:
    for name, theirs in takes.items():
        if theirs != name:
            own_name(data, theirs, name)
    body = take(data, VENDOR, takes)
    if "temperature" in body:
        body["temperature"] = 0.5 * body["temperature"]
    if "stopSequences" in body:
        body["stopSequences"] = as_list(body["stopSequences"])
    return body


def _message(message: Json, index: int) -> Json:
    at, role = f"messages.{index}", message["role"]
    if role == "tool":
        raise InvalidRequest.field(f"{at}.role", f"{VENDOR} has no tools")
    if message.get("tool_calls"):
        raise InvalidRequest.field(f"{at}.tool_calls", f"{VENDOR} has no tools")
    check_said(message, at, VENDOR)
    said = message.get("content") or message.get("refusal")
    return {"author": role, "content": plain_text(said, at, VENDOR)}


def _said(index: int, text: str, author: str | None) -> Json:
    choice = chat_choice(index, text, None)
    choice["message"]["role"] = "assistant" if author is None else text_of(author)
    return choice


def _blocked(value: Json) -> str:
    """Why there are no candidates.

    Raises:
        UpstreamInvalid: No filter has taken them away.
    """
    filters = value.get("filters") or []
    if not filters:
        invalid(NAME, "its answer has no candidates")
    reasons = [each.get("message") or each.get("reason") or "no reason is given" for each in filters]
    return f"{VENDOR} has blocked the answer: {', '.join(map(text_of, reasons))}"


provider = PaLM()
