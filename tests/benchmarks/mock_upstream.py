"""An OpenAI that answers at once: the upstream of every gateway under test, as cheap as Python makes it.

Run as `python -m tests.benchmarks.mock_upstream PORT`. Under `/paced/v1` instead of `/v1` the events of a stream
come one every 10 ms, as a model would send them; under `/v1` they come all at once. Under `/failing/v1` it answers
500.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any, cast

import httptools

from .loop import run

EVENTS = 101
"""Chunks in a stream; `[DONE]` follows them."""

PACE_SECONDS = 0.01

_HEAD = {"id": "chatcmpl-123", "created": 1_700_000_000, "model": "gpt-4o-mini"}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chat(content: str) -> bytes:
    """A chat answer with this content."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


CONTENT = ("No gateway would say this by itself. " * 40)[: 1024 - len(chat(""))]
"""What is said in every chat: by this one knows that an answer came from here."""

CHAT = chat(CONTENT)
"""A chat answer of 1 KB."""

WORDS = tuple(f"word{number:03} " for number in range(EVENTS - 1))
"""What the chunks of a stream say; the last says nothing and why it is the last."""


def _completion() -> bytes:
    """A text completion of 1 KB, more or less."""
    choice = {"index": 0, "text": "x" * 800, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_HEAD, "object": "text_completion", "choices": [choice], "usage": _USAGE}).encode()


def _embedding() -> bytes:
    """An embedding of 64 dimensions."""
    data = [{"object": "embedding", "index": 0, "embedding": [0.0125] * 64}]
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    return json.dumps(
        {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    ).encode()


def _answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """The whole HTTP answer with this body."""
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def _frames() -> Iterator[bytes]:
    """The events of a stream, `[DONE]` included, each an HTTP chunk."""
    for word in (*WORDS, ""):
        delta: dict[str, Any] = {"content": word} if word else {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if word else "stop"}
        chunk = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}
        yield _http_chunk(b"data: %b\n\n" % json.dumps(chunk).encode())
    yield _http_chunk(b"data: [DONE]\n\n")


def _http_chunk(data: bytes) -> bytes:
    """The data in chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


_CHAT, _COMPLETION, _EMBEDDING = _answer(CHAT), _answer(_completion()), _answer(_embedding())
_FAILURE = _answer(b'{"error": {"message": "down", "type": "server_error"}}', b"500 Internal Server Error")
_FRAMES = list(_frames())
_STREAM = b"".join([_STREAM_HEAD, *_FRAMES, b"0\r\n\r\n"])


class Upstream(asyncio.Protocol):
    """One keep-alive connection of a gateway. What the path does not name is a chat; GET is always 200."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to write to."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below answer."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The path of a new request."""
        self.url, self.body = url, b""

    def on_body(self, body: bytes) -> None:
        """A piece of the request's body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self.url.startswith(b"/failing"):
            self.transport.write(_FAILURE)
        elif self.url.endswith(b"/embeddings"):
            self.transport.write(_EMBEDDING)
        elif b'"stream":true' in self.body or b'"stream": true' in self.body:
            self.stream()
        else:
            self.transport.write(_CHAT if b"/chat" in self.url else _COMPLETION)

    def stream(self) -> None:
        """Send the events, at once or paced."""
        if self.url.startswith(b"/paced"):
            self.transport.write(_STREAM_HEAD)
            self.tick(asyncio.get_running_loop(), iter(_FRAMES))
        else:
            self.transport.write(_STREAM)

    def tick(self, loop: asyncio.AbstractEventLoop, frames: Iterator[bytes]) -> None:
        """Send the next event of a paced stream, and come back for the one after it."""
        if self.transport.is_closing():
            return
        if frame := next(frames, None):
            self.transport.write(frame)
            loop.call_later(PACE_SECONDS, self.tick, loop, frames)
        else:
            self.transport.write(b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Answer on this port until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(int(sys.argv[1])))
