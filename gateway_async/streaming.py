"""A streamed answer in the hands of a caller."""

from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

Json = dict[str, Any]


class ChunkSource(Protocol):
    """Where chunks come from; its owner must close it."""

    async def next(self) -> Json | None:
        """The next chunk; None at the end.

        Raises:
            GatewayError: The stream failed, or broke off.
        """
        ...

    async def aclose(self) -> None:
        """Stop, and let go of the connection."""
        ...


class AsyncStream(Generic[T]):
    """The chunks of an answer, as they come.

    The call is made when the stream is first used. It closes by itself at its end or at an error; who leaves earlier
    closes it, or it goes on until it is forgotten:

        async with client.stream("chat", data) as stream:
            async for chunk in stream:
                ...

    `await client.stream(…)` makes the call at once, so that a refusal shows there; `async for chunk in
    client.stream(…)` works too.

    Raises:
        GatewayError: While iterating, if the stream fails after it began.
    """

    def __init__(self, open_: Callable[[], Awaitable[ChunkSource]], convert: Callable[[Json], T]) -> None:
        self._open = open_
        self._convert = convert
        self._source: ChunkSource | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __del__(self) -> None:
        # Who leaves `async for` early and forgets the stream: its loop closes it, as it would a generator.
        source, loop = getattr(self, "_source", None), getattr(self, "_loop", None)
        if source is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(lambda: loop.create_task(source.aclose()))

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._closed:
            raise StopAsyncIteration
        await self._start()
        assert self._source is not None
        try:
            chunk = await self._source.next()
            if chunk is not None:
                return self._convert(chunk)
        except BaseException:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the answer, also upstream, and let go of the connection. May be called twice."""
        self._closed = True
        source, self._source = self._source, None
        if source is not None:
            await source.aclose()

    async def __aenter__(self) -> Self:
        return await self._start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _start(self) -> Self:
        if self._source is None and not self._closed:
            import asyncio  # not for those who only import this module

            self._source = await self._open()
            with suppress(RuntimeError):  # under trio, where whoever opens a stream has to close it
                self._loop = asyncio.get_running_loop()
        return self
