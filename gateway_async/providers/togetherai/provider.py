"""Together AI: OpenAI's format with a number for `logprobs`, and with parameters and fields of its own.

https://docs.together.ai/reference/chat-completions-1, …/completions-1, …/embeddings-2. Answers are told under the
route's model, whatever name the service has for it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_async.config import Model, RouteType, TogetherAIConfig
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import embedding_list, text_of
from gateway_async.providers._base import Adapter, Json
from gateway_async.providers._requests import join_url, take, texts_of
from gateway_async.providers._variant import (
    VariantAdapter,
    VariantCompletionReader,
    VariantReader,
    caller_wants_usage,
    choices_of,
)
from gateway_async.providers.openai_format.adapter import PATHS
from gateway_async.providers.togetherai.request import (
    NAME,
    VENDOR,
    chat_request,
    completion_request,
    left_out,
)

_FINISH: Mapping[str, str] = {"eos": "stop", "function_call": "tool_calls"}


class TogetherAI:
    """The provider `togetherai`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, TogetherAIConfig)
        url = join_url(config.togetherai_api_base or "https://api.together.xyz/v1", PATHS[kind])
        name = model.name or ""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {config.togetherai_api_key}"}
        if kind is RouteType.LLM_V1_EMBEDDINGS:
            return EmbeddingAdapter(NAME, url, headers, name)
        adapter = ChatAdapter if kind is RouteType.LLM_V1_CHAT else CompletionAdapter
        return adapter(NAME, kind, url, headers, name)


class ChatAdapter(VariantAdapter):
    """Chat."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /chat/completions`."""
        return chat_request(data)

    def left_out(self, data: Json) -> Iterable[str]:
        """What Together AI can't promise."""
        return left_out(data)

    def mend(self, value: Json) -> None:
        """Reasons, thoughts, texts and likelihoods as OpenAI's clients know them."""
        value["model"] = self.model
        for choice, message in choices_of(value):
            _mend_reason(choice)
            if "delta" in choice and message.get("content") is None and choice.get("text"):
                message["content"] = choice["text"]
            if (thoughts := message.get("reasoning")) is not None:
                message.setdefault("reasoning_content", thoughts)
            for call in message.get("tool_calls") or ():
                number = call.pop("index", None)
                if "delta" in choice and number is not None:
                    call["index"] = int(number)
            if (given := choice.get("logprobs")) is not None:
                choice["logprobs"] = _likelihoods(given, message.get("content"))


class CompletionAdapter(VariantAdapter):
    """Completions, by the models that have them."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /completions`."""
        return completion_request(data)

    def mend(self, value: Json) -> None:
        """The reasons as OpenAI's clients know them, in the choices even where they stand beside."""
        value["model"] = self.model
        reason = value.pop("finish_reason", None)
        for choice in value.get("choices") or ():
            choice["finish_reason"] = choice.get("finish_reason") or reason
            _mend_reason(choice)

    def reader(self, data: Json) -> VariantReader:
        """A reader for the pieces of a completion."""
        return VariantCompletionReader(self, include_usage=caller_wants_usage(data))


class EmbeddingAdapter(JsonAdapter):
    """Embeddings, as numbers; base64 is made of them here. What they cost is not told."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `POST /embeddings`."""
        texts_of(data, VENDOR)  # tokens are refused
        return {"model": self.model, **take(data, VENDOR, {})}

    def translate(self, value: Json, data: Json) -> Json:
        """The vectors under the route's model."""
        rows = sorted(value["data"], key=lambda row: row.get("index") or 0)
        vectors = [row["embedding"] for row in rows]
        made = embedding_list(self.model, vectors, None, encoding=data.get("encoding_format"))
        return {**value, **made, "usage": value.get("usage") or made["usage"]}


def _mend_reason(choice: Json) -> None:
    reason = choice.setdefault("finish_reason", None)
    if reason is not None:
        choice["finish_reason"] = _FINISH.get(reason, reason)


def _likelihoods(given: Any, text: Any) -> Json:
    """The likelihoods of tokens in OpenAI's form, with what Together AI says beside.

    In an answer they stand in lists, in a stream there is one number a chunk.
    """
    if isinstance(given, dict):
        pairs = zip(given.get("tokens") or (), given.get("token_logprobs") or (), strict=False)
        return {"content": [_likelihood(token, number) for token, number in pairs], **given}
    return {"content": [_likelihood(text or "", given)]}


def _likelihood(token: Any, number: Any) -> Json:
    return {"token": text_of(token), "logprob": number, "bytes": None, "top_logprobs": []}


provider = TogetherAI()
