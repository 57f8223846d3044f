"""What streams use, in tokens: asked for whatever the caller asked, or estimated where nobody says."""

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import orjson

from gateway_async.call import Answer, Call, Handler, StreamAnswer, UsageAsked
from gateway_async.errors import GatewayError, UnsupportedParameter, UpstreamRefused
from gateway_async.tokens import TOLD, Tokens, estimated, text_size, tokens_estimated, tokens_told

_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


def with_usage(inner: Handler) -> Handler:
    """The handler, whose streams tell `Call.on_usage` what they used."""
    return _Counted(inner)


class _Counted:
    """Answers calls; asks for the usage of streams where the caller does not, and keeps that from the caller."""

    def __init__(self, inner: Handler) -> None:
        self._inner = inner
        self._asks = True
        self._asked = False
        """The provider has answered a request that asks for it."""

    def __call__(self, call: Call) -> Awaitable[Answer | StreamAnswer]:
        return self._stream(call) if call.stream else self._inner(call)

    async def _stream(self, call: Call) -> Answer | StreamAnswer:
        data = call.data
        hides = not (data.get("stream_options") or {}).get("include_usage")
        answer = await (self._asking(call) if hides and self._asks else self._inner(call))
        if isinstance(answer, Answer):
            return answer

        def tell(used: Tokens) -> None:
            for told in call.on_usage:
                told(used)

        return MeteredStream(answer, data, hides=hides, tell=tell)

    async def _asking(self, call: Call) -> Answer | StreamAnswer:
        """The answer to a request that asks for the usage too, if the provider takes that."""
        data = call.data
        call.data = {**data, "stream_options": UsageAsked(data.get("stream_options") or {})}
        try:
            answer = await self._inner(call)
        except GatewayError as refused:
            if not self._may_be_why(refused):
                raise
        else:
            self._asked = True
            return answer
        finally:
            call.data = data
        answer = await self._inner(call)
        self._asks = False
        return answer

    def _may_be_why(self, refused: GatewayError) -> bool:
        """Whether the same request may pass that does not ask: some servers know no `stream_options`."""
        if isinstance(refused, UnsupportedParameter):
            return refused.parameter == "stream_options"
        if not isinstance(refused, UpstreamRefused) or refused.status not in (400, 422) or refused.refusal:
            return False
        return not self._asked or "stream_options" in refused.message


class MeteredStream:
    """A stream that tells what it used, once, when it ends in whatever way.

    Args:
        stream: The stream.
        request: The request, for an estimate.
        hides: Keep the chunk that says nothing but the usage from the caller, who did not ask for it.
        tell: Takes the tokens.
    """

    def __init__(
        self, stream: StreamAnswer, request: dict[str, Any], *, hides: bool, tell: Callable[[Tokens], None]
    ) -> None:
        self.headers = stream.headers
        self._stream = stream
        self._request = request
        self._hides = hides
        self._tell: Callable[[Tokens], None] | None = tell
        self._last_told = b""
        self._chunks = 0
        self._texts = 0
        self._frame = sys.maxsize
        """What the smallest chunk so far has beside its text, and all that came later have too."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        while True:
            try:
                batch = await self._stream.__anext__()
            except BaseException:
                self._end()
                raise
            if batch := self._noted(batch):
                return batch

    def _noted(self, batch: Sequence[bytes]) -> Sequence[bytes]:
        """The batch as its caller gets it; its chunks are counted, and how much text they hold."""
        frame, texts = self._frame, self._texts
        hidden: list[bytes] = []
        for chunk in batch:
            if TOLD in chunk:
                self._last_told = chunk
                if self._hides and _only_usage(chunk):
                    hidden.append(chunk)
                    continue
            size = len(chunk)
            if size < frame:
                frame = size - text_size(orjson.loads(chunk))
            texts += size - frame
        self._frame, self._texts = frame, texts
        if hidden:
            batch = [chunk for chunk in batch if chunk not in hidden]
        self._chunks += len(batch)
        return batch

    async def aclose(self) -> None:
        """Stop, and say what was used so far."""
        self._end()
        await self._stream.aclose()

    def _end(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            told = tokens_told(self._last_told)
            tell(told or estimated(tokens_estimated(self._request), self._streamed()))

    def _streamed(self) -> int:
        """An estimate: a chunk is a token, or more where it is longer than its frame by more than four bytes."""
        return max(self._chunks, -(-self._texts // 4))


def _only_usage(chunk: bytes) -> bool:
    return _NO_CHOICES.search(chunk) is not None and orjson.loads(chunk).get("choices") == []
