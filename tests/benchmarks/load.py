"""The load: keep-alive connections that each send the next request as soon as an answer is complete.

`apply` runs a `Job` in a process of its own, so that its CPU time is nobody else's.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast

import httptools

from .children import output
from .cpu import cpu_seconds
from .loop import run
from .mock_upstream import EVENTS


@dataclass(frozen=True)
class Job:
    """What to ask of which server."""

    port: int
    pid: int
    """The server's process; the CPU time of its whole tree is taken."""

    path: str
    count: int
    """Requests that are measured."""

    warmup: int
    """Requests before them that are not."""

    model: str = ""
    """Named in the body where the path does not name the route."""

    stream: bool = False
    connections: int = 64


@dataclass(frozen=True)
class Result:
    """What one job cost."""

    cpu_us: float
    """CPU microseconds of the server per request."""

    per_second: float
    p50_ms: float
    p99_ms: float


class WrongAnswer(Exception):
    """The server answered something else than the mock upstream's answer, or hung up."""


def apply(job: Job) -> Result:
    """Run the job in a process of its own.

    Raises:
        RuntimeError: An answer was not as expected; the message says which and how.
    """
    return Result(**json.loads(output([sys.executable, "-m", __name__, json.dumps(asdict(job))])))


def chat_request(job: Job) -> bytes:
    """A chat request of 1 KB for the job's path, as it goes over the wire."""
    named = {"model": job.model} if job.model else {}
    stream = {"stream": True} if job.stream else {}
    body = json.dumps({**named, "messages": [{"role": "user", "content": "x" * 950}], **stream}).encode()
    head = f"POST {job.path} HTTP/1.1\r\nhost: 127.0.0.1:{job.port}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Load:
    """Connections that share a stock of requests. The first answer is read whole, the others must be as long."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.request = chat_request(job)
        self.expected = 0
        self.connections: list[Connection] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """Connect, warm up, measure."""
        loop = asyncio.get_running_loop()
        for _ in range(self.job.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.job.port)
            self.connections.append(connection)
        await self.burst(self.job.warmup)

        cpu, started = cpu_seconds(self.job.pid), time.perf_counter()
        await self.burst(self.job.count)
        elapsed = time.perf_counter() - started
        cpu = cpu_seconds(self.job.pid) - cpu

        cuts = statistics.quantiles(self.latencies, n=100)
        return Result(cpu / self.job.count * 1e6, self.job.count / elapsed, cuts[49] * 1e3, cuts[98] * 1e3)

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
            connection.send(self.request)

    def answered(self, connection: "Connection", status: int, body: list[bytes]) -> None:
        """Check an answer, note its latency, and keep the connection busy."""
        self.latencies.append(time.perf_counter() - connection.sent)
        length = sum(map(len, body))
        if not self.expected and self.complete(b"".join(body)):
            self.expected = length
        if status != 200 or length != self.expected:
            self.fail(f"{self.job.path} answered {status}: {b''.join(body)[:300]!r}")
            return
        self.unanswered -= 1
        if not self.unanswered:
            self.finished.set_result(None)
        self.next(connection)

    def complete(self, body: bytes) -> bool:
        """Whether the body is what the upstream sent: every event, or every character."""
        if self.job.stream:
            return body.count(b'"content"') >= EVENTS - 1 and EVENTS <= body.count(b"data:") <= EVENTS + 1
        return b"choices" in body and len(json.loads(body)["choices"][0]["message"]["content"]) > 700

    def fail(self, reason: str) -> None:
        """End the burst with an error."""
        if not self.finished.done():
            self.finished.set_exception(WrongAnswer(reason))


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.parser = httptools.HttpResponseParser(self)
        self.sent = 0.0
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection to write to."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up during a burst fails it."""
        self.load.fail(f"{self.load.job.path}: the server closed a connection ({exc})")

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below collect the answer."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.load.fail(f"{self.load.job.path}: not HTTP: {error.__context__ or error!r}")

    def send(self, request: bytes) -> None:
        """Send a request; its latency counts from here."""
        self.body = []
        self.sent = time.perf_counter()
        self.transport.write(request)

    def on_body(self, body: bytes) -> None:
        """A piece of the answer's body."""
        self.body.append(body)

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.load.answered(self, self.parser.get_status_code(), self.body)


async def measure(job: Job) -> Result:
    """Run the job on this loop."""
    return await Load(job).run()


if __name__ == "__main__":
    print(json.dumps(asdict(run(measure(Job(**json.loads(sys.argv[1])))))))
