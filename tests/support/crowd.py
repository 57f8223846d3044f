"""Many callers at once, each with a connection of its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.support.raw import request
from tests.support.server import Server


async def crowd(servers: Sequence[Server], path: str, body: Any, *, count: int) -> AsyncIterator[int | None]:
    """Call so many times at once, each server as often as the others.

    Yields:
        The status of each answer as it comes; None where the connection broke before there was one.
    """
    data = request(
        f"POST {path}",
        b"content-type: application/json",
        b"connection: close",
        body=json.dumps(body).encode(),
    )
    calls = [_status(servers[number % len(servers)].port, data) for number in range(count)]
    for answer in asyncio.as_completed(calls):
        yield await answer


async def _status(port: int, data: bytes) -> int | None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            answer = await reader.read()
        finally:
            writer.close()
    except ConnectionError:
        return None
    return int(answer.split(b" ", 2)[1]) if answer else None
