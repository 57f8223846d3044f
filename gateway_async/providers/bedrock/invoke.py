"""Completions of Bedrock's older models, each vendor's in its own form, through InvokeModel.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html, the pages on Anthropic's Text Completions API,
Amazon Titan Text, AI21's Jurassic-2 and Cohere's Command. Temperatures are on each model's scale. The answers of the
last three reach the caller with their texts alone, as mlflow's gateway gives them.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway_async.config import RouteType
from gateway_async.errors import InvalidRequest, NotSupported
from gateway_async.providers._answers import Chunks, json_object, text_choice, text_completion, text_of
from gateway_async.providers._base import Json, UpstreamRequest
from gateway_async.providers._claude_text import HUMAN, as_turn, text_finish
from gateway_async.providers._requests import as_list, one_answer, one_prompt, take
from gateway_async.providers.bedrock.adapter import VENDOR, BedrockAdapter, FrameReader

_MOST_TOKENS, _MOST_ASKED = 8191, 1_000_000

_STREAM_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/json",
    "X-Amzn-Bedrock-Accept": "application/json",
}
"""The stream itself is no JSON; what stands in its messages is."""

Piece = tuple[int, str, str | None, bool]
"""Of a stream: the completion's number, its next text, why it ends, and whether that was all."""


@dataclass(frozen=True)
class TextAPI:
    """The form of one vendor's completions: to its body, from its answer, from a piece of its stream."""

    body: Callable[[Json, bool], Json]
    texts: Callable[[Json], list[tuple[str, str | None]]]
    """The texts of an answer, each with the reason why it ends."""

    piece: Callable[[Json], Piece] | None
    """None where the vendor's models do not stream."""


@dataclass(frozen=True, slots=True)
class InvokeAdapter(BedrockAdapter):
    """Completions through InvokeModel and InvokeModelWithResponseStream."""

    api: TextAPI = field(kw_only=True)

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        if stream and self.api.piece is None:
            raise NotSupported(f"{self.model} has no streams on {VENDOR}; leave 'stream' out")
        request = BedrockAdapter.request(self, data, stream=stream)
        return replace(request, headers=_STREAM_HEADERS) if stream else request

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body in the vendor's form."""
        rest = {name: value for name, value in data.items() if name != "stream"}
        return self.api.body({**rest, "prompt": one_prompt(data, VENDOR)}, stream)

    def translate(self, value: Json, data: Json) -> Json:
        """The completion; its tokens are not counted here."""
        found = self.api.texts(value)
        choices = [text_choice(index, text, finish) for index, (text, finish) in enumerate(found)]
        return text_completion(self.model, choices, None, answer_id=None)

    def reader(self, data: Json) -> FrameReader:
        """A reader for the pieces of a completion."""
        assert self.api.piece is not None
        return PieceReader(self.provider, self.model, self.api.piece)


class PieceReader(FrameReader):
    """The pieces of a completion, as chunks."""

    def __init__(self, provider: str, model: str, piece: Callable[[Json], Piece]) -> None:
        super().__init__(provider)
        self._piece = piece
        self._chunks = Chunks(RouteType.LLM_V1_COMPLETIONS, model)
        self._ended = False

    def complete(self) -> bool:
        """The last piece has come: there is no other mark of the end."""
        return self._ended

    def chunks(self, name: str, value: Json) -> Iterable[bytes]:
        """The chunk that one event stands for."""
        if name != "chunk":
            return
        body = base64.b64decode(text_of(value["bytes"]), validate=True)
        index, text, finish, last = self._piece(json_object(body, self.provider, "a piece of its stream"))
        self._ended = self._ended or last
        if text or finish:
            yield self._chunks.text(text_of(text), finish, index=index)


# --- Anthropic, up to Claude 2 ------------------------------------------------------------------------------------

_ANTHROPIC: Mapping[str, str] = {
    "max_tokens": "max_tokens_to_sample",
    "stop": "stop_sequences",
    "temperature": "temperature",
}


def _anthropic_body(data: Json, stream: bool) -> Json:
    one_answer(data, "Anthropic")
    if "top_p" in data:
        raise InvalidRequest.field("top_p", "Anthropic's completions take 'temperature' instead")
    if data.get("max_tokens", 0) > _MOST_ASKED:
        raise InvalidRequest.field("max_tokens", f"at most {_MOST_ASKED} tokens can be asked for")
    body = _scaled(take(data, "Anthropic", _ANTHROPIC), 0.5)
    stops = as_list(body.get("stop_sequences", []))
    return {
        **body,
        "prompt": as_turn(body["prompt"]),
        "max_tokens_to_sample": min(body.get("max_tokens_to_sample", _MOST_TOKENS), _MOST_TOKENS),
        "stop_sequences": stops if HUMAN in stops else [*stops, HUMAN],
    }


def _anthropic_texts(value: Json) -> list[tuple[str, str | None]]:
    return [(value["completion"], text_finish(value["stop_reason"]))]


def _anthropic_piece(value: Json) -> Piece:
    reason = value.get("stop_reason")
    return 0, value["completion"], text_finish(reason) if reason else None, reason is not None


# --- Amazon Titan Text --------------------------------------------------------------------------------------------

_TITAN: Mapping[str, str] = {
    "max_tokens": "maxTokenCount",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_p": "topP",
}


def _titan_body(data: Json, stream: bool) -> Json:
    one_answer(data, "Titan")
    config = _scaled(take(data, "Titan", _TITAN), 0.5)
    if "stopSequences" in config:
        config["stopSequences"] = as_list(config["stopSequences"])
    return {"inputText": config.pop("prompt"), "textGenerationConfig": config}


def _titan_texts(value: Json) -> list[tuple[str, str | None]]:
    return [(result["outputText"], None) for result in value["results"]]


def _titan_piece(value: Json) -> Piece:
    return 0, value["outputText"], None, value.get("completionReason") is not None


# --- AI21's Jurassic-2 --------------------------------------------------------------------------------------------

_AI21: Mapping[str, str] = {
    "max_tokens": "maxTokens",
    "n": "numResults",
    "stop": "stopSequences",
    "temperature": "temperature",
    "top_p": "topP",
}


def _ai21_body(data: Json, stream: bool) -> Json:
    body = _several(take(data, "AI21", _AI21), "numResults")
    if "stopSequences" in body:
        body["stopSequences"] = as_list(body["stopSequences"])
    return body


def _ai21_texts(value: Json) -> list[tuple[str, str | None]]:
    return [(completion["data"]["text"], None) for completion in value["completions"]]


# --- Cohere's Command ---------------------------------------------------------------------------------------------

_COHERE: Mapping[str, str] = {
    "logit_bias": "logit_bias",
    "max_tokens": "max_tokens",
    "n": "num_generations",
    "stop": "stop_sequences",
    "temperature": "temperature",
    "top_p": "p",
}


def _cohere_body(data: Json, stream: bool) -> Json:
    body = _scaled(_several(take(data, "Cohere", _COHERE), "num_generations"), 2.5)
    if "stop_sequences" in body:
        body["stop_sequences"] = as_list(body["stop_sequences"])
    return {**body, "stream": True} if stream else body


def _cohere_texts(value: Json) -> list[tuple[str, str | None]]:
    return [(generation["text"], None) for generation in value["generations"]]


def _cohere_piece(value: Json) -> Piece:
    last = value.get("is_finished") is True
    text = (value.get("text") or "") if last else text_of(value["text"])
    # The model's mark of the end comes as a text of its own.
    return int(value.get("index") or 0), "" if text == "<EOS_TOKEN>" else text, None, last


def _scaled(body: Json, factor: float) -> Json:
    """The body with its temperature on the model's own scale."""
    return {**body, "temperature": factor * body["temperature"]} if "temperature" in body else body


def _several(body: Json, name: str) -> Json:
    """The body without a number of completions that asks for one, which is what there is anyway."""
    return {key: value for key, value in body.items() if key != name or value != 1}


APIS: Mapping[str, TextAPI] = {
    "ai21": TextAPI(_ai21_body, _ai21_texts, None),
    "amazon": TextAPI(_titan_body, _titan_texts, _titan_piece),
    "anthropic": TextAPI(_anthropic_body, _anthropic_texts, _anthropic_piece),
    "cohere": TextAPI(_cohere_body, _cohere_texts, _cohere_piece),
}
"""Vendor's prefix of a model id → the form of its older models."""
