"""The OpenAI format where a vendor departs from it: its answers and chunks are brought into the standard shape."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import orjson

from gateway_async.call import UsageAsked
from gateway_async.providers._answers import MALFORMED, wants_usage
from gateway_async.providers._base import Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._errors import invalid
from gateway_async.providers.openai_format.adapter import OpenAIAdapter
from gateway_async.providers.openai_format.answer import standard_answer
from gateway_async.providers.openai_format.reader import ChatReader, CompletionReader
from gateway_async.sse import Event


class VariantAdapter(OpenAIAdapter):
    """An `OpenAIAdapter` whose vendor says what the body is, and what its answers mean."""

    __slots__ = ()

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        request = super().request(self.body(data), stream=stream)
        dropped = tuple(self.left_out(data))
        return replace(request, dropped=dropped) if dropped else request

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The answer in the standard shape."""
        return standard_answer(response.body, self.provider, self.kind, self.model or "", mend=self._mended)

    def reader(self, data: Json) -> ChatReader:
        """A reader that brings each chunk into the standard shape."""
        return VariantReader(self, include_usage=caller_wants_usage(data))

    def refuse_error(self, value: Json) -> None:
        """Raise the error that stands where an answer or a chunk should, in a form that only this vendor has."""

    def body(self, data: Json) -> Json:
        """The request in the vendor's form, without the model's name.

        Raises:
            InvalidRequest: The vendor can't carry something in the request; the error names it.
        """
        raise NotImplementedError

    def left_out(self, data: Json) -> Iterable[str]:
        """Where a request asks for something that its body does not say, and that it can do without."""
        return ()

    def mend(self, value: Json) -> None:
        """Change what departs from OpenAI's format in an answer, or in a chunk of a stream.

        Raises:
            UpstreamError: It reports an error.
            KeyError: And the others of `MALFORMED`: it is not what the API promises.
        """
        raise NotImplementedError

    def _mended(self, value: Json) -> bool:
        self.refuse_error(value)
        try:
            self.mend(value)
        except MALFORMED:
            invalid(self.provider, "its answer lacks what it should have")
        return True


class VariantReader(ChatReader):
    """Chunks of a vendor's own form. What was used comes in a last chunk of its own for those who asked for one.

    Args:
        adapter: The adapter of the route.
        include_usage: The caller asked what was used.
    """

    def __init__(self, adapter: VariantAdapter, *, include_usage: bool) -> None:
        super().__init__(adapter.provider, adapter.model or "")
        self._mend, self._refuse_error = adapter.mend, adapter.refuse_error
        self._include_usage = include_usage
        self._usage: Json | None = None

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunk of an event; after the last one what is owed."""
        try:
            yield from super().event(event)
            if self.done:
                yield from self._owed()
        except MALFORMED:
            invalid(self.provider, "an event of its stream lacks what it should have")

    def end(self) -> Iterable[bytes]:
        """The last chunks, and what is owed."""
        yield from super().end()
        yield from self._owed()

    def json(self, event: Event) -> Json:
        """The event's data, if it is no error."""
        value = super().json(event)
        self._refuse_error(value)
        return value

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape."""
        self._mend(value)
        self._tell_role(value)
        used = value.get("usage") if self._include_usage else None
        if used and value["choices"]:
            del value["usage"]
        super().standard_chunk(value)
        if used:
            self._usage = {**value, "choices": [], "usage": used} if value["choices"] else None
        return True

    def _owed(self) -> Iterable[bytes]:
        """What was used, as one chunk though an upstream counts in every one."""
        if self._usage is not None:
            yield orjson.dumps(self._usage)
            self._usage = None

    def _tell_role(self, value: Json) -> None:
        """The first chunk of each answer says whose it is, no other: who adds the chunks up adds it as well."""
        for position, (choice, delta) in enumerate(choices_of(value)):
            if choice.get("index", position) in self._begun:
                delta.pop("role", None)
            else:
                delta["role"] = "assistant"


class VariantCompletionReader(VariantReader, CompletionReader):
    """The same for completions, whose texts are nobody's."""

    def _tell_role(self, value: Json) -> None:
        pass


def caller_wants_usage(data: Json) -> bool:
    """Whether the caller wants a last chunk with the usage. Who does not keeps what the vendor puts into another."""
    return wants_usage(data) and not isinstance(data["stream_options"], UsageAsked)


def choices_of(value: Json) -> Iterator[tuple[Json, Json]]:
    """Each choice of an answer or a chunk that has a message or a delta, with that."""
    for choice in value.get("choices") or ():
        for name in ("message", "delta"):
            if choice.get(name) is not None:
                yield choice, choice[name]
                break
