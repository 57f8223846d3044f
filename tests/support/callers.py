"""Callers who keep their connections, and send the next request when the one before is answered."""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.support.raw import request
from tests.support.server import Server


class Callers:
    """So many callers of a server, from the beginning of an `async with` to its end.

    A caller makes another connection when the server has announced the end of the one it has, or has broken it; it
    stops when the server can't be reached any more.

    Args:
        server: The server.
        path: What they post to.
        body: What they post.
        count: How many they are.

    Attributes:
        answered: Answers so far that were as they should be.
        failed: What went wrong with each request that was not answered so.
    """

    def __init__(self, server: Server, path: str, body: Any, *, count: int) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._port = server.port
        self._request = request(
            f"POST {path}", b"content-type: application/json", body=json.dumps(body).encode()
        )
        self._count = count
        self._done = False
        self._tasks: list[asyncio.Task[None]] = []

    async def more(self, answers: int, timeout: float = 60) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.answered + answers
        await self.until(lambda: self.answered >= wanted, timeout)

    async def until(self, holds: Callable[[], bool], timeout: float = 60) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(timeout):
            while not holds():  # noqa: ASYNC110 - what tests wait for has no event
                await asyncio.sleep(0.01)

    async def stopped(self, timeout: float = 60) -> None:
        """Wait until every caller has found that the server is gone."""
        async with asyncio.timeout(timeout):
            await asyncio.gather(*self._tasks)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.wait(self._tasks, timeout=60)

    async def _call(self) -> None:
        while not self._done:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionRefusedError:
                return
            try:
                while await self._ask(reader, writer):
                    pass
            except (asyncio.IncompleteReadError, ConnectionError) as broken:
                self.failed.append(repr(broken))
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send a request and read its answer; whether another follows on the connection."""
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if head.startswith(b"http/1.1 200 "):
            self.answered += 1
        else:
            self.failed.append(f"{head!r} {body[:200]!r}")
        return not self._done and b"\r\nconnection: close\r\n" not in head
