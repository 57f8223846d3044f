"""A mock upstream that speaks as OpenAI does: a test says what it answers, and asks what it received.

It runs on a thread and a loop of its own, so that blocking tests and tests that run in a loop use it alike. An answer
is a script: bytes are sent as they stand, a number is a pause in seconds, `GATE` waits until the test opens it, `HOLD`
until the caller leaves, `CUT` breaks the connection off.
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


class Step(Enum):
    """What an answer's script does beside sending and pausing."""

    GATE = "wait until the test says so"
    HOLD = "wait until the caller leaves"
    CUT = "break the connection off"


GATE, HOLD, CUT = Step.GATE, Step.HOLD, Step.CUT

Script = Sequence[bytes | float | Step]


@dataclass(frozen=True)
class Reply:
    """An answer: whole, or with `script` a chunked one."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    before: float | Step = 0.0
    """A pause in seconds before the status line, or a step: GATE, or HOLD or CUT in its place."""

    script: Script | None = None


@dataclass
class Received:
    """One request as it came in; header names are lower-case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    left_at: float | None = None
    """When the caller closed the connection before the answer was whole, on the clock of `time.monotonic`."""

    answered: bool = False

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def json_reply(value: Any, status: int = 200, *, before: float | Step = 0.0, **headers: str) -> Reply:
    """A JSON answer; `retry_after="7"` becomes the header `retry-after`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(json.dumps(value).encode(), status, before=before, headers=named)


def error(status: int, message: str = "no", **headers: str) -> Reply:
    """An error as OpenAI words it; `retry_after="7"` becomes the header `retry-after`."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": "some_code"}}
    return json_reply(body, status, before=0.0, **headers)


def chat(text: str = "Hello there", *, before: float | Step = 0.0, **extra: Any) -> Reply:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-mock"}
    return json_reply({**head, "choices": [choice], "usage": usage, **extra}, before=before)


def delta(content: str | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    """The event of one chat chunk."""
    part = {**({} if content is None else {"content": content}), **more}
    choice = {"index": 0, "delta": part, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-mock"}
    return event({**head, "choices": [choice]})


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream(*script: bytes | float | Step) -> Reply:
    """An event stream."""
    return Reply(content_type="text/event-stream", script=script)


def words(*texts: str, pace: float = 0.0) -> Reply:
    """A whole streamed chat, a pause after each word."""
    script: list[bytes | float | Step] = []
    for text in texts:
        script += [delta(text), pace]
    return stream(*script, delta(finish="stop"), DONE)


class MockUpstream:
    """The server. Requests are answered with what `reply` was given last."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        """Connections that were made so far."""

        self._reply = chat()
        self._first: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[Any]] = set()
        self._steps: set[asyncio.Task[Any]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mock upstream", daemon=True)
        self._thread.start()
        self._ready.wait()

    def reply(self, reply: Reply) -> None:
        """Answer with this from now on, and forget the requests so far."""
        self._loop.call_soon_threadsafe(self._gate.clear)
        self._first.clear()
        self.answer_with(reply)
        self.received.clear()

    def answer_with(self, reply: Reply) -> None:
        """Answer with this from now on; the requests so far stay."""
        self._reply = reply

    def first(self, *replies: Reply) -> None:
        """Answer the next requests with these, each with one; then go on as before."""
        self._first.extend(replies)

    @property
    def open_connections(self) -> int:
        """Connections that are open now, idle ones too."""
        return len(self._connections)

    def open_gate(self) -> None:
        """Let the answers that wait at a GATE go on, and those to come."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def request(self, index: int = 0, *, timeout: float = 30.0) -> Received:
        """A request since the last `reply`, waited for."""
        self._until(lambda: len(self.received) > index, timeout, "no request came")
        return self.received[index]

    def left(self, request: Received, *, timeout: float = 30.0) -> float:
        """When the caller of a request left, waited for."""
        self._until(lambda: request.left_at is not None, timeout, "the caller did not leave")
        assert request.left_at is not None
        return request.left_at

    def sent(self, request: Received, *, timeout: float = 30.0) -> None:
        """Wait until the answer to a request is sent."""
        self._until(lambda: request.answered, timeout, "the request was not answered")

    def nobody_is_connected(self, *, timeout: float = 30.0) -> None:
        """Wait until every connection is closed: that a caller has closed one shows here a moment later."""
        self._until(lambda: not self._connections, timeout, "not every connection was closed")

    def close(self) -> None:
        """Stop, and break off what is under way."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _until(self, holds: Any, timeout: float, otherwise: str) -> None:
        with self._changed:
            if not self._changed.wait_for(holds, timeout):
                raise AssertionError(f"{otherwise} within {timeout:g} s")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop, self._gate = asyncio.Event(), asyncio.Event()

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(
                _Reader(limit=2**26, loop=self._loop), self._accept, self._loop
            )

        server = await self._loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        await asyncio.sleep(0)  # who was taken in this very moment is known then
        while tasks := self._connections | self._steps:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, _Reader)
        self.connections += 1
        task = self._loop.create_task(self._converse(reader, writer))
        self._connections.add(task)
        task.add_done_callback(lambda done: self._note(lambda: self._connections.discard(done)))

    async def _converse(self, reader: "_Reader", writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read(reader):
                reply = self._first.popleft() if self._first else self._reply
                self._note(lambda request=request: self.received.append(request))
                answer = self._step(_answer(reply, writer, self._gate))
                gone = self._step(reader.ended.wait())
                done, _ = await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
                if answer not in done or isinstance(answer.exception(), ConnectionError):
                    answer.cancel()
                    self._note(lambda request=request: setattr(request, "left_at", time.monotonic()))
                    return
                gone.cancel()
                if not answer.result():
                    return
                self._note(lambda request=request: setattr(request, "answered", True))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # what was not sent yet would hold it open
            raise
        finally:
            writer.close()

    def _step(self, step: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(step)
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        return task

    def _note(self, change: Any) -> None:
        with self._changed:
            change()
            self._changed.notify_all()


class _Reader(asyncio.StreamReader):
    """A reader that tells when the other side is gone without reading: what comes may be the next request.

    Attributes:
        ended: Set when nothing more comes.
    """

    def __init__(self, *, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self.ended = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.ended.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.ended.set()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    start, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(start.split(" ")[1], headers, body)


async def _answer(reply: Reply, writer: asyncio.StreamWriter, gate: asyncio.Event) -> bool:
    """Send an answer; whether the connection may go on."""
    if not await _go_on(reply.before, writer, gate):
        return False
    head = [f"HTTP/1.1 {reply.status} Some Reason", f"content-type: {reply.content_type}"]
    head += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.script is None:
        length = [] if "content-length" in reply.headers else [f"content-length: {len(reply.body)}"]
        writer.write("\r\n".join([*head, *length, "", ""]).encode("latin-1") + reply.body)
        await writer.drain()
        return int(reply.headers.get("content-length", len(reply.body))) == len(reply.body)
    writer.write("\r\n".join([*head, "transfer-encoding: chunked", "", ""]).encode("latin-1"))
    for step in reply.script:
        if not isinstance(step, bytes):
            if not await _go_on(step, writer, gate):
                return False
        elif step:
            writer.write(b"%x\r\n%b\r\n" % (len(step), step))
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _go_on(step: float | Step, writer: asyncio.StreamWriter, gate: asyncio.Event) -> bool:
    """Do a step that sends nothing; whether more comes after it."""
    if step is CUT:
        await writer.drain()
        return False
    if step is GATE:
        await gate.wait()
    elif isinstance(step, Step):
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(step)
    return True


@contextmanager
def mock_upstream() -> Iterator[MockUpstream]:
    """A mock upstream that is stopped on leaving."""
    upstream = MockUpstream()
    try:
        yield upstream
    finally:
        upstream.close()
