"""The ways to a gateway, all called alike: the async client, the blocking one, and the engine in this process."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import anyio.to_thread

from gateway_sync import GatewayClient


def blocking_client(*args: Any, **settings: Any) -> "Awaited":
    """The blocking client, to be awaited."""
    return Awaited(GatewayClient(*args, **settings))


class Awaited:
    """A blocking client that is called like the async one: each call runs on a thread, while the loop goes on."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found):
            return found
        if name.startswith("stream"):
            return lambda *args: AwaitedStream(functools.partial(found, *args))
        return functools.partial(_on_thread, found)

    async def aclose(self) -> None:
        """Close it."""
        await _on_thread(self.client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AwaitedStream:
    """A blocking stream that is read like an async one."""

    def __init__(self, open_: Callable[[], Any]) -> None:
        self._open = open_
        self._stream: Any = None
        self._chunks: Iterator[Any] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await self._start()
        chunk = await _on_thread(next, self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close it."""
        if self._stream is not None:
            await _on_thread(self._stream.close)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _start(self) -> None:
        if self._stream is None:
            self._stream = await _on_thread(lambda: self._open().__enter__())
            self._chunks = iter(self._stream)


async def _on_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return await anyio.to_thread.run_sync(functools.partial(call, *args, **kwargs))


async def all_of(stream: Any) -> list[Any]:
    """Every chunk of a stream."""
    return [chunk async for chunk in stream]


async def read_into(got: list[Any], stream: Any) -> None:
    """Add every chunk of a stream to what was got before; what came before a failure stays."""
    async for chunk in stream:
        got.append(chunk)


async def make(client: Any, call: str, *arguments: Any) -> Any:
    """What a call gives; all chunks of a stream."""
    result = getattr(client, call)(*arguments)
    return await (all_of(result) if call.startswith("stream") else result)
