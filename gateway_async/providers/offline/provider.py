"""A provider that needs no key and no network: answers that reflect the input, for trying things out and for tests.

The same request always gets the same answer. Its tokens are words and punctuation marks; counts, `max_tokens`, `stop`
and `n` are kept as a real model keeps them. Tools, when they are given, are called with arguments made from their
JSON schema; embeddings are unit vectors in which texts with common words are near.
"""

import asyncio
from collections.abc import Iterator, Sequence

import orjson

from gateway_async.call import Answer, Call, Headers, StreamAnswer
from gateway_async.config import Model, RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers.offline.embeddings import DIMENSIONS, embeddings
from gateway_async.providers.offline.reply import Reply
from gateway_async.providers.offline.text import inputs_of, texts_of, token_lists

MOST_TEXT = 2**20
"""Characters of text, or tokens, that a request may hold. What takes long here keeps every other caller waiting."""

MOST_CHOICES = 128
MOST_STOPS = 16
MOST_NUMBERS = 2**20
"""Numbers in all the embeddings of an answer together."""


class Offline:
    """The provider `offline`."""

    name = "offline"
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> "OfflineModel":
        """The model; its name is only repeated."""
        return OfflineModel(model.name or "offline")


class OfflineModel:
    """A `Responder` for every type of route."""

    def __init__(self, model: str) -> None:
        self.model = model

    async def respond(self, call: Call) -> Answer | StreamAnswer:
        """The answer, or a stream of it, word by word."""
        _check_size(call)
        if call.kind is RouteType.LLM_V1_EMBEDDINGS:
            return Answer(orjson.dumps(embeddings(call.data, self.model)))
        reply = Reply(call.kind, call.data, self.model)
        if call.stream:
            return OfflineStream(reply.chunks())
        return Answer(orjson.dumps(reply.whole()))


class OfflineStream:
    """A `StreamAnswer` over chunks that are known already."""

    def __init__(self, chunks: Iterator[Json]) -> None:
        self.headers: Headers = ()
        self._chunks = chunks

    def __aiter__(self) -> "OfflineStream":
        return self

    async def __anext__(self) -> Sequence[bytes]:
        await asyncio.sleep(0)  # others get their turn between two words
        for chunk in self._chunks:
            return [orjson.dumps(chunk)]
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Forget the rest."""
        self._chunks = iter(())


def _check_size(call: Call) -> None:
    """Accept what the offline model answers in no time."""
    data, chat = call.data, call.kind is RouteType.LLM_V1_CHAT
    if call.kind is RouteType.LLM_V1_EMBEDDINGS:
        texts = inputs_of(data)
        _check_text(sum(map(len, texts)))
        if len(texts) * (data.get("dimensions") or DIMENSIONS) > MOST_NUMBERS:
            problem = (
                f"the offline model makes {MOST_NUMBERS} numbers in all at most; embed fewer texts at once"
            )
            raise InvalidRequest.field("dimensions" if "dimensions" in data else "input", problem)
        return
    size = sum(map(len, texts_of(data, chat=chat)))
    _check_text(size if chat else size + sum(map(len, token_lists(data["prompt"]))))
    if (data.get("n") or 1) > MOST_CHOICES:
        raise InvalidRequest.field("n", f"the offline model draws {MOST_CHOICES} answers at most")
    if isinstance(stop := data.get("stop"), list) and len(stop) > MOST_STOPS:
        raise InvalidRequest.field("stop", f"the offline model takes {MOST_STOPS} texts at most")


def _check_text(size: int) -> None:
    if size > MOST_TEXT:
        raise InvalidRequest(
            f"the request is too long: the offline model reads {MOST_TEXT} characters at most"
        )


provider = Offline()
