"""Hugging Face's Text Generation Inference: `/generate` for completions, its Messages API for chat.

https://huggingface.github.io/text-generation-inference/ (its OpenAPI). The server has no key.
"""

from collections.abc import Iterable, Mapping

import orjson

from gateway_async.config import HuggingFaceTextGenerationInferenceConfig, Model, RouteType
from gateway_async.errors import UnsupportedParameter
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import (
    Chunks,
    text_choice,
    text_completion,
    text_of,
    token_usage,
    wants_usage,
)
from gateway_async.providers._base import Adapter, Json
from gateway_async.providers._errors import reported_error, told_error
from gateway_async.providers._message_parts import image_details
from gateway_async.providers._requests import as_list, join_url, one_answer, one_prompt, own_name, take
from gateway_async.providers._streams import EventReader, JsonReader
from gateway_async.providers._variant import VariantAdapter, VariantReader, caller_wants_usage, choices_of
from gateway_async.providers.huggingface.chat import chat_request, mend_choice
from gateway_async.providers.huggingface.tokens import likelihoods, token_text

NAME, VENDOR = "huggingface-text-generation-inference", "Text Generation Inference"

_TAKES: Mapping[str, str] = {
    "best_of": "best_of",
    "echo": "return_full_text",
    "frequency_penalty": "frequency_penalty",
    "logprobs": "top_n_tokens",
    "max_tokens": "max_new_tokens",
    "seed": "seed",
    "stop": "stop",
    "temperature": "temperature",
    "top_p": "top_p",
}

_FINISH: Mapping[str, str] = {"eos_token": "stop", "stop_sequence": "stop"}

_STATUS: Mapping[str, int] = {
    "validation": 422,
    "generation": 424,
    "overloaded": 429,
    "incomplete_generation": 500,
}
"""The status that stands for each `error_type`; a stream has begun with 200 when it comes."""

_COLDEST = 1e-3
"""The server takes no temperature of 0."""


class HuggingFace:
    """The provider `huggingface-text-generation-inference`."""

    name = NAME
    route_types = frozenset({RouteType.LLM_V1_CHAT, RouteType.LLM_V1_COMPLETIONS})

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for the one model that the server has."""
        config = model.config
        assert isinstance(config, HuggingFaceTextGenerationInferenceConfig)
        base = config.hf_server_url
        headers = {"Content-Type": "application/json"}
        if kind is RouteType.LLM_V1_CHAT:
            return ChatAdapter(NAME, kind, join_url(base, "v1", "chat", "completions"), headers, "tgi")
        streams = join_url(base, "generate_stream")
        return CompletionAdapter(NAME, join_url(base, "generate"), headers, model.name or "", streams)


class CompletionAdapter(JsonAdapter):
    """Completions by `/generate` and `/generate_stream`."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The prompt and how it is to be continued."""
        given = {name: value for name, value in data.items() if name not in ("n", "prompt", "stream")}
        prompt = one_prompt(data, VENDOR)
        own_name(data, "max_new_tokens", "max_tokens")
        if stream and given.get("echo"):
            raise UnsupportedParameter.field("echo", f"{VENDOR} has it not in streams; leave it out")
        one_answer(data, VENDOR)
        parameters = take(given, VENDOR, _TAKES)
        if "stop" in parameters:
            parameters["stop"] = as_list(parameters["stop"])
        if "temperature" in parameters:
            parameters["temperature"] = max(50 * parameters["temperature"], _COLDEST)
        if parameters.get("top_n_tokens") == 0:  # the tokens' own likelihoods, which are told anyway
            del parameters["top_n_tokens"]
        if parameters.get("top_p") == 1:  # which asks for nothing, and is refused
            del parameters["top_p"]
        # A stream tells how long the prompt was, and refuses to tell more of it.
        details = {"details": True} if stream else {"details": True, "decoder_input_details": True}
        return {"inputs": prompt, "parameters": parameters | details}

    def translate(self, value: Json, data: Json) -> Json:
        """The text, and its tokens counted."""
        details = value["details"]
        choice = text_choice(0, value["generated_text"], _finish(details))
        if "logprobs" in data:
            choice["logprobs"] = likelihoods(details["tokens"], details.get("top_tokens") or ())
        used = token_usage(len(details["prefill"]), details["generated_tokens"])
        return text_completion(self.model, [choice], used, answer_id=None)

    def reader(self, data: Json) -> EventReader:
        """A reader for the tokens of a text."""
        return TokenReader(self.model, include_usage=wants_usage(data), logprobs="logprobs" in data)


class TokenReader(JsonReader):
    """The tokens of a text, as chunks.

    Args:
        model: Name of the model.
        include_usage: The caller asked what was used.
        logprobs: The caller asked how likely the tokens are.
    """

    def __init__(self, model: str, *, include_usage: bool, logprobs: bool) -> None:
        super().__init__(NAME)
        self._chunks = Chunks(RouteType.LLM_V1_COMPLETIONS, model)
        self._include_usage, self._logprobs = include_usage, logprobs
        self._told = 0

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunk that one event stands for."""
        _refuse_error(value)
        token, details = value["token"], value.get("details")
        text, finish = token_text(token), None if details is None else _finish(details)
        choice = text_choice(0, text, finish)
        if self._logprobs:
            tops = [value["top_tokens"]] if value.get("top_tokens") else []
            choice["logprobs"] = likelihoods([token], tops, start=self._told)
        self._told += len(text)
        yield orjson.dumps({**self._chunks.frame, "choices": [choice]})
        if details is None:
            return
        if self._include_usage:
            yield self._chunks.usage(token_usage(details["input_length"], details["generated_tokens"]))
        self.done = True


class ChatAdapter(VariantAdapter):
    """Chat by the Messages API."""

    __slots__ = ()

    def body(self, data: Json) -> Json:
        """The body of `POST /v1/chat/completions`."""
        return chat_request(data)

    def left_out(self, data: Json) -> Iterable[str]:
        """How to look at images."""
        return image_details(data["messages"])

    def mend(self, value: Json) -> None:
        """Ids, reasons and calls as OpenAI's clients know them."""
        if not value.get("id"):
            value.pop("id", None)
        if value.get("object") == "text_completion":  # as versions before 2.1 call a chat
            del value["object"]
        for choice, message in choices_of(value):
            mend_choice(choice, message)
            if (reason := choice.get("finish_reason")) is not None:
                choice["finish_reason"] = _FINISH.get(reason, reason)

    def refuse_error(self, value: Json) -> None:
        """Raise the error that stands in the place of a chunk."""
        _refuse_error(value)

    def reader(self, data: Json) -> VariantReader:
        """A reader for the chunks."""
        return MessagesReader(self, include_usage=caller_wants_usage(data))


class MessagesReader(VariantReader):
    """Chunks of the Messages API, whose reason for an end does not tell that there were calls."""

    def __init__(self, adapter: ChatAdapter, *, include_usage: bool) -> None:
        super().__init__(adapter, include_usage=include_usage)
        self._calling: set[int] = set()

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape."""
        super().standard_chunk(value)
        for choice in value["choices"]:
            if choice["delta"].get("tool_calls"):
                self._calling.add(choice["index"])
            if choice["index"] in self._calling and choice.get("finish_reason") == "stop":
                choice["finish_reason"] = "tool_calls"
        return True


def _finish(details: Json) -> str:
    reason = text_of(details["finish_reason"])
    return _FINISH.get(reason, reason)


def _refuse_error(value: Json) -> None:
    """Raise what an event says in the place of a token or a chunk: `{"error": …, "error_type": …}`.

    The Messages API has it as an object, too: `{"error": {"message", "http_status_code"}}`.
    """
    if said := value.get("error"):
        if isinstance(said, dict):
            raise reported_error(NAME, said)
        kind = value.get("error_type")
        status = _STATUS.get(kind, 500) if isinstance(kind, str) else 500
        raise told_error(NAME, status, f"{NAME} reports an error: {said}", value)


provider = HuggingFace()
