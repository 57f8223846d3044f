"""Answers that are none: a provider's filter has taken what the model said. For routes that ask another provider then."""

from collections.abc import Callable, Sequence
from typing import Self

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.errors import UpstreamRefused


class Declining:
    """Refuses where a filter has taken the answer, or a stream begins so; the call keeps what is left of an answer.

    Args:
        inner: Asks the provider.
        is_declined: Whether an answer, or a chunk of a stream, is none.
    """

    def __init__(self, inner: Handler, is_declined: Callable[[bytes], bool]) -> None:
        self._inner = inner
        self._is_declined = is_declined

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        answer = await self._inner(call)
        if isinstance(answer, Answer):
            if self._is_declined(answer.body):
                call.leftover = answer
                raise _declined(answer)
            return answer
        try:
            first = await anext(answer, ())
            if any(map(self._is_declined, first)):
                raise _declined(answer)
        except BaseException:
            await answer.aclose()
            raise
        return _Begun(answer, first)


def _declined(answer: Answer | StreamAnswer) -> UpstreamRefused:
    error = UpstreamRefused("the provider's content filter has taken the answer", upstream_status=200)
    error.refusal, error.headers = "content_policy", answer.headers
    return error


class _Begun:
    """A stream whose first batch was looked at: a `StreamAnswer`."""

    def __init__(self, stream: StreamAnswer, first: Sequence[bytes]) -> None:
        self.headers = stream.headers
        self._stream = stream
        self._first = first

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        first, self._first = self._first, ()
        return first or await self._stream.__anext__()

    async def aclose(self) -> None:
        """Stop, and let go of what the stream holds."""
        await self._stream.aclose()
