"""The load: keep-alive connections that each send the next request as soon as an answer is complete.

`apply` runs a `Job` in a process of its own, so that its CPU time is nobody else's.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Protocol, cast

import httptools

from .children import output
from .cpu import cpu_seconds
from .loop import run
from .mock_upstream import CONTENT, WORDS

_CONTENT, _WORDS = CONTENT.encode(), [word.encode() for word in WORDS]


@dataclass(frozen=True)
class Job:
    """What to ask of which server."""

    port: int
    pid: int
    """The server's process; the CPU time of its whole tree is taken."""

    path: str
    count: int
    """Requests that are measured, at most."""

    warmup: int
    """Requests before them that are not."""

    model: str = ""
    """Named in the body where the path does not name the route."""

    stream: bool = False
    connections: int = 64
    seconds: float = 0.0
    """About so long is measured, as fast as the warm-up was, if `count` is not reached before; 0: all of them."""

    headers: dict[str, str] = field(default_factory=dict)
    routes: int = 1
    """So many routes are asked in turn; `{number}` in the path counts them."""


@dataclass(frozen=True)
class Result:
    """What one job cost."""

    cpu_us: float
    """CPU microseconds of the server per request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    count: int
    """Requests that were measured."""


class WrongAnswer(Exception):
    """The server answered something else than the mock upstream's answer, or hung up."""


def apply(job: Job) -> Result:
    """Run the job in a process of its own.

    Raises:
        RuntimeError: An answer was not as expected; the message says which and how.
    """
    return Result(**json.loads(output([sys.executable, "-m", __name__, json.dumps(asdict(job))])))


def chat_requests(job: Job) -> Iterator[bytes]:
    """Chat requests of 1 KB as they go over the wire, one for each route of the job, over and over."""
    named = {"model": job.model} if job.model else {}
    stream = {"stream": True} if job.stream else {}
    body = json.dumps({**named, "messages": [{"role": "user", "content": "x" * 950}], **stream}).encode()
    paths = [job.path.replace("{number}", str(number)) for number in range(job.routes)]
    return cycle([wire(path, body, job.headers) for path in paths])


def wire(path: str, body: bytes, more: Mapping[str, str]) -> bytes:
    """A request with a body of JSON and these headers more, as it goes over the wire."""
    headers = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def said(body: bytes, *, stream: bool) -> bool:
    """Whether an answer holds all that the mock upstream says: its content, or every word of a stream in order."""
    if not stream:
        return _CONTENT in body
    position = 0
    for word in _WORDS:
        position = body.find(word, position)
        if position < 0:
            return False
    return True


class Owner(Protocol):
    """Whose connections they are."""

    def answered(self, connection: "Connection", status: int, body: list[bytes]) -> None:
        """Called when an answer is complete."""

    def lost(self, connection: "Connection", error: Exception | None) -> None:
        """Called when the server closed before it was."""


class Load:
    """Connections that share a stock of requests. Every answer is looked into."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.requests = chat_requests(job)
        self.connections: list[Connection] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """Connect, warm up, measure."""
        await self.connect()
        began = time.perf_counter()
        await self.burst(self.job.warmup)
        count = self.measured(time.perf_counter() - began)
        await self.connect()

        cpu, began = cpu_seconds(self.job.pid), time.perf_counter()
        await self.burst(count)
        elapsed = time.perf_counter() - began
        cpu = cpu_seconds(self.job.pid) - cpu

        cuts = statistics.quantiles(self.latencies, n=100)
        return Result(cpu / count * 1e6, count / elapsed, cuts[49] * 1e3, cuts[98] * 1e3, count)

    async def connect(self) -> None:
        """Have all connections open: a server may have closed those that were idle while others were slow."""
        loop = asyncio.get_running_loop()
        self.connections = [each for each in self.connections if not each.transport.is_closing()]
        while len(self.connections) < self.job.connections:
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.job.port)
            self.connections.append(connection)

    def measured(self, elapsed: float) -> int:
        """How many requests to measure, when the warm-up took so long."""
        if not (self.job.seconds and self.job.warmup):
            return self.job.count
        fitting = round(self.job.seconds * self.job.warmup / elapsed)
        return min(self.job.count, max(fitting, self.job.connections, 16))

    async def burst(self, count: int) -> None:
        """Send `count` requests over all connections and wait for their answers."""
        self.unsent, self.unanswered = count, count
        self.latencies: list[float] = []
        self.finished = asyncio.get_running_loop().create_future()
        for connection in self.connections:
            self.next(connection)
        if count:
            await self.finished

    def next(self, connection: "Connection") -> None:
        """Send one more request over this connection, if any is left."""
        if self.unsent:
            self.unsent -= 1
            connection.send(next(self.requests))

    def answered(self, connection: "Connection", status: int, body: list[bytes]) -> None:
        """Check an answer, note its latency, and keep the connection busy."""
        self.latencies.append(time.perf_counter() - connection.sent)
        whole = b"".join(body)
        if status != 200 or not said(whole, stream=self.job.stream):
            self.fail(f"{self.job.path} answered {status}: {whole[:300]!r}")
            return
        self.unanswered -= 1
        if not self.unanswered:
            self.finished.set_result(None)
        self.next(connection)

    def lost(self, connection: "Connection", error: Exception | None) -> None:
        """A server that closes too early fails the burst."""
        self.fail(f"{self.job.path}: the server closed a connection ({error})")

    def fail(self, reason: str) -> None:
        """End the burst with an error."""
        if not self.finished.done():
            self.finished.set_exception(WrongAnswer(reason))


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.parser = httptools.HttpResponseParser(self)
        self.sent = 0.0
        self.waits = False
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to write to."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, if an answer was awaited."""
        if self.waits:
            self.owner.lost(self, exc)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below collect the answer."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.waits = False
            self.owner.lost(self, error)

    def send(self, request: bytes) -> None:
        """Send a request; its latency counts from here."""
        self.body, self.waits = [], True
        self.sent = time.perf_counter()
        self.transport.write(request)

    def on_body(self, body: bytes) -> None:
        """A piece of the answer's body."""
        self.body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.waits = False
        self.owner.answered(self, self.parser.get_status_code(), self.body)


async def measure(job: Job) -> Result:
    """Run the job on this loop."""
    return await Load(job).run()


if __name__ == "__main__":
    print(json.dumps(asdict(run(measure(Job(**json.loads(sys.argv[1])))))))
