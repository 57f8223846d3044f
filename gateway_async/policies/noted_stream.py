"""A stream whose end is noted: what holds something until an answer is over lets go of it then."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from gateway_async.call import StreamAnswer


class NotedStream:
    """A stream that tells of its end, once, in whatever way it comes.

    Args:
        stream: The stream.
        ended: Told why: None when it was read to its end, the failure, or `asyncio.CancelledError` when its reader left.
    """

    def __init__(self, stream: StreamAnswer, ended: Callable[[BaseException | None], None]) -> None:
        self.headers = stream.headers
        self._stream = stream
        self._ended: Callable[[BaseException | None], None] | None = ended

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as failed:
            self._end(failed)
            raise

    async def aclose(self) -> None:
        """Stop, and let go of what the stream holds."""
        try:
            await self._stream.aclose()
        finally:
            self._end(asyncio.CancelledError())

    def _end(self, failed: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(failed)
