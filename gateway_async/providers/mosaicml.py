"""MosaicML: text completions and embeddings of its hosted models; a chat is one prompt in Llama 2's notation.

https://docs.mosaicml.com/en/latest/inference.html; https://huggingface.co/blog/llama2#how-to-prompt-llama-2. The service
is retired; its format lives on where a base address is given.
"""

from collections.abc import Mapping
from typing import Any

from gateway_async.config import Model, MosaicMLConfig, RouteType
from gateway_async.errors import InvalidRequest, UpstreamError
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
from gateway_async.providers._errors import error_message, upstream_error
from gateway_async.providers._requests import (
    as_list,
    join_url,
    own_name,
    path_part,
    plain_text,
    take,
    texts_of,
)

NAME, VENDOR = "mosaicml", "MosaicML"

_SAMPLING: Mapping[str, str] = {
    "max_completion_tokens": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "n": "n",
    "stop": "stop",
    "temperature": "temperature",
    "top_p": "top_p",
}

_TOO_LONG = ("Error: max output tokens is limited to", "Error: prompt token count")
"""How the service begins to say, with status 500, that the caller asks for too much."""


class MosaicML:
    """The provider `mosaicml`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> JsonAdapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, MosaicMLConfig)
        base = config.mosaicml_api_base or "https://models.hosted-on.mosaicml.hosting"
        name = model.name or ""
        headers = {"Content-Type": "application/json", "Authorization": str(config.mosaicml_api_key)}
        return _ADAPTERS[kind](NAME, join_url(base, path_part(name), "v1", "predict"), headers, name)


class _Adapter(JsonAdapter):
    """What the three operations have in common: the errors, and no streams."""

    __slots__ = ()
    streams = False

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error; one that blames itself for what the caller asks is the caller's."""
        of_caller = response.status == 500 and error_message(response.body).startswith(_TOO_LONG)
        return upstream_error(NAME, response, status=422 if of_caller else None)


class ChatAdapter(_Adapter):
    """Chat by a Llama 2 model, in one prompt."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The conversation as one prompt."""
        parameters = _parameters(data)
        return {"inputs": [llama2_prompt(parameters.pop("messages"))], "parameters": parameters}

    def translate(self, value: Json, data: Json) -> Json:
        """What the model says, as a chat answer; neither tokens nor reasons are told."""
        choices = [chat_choice(at, text_of(text), None) for at, text in enumerate(_outputs(value))]
        return {**chat_completion(self.model, choices, None), "id": None}


class CompletionAdapter(_Adapter):
    """Completions of one prompt or several."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The prompts."""
        parameters = _parameters(data)
        prompts = as_list(parameters.pop("prompt"))
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise InvalidRequest.field("prompt", f"{VENDOR} takes texts, not tokens")
        return {"inputs": prompts, "parameters": parameters}

    def translate(self, value: Json, data: Json) -> Json:
        """A choice for each text."""
        choices = [text_choice(at, text, None) for at, text in enumerate(_outputs(value))]
        return text_completion(self.model, choices, None, answer_id=None)


class EmbeddingAdapter(_Adapter):
    """Embeddings by an Instructor model."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The texts; what the caller adds stands beside them."""
        own_name(data, "inputs", "input")
        return {**take(data, VENDOR, {"input": "inputs"}), "inputs": texts_of(data, VENDOR)}

    def translate(self, value: Json, data: Json) -> Json:
        """A vector for each text."""
        return embedding_list(self.model, _outputs(value), None, encoding=data.get("encoding_format"))


_ADAPTERS: Mapping[RouteType, type[_Adapter]] = {
    RouteType.LLM_V1_CHAT: ChatAdapter,
    RouteType.LLM_V1_COMPLETIONS: CompletionAdapter,
    RouteType.LLM_V1_EMBEDDINGS: EmbeddingAdapter,
}


def llama2_prompt(messages: list[Json]) -> str:
    """A conversation in the notation that Llama 2's chat models were trained on.

    Raises:
        InvalidRequest: A message has no place in it; the error names it.
    """
    prompt, asked = "<s>", ""
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        text = plain_text(message.get("content"), at, VENDOR)
        if role in ("system", "developer"):
            asked += f"<<SYS>> {text} <</SYS>> "
        elif role == "user":
            asked += f"{text} "
        elif role == "assistant":
            if message.get("tool_calls"):
                raise InvalidRequest.field(f"{at}.tool_calls", f"{VENDOR} has no tools")
            prompt += _turn(asked) + f" {text} </s><s>"
            asked = ""
        else:
            raise InvalidRequest.field(
                f"{at}.role", f"{VENDOR} takes 'system', 'user' and 'assistant', not {role!r}"
            )
    # After words of the assistant's the model goes on with them.
    return prompt + _turn(asked) if asked else prompt.removesuffix("</s><s>")


def _turn(asked: str) -> str:
    return f"[INST] {asked}[/INST]" if asked else ""


def _parameters(data: Json) -> Json:
    own_name(data, "max_new_tokens", "max_tokens")
    return take(data, VENDOR, _SAMPLING)


def _outputs(value: Json) -> list[Any]:
    if not isinstance(outputs := value["outputs"], list):
        raise TypeError("a list is expected")
    return outputs


provider = MosaicML()
