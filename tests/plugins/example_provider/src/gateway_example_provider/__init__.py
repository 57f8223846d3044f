"""A provider for the gateway: parrots, which speak a JSON format of their own, whole and piece by piece."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway_async.provider import (
    Adapter,
    Address,
    ApiKey,
    ChunkReader,
    Chunks,
    ConfigModel,
    InvalidRequest,
    Json,
    JsonAdapter,
    JsonReader,
    Lines,
    Model,
    RouteType,
    chat_choice,
    chat_completion,
    completions_by_chat,
    join_url,
    plain_text,
    take,
    token_usage,
    wants_usage,
)

__all__ = ["Parrot", "ParrotChat", "ParrotConfig", "ParrotReader", "provider"]

VENDOR = "a parrot"
TAKES = {"max_completion_tokens": "longest", "max_tokens": "longest", "temperature": "loudness"}
WHY = {"done": "stop", "tired": "length"}


class ParrotConfig(ConfigModel):
    """Settings of `parrot`."""

    parrot_api_key: ApiKey
    parrot_api_base: Address = "https://parrots.example/v1"


class Parrot:
    """The provider `parrot`."""

    name = "parrot"
    route_types = frozenset({RouteType.LLM_V1_CHAT, RouteType.LLM_V1_COMPLETIONS})
    config = ParrotConfig

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one parrot."""
        settings = model.config
        assert isinstance(settings, ParrotConfig)
        chat = ParrotChat(
            provider=self.name,
            url=join_url(settings.parrot_api_base, "talk"),
            headers={"Content-Type": "application/json", "X-Parrot-Key": settings.parrot_api_key},
            model=model.name or "polly",
        )
        return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, VENDOR)


@dataclass(frozen=True, slots=True)
class ParrotChat(JsonAdapter):
    """A chat with a parrot."""

    def body(self, data: Json, *, stream: bool) -> Json:
        """`{"bird", "lines": [{"by", "says"}], "longest", "loudness", "piecewise"}`."""
        body = take(data, VENDOR, TAKES)
        lines = [_line(message, f"messages.{at}") for at, message in enumerate(body.pop("messages"))]
        body.pop("stream", None)
        return {"bird": self.model, "lines": lines, "piecewise": stream, **body}

    def translate(self, value: Json, data: Json) -> Json:
        """`{"says", "why", "words": {"heard", "said"}}` in the standard shape."""
        choice = chat_choice(0, value["says"], WHY[value["why"]])
        return chat_completion(self.model, [choice], _usage(value["words"]))

    def reader(self, data: Json) -> ChunkReader:
        """A reader for the lines of a stream."""
        return ParrotReader(self.provider, self.model, usage=wants_usage(data))


class ParrotReader(JsonReader):
    """Lines of JSON: `{"piece"}` as often as it takes, then `{"why", "words"}`."""

    def __init__(self, provider: str, model: str, *, usage: bool) -> None:
        super().__init__(provider, Lines())
        self._chunks = Chunks(RouteType.LLM_V1_CHAT, model)
        self._role = {"role": "assistant"}
        self._wants_usage = usage

    def chunks(self, value: Json) -> Iterable[bytes]:
        """The chunks that one line stands for."""
        if "piece" in value:
            yield self._chunks.delta({**self._role, "content": value["piece"]})
            self._role = {}
            return
        yield self._chunks.delta({}, WHY[value["why"]])
        if self._wants_usage:
            yield self._chunks.usage(_usage(value["words"]))
        self.done = True


def _line(message: Json, at: str) -> Json:
    if message["role"] == "tool" or message.get("tool_calls"):
        raise InvalidRequest.field(at, "a parrot has no tools; leave the message out")
    return {"by": message["role"], "says": plain_text(message.get("content"), at, VENDOR)}


def _usage(words: Any) -> Json:
    return token_usage(words["heard"], words["said"])


provider = Parrot()
