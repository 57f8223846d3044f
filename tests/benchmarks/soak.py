"""Does the gateway grow? `python -m tests.benchmarks.soak [--requests 1000000] [--markdown FILE]`.

One worker with every policy on answers chats and streams, refuses calls, meets a provider that fails, and loses
callers in the middle of a stream. Its memory is read a hundred times on the way. Ends with 1 when the last tenth
needed more than 5 % above the second tenth, or when an answer was not as expected.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import mean

from . import page
from .children import Service, serve
from .cpu import cpu_seconds, resident_mb, tree
from .gateways import running
from .load import Connection
from .loop import run
from .report import Column, Report, Rows, Table, aligned, piped
from .soak_calls import GATEWAY, Kind, in_turn

GROWTH = 1.05
"""The last tenth may need so much of the second; in the first, pools and caches still fill."""

CONNECTIONS = 64
_SAMPLES = 100

TABLE = Table(
    "soak",
    "Tenth",
    (
        Column("resident MB", "mb", mean),
        Column("open files", "files", max),
        Column("req/s", "per_second"),
        Column("CPU µs", "cpu_us"),
    ),
)


@dataclass
class Found:
    """What a soak saw."""

    rows: Rows = field(default_factory=dict)
    """The tenth → its samples."""

    answers: Counter[str] = field(default_factory=Counter)
    """The kind of call and how it ended → how often."""

    wrong: Counter[str] = field(default_factory=Counter)
    """The same for those that should have ended otherwise."""

    def growth(self) -> float:
        """The memory of the last tenth over that of the second."""
        tenths = [mean(samples["mb"]) for samples in self.rows.values()]
        return tenths[-1] / tenths[1]

    def good(self) -> bool:
        """Whether it neither grew nor answered wrongly."""
        return self.growth() <= GROWTH and not self.wrong

    def text(self, table: str) -> str:
        """The table and all that was counted."""
        counted = "; ".join(f"{name} {count:,}" for name, count in sorted(self.answers.items()))
        lines = [
            table,
            f"Last tenth over second: {100 * (self.growth() - 1):+.2f} %.",
            f"Answers: {counted}.",
        ]
        lines += [f"Unexpected: {name}: {count:,} times" for name, count in self.wrong.most_common(20)]
        return "\n\n".join(lines)


class Caller(Connection):
    """A connection that asks one kind of call after the other."""

    kind: Kind

    def data_received(self, data: bytes) -> None:
        """A caller that leaves does so now, in the middle of its answer."""
        if self.kind.leaves:
            self.waits = False
            self.transport.abort()
            self.owner.answered(self, 0, [])
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is nobody's any more."""
        super().connection_lost(exc)
        assert isinstance(self.owner, Soak)
        self.owner.gone(self)


class Soak:
    """So many calls to a gateway, over many connections."""

    def __init__(self, service: Service, total: int) -> None:
        self.service = service
        self.unsent = self.unanswered = self.total = total
        self.found = Found()
        self.kinds = cycle(in_turn())
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.callers: set[Connection] = set()
        self.all_gone = asyncio.Event()
        self.connecting: set[asyncio.Task[None]] = set()
        self.began, self.cpu = time.perf_counter(), cpu_seconds(service.pid)

    async def run(self) -> Found:
        """Ask until all is answered."""
        for _ in range(CONNECTIONS):
            self.connect()
        await self.finished
        await asyncio.gather(*self.connecting)
        for caller in self.callers:
            caller.transport.abort()
        if self.callers:
            await self.all_gone.wait()
        return self.found

    def connect(self) -> None:
        """One more connection, which begins to ask."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.service.port)
        except OSError as error:
            self.finished.set_exception(error)
            return
        self.callers.add(caller)
        self.ask(caller)

    def ask(self, caller: Caller) -> None:
        """Send the next call, if any is left."""
        if self.unsent:
            self.unsent -= 1
            caller.kind = next(self.kinds)
            caller.send(caller.kind.request)

    def answered(self, connection: Connection, status: int, body: list[bytes]) -> None:
        """Judge an answer, and ask the next."""
        assert isinstance(connection, Caller)
        kind, whole = connection.kind, b"".join(body)
        ended = f"{kind.name}: {'left' if kind.leaves else status}"
        self.found.answers[ended] += 1
        if not kind.expects(status, whole):
            # Numbers differ from one answer to the next that says the same.
            self.found.wrong[f"{ended} {re.sub(rb'[0-9.]+', b'N', whole[:200])!r}"] += 1
        self._count()
        if kind.leaves:
            self.connect()
        else:
            self.ask(connection)

    def lost(self, connection: Connection, error: Exception | None) -> None:
        """A connection that the gateway closed before its answer was complete."""
        assert isinstance(connection, Caller)
        self.found.wrong[f"{connection.kind.name}: the server closed a connection ({error})"] += 1
        self._count()
        self.connect()

    def gone(self, caller: Caller) -> None:
        """A connection that is closed."""
        self.callers.discard(caller)
        if self.finished.done() and not self.callers:
            self.all_gone.set()

    def _count(self) -> None:
        """Take a sample when it is time for one."""
        self.unanswered -= 1
        done = self.total - self.unanswered
        sample = done * _SAMPLES // self.total
        if sample > (done - 1) * _SAMPLES // self.total:
            self._sample((sample - 1) * 10 // _SAMPLES + 1)
        if not self.unanswered:
            self.finished.set_result(None)

    def _sample(self, tenth: int) -> None:
        """Read memory, files, CPU time and speed."""
        now, cpu = time.perf_counter(), cpu_seconds(self.service.pid)
        calls = self.total / _SAMPLES
        sample = {
            "mb": resident_mb(self.service.pid),
            "files": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in tree(self.service.pid)),
            "per_second": calls / (now - self.began),
            "cpu_us": (cpu - self.cpu) / calls * 1e6,
        }
        self.began, self.cpu = now, cpu
        rounds = self.found.rows.setdefault(str(tenth), {})
        for name, value in sample.items():
            rounds.setdefault(name, []).append(value)
        if len(rounds["mb"]) * 10 == _SAMPLES:
            print(f"tenth {tenth}: {mean(rounds['mb']):.1f} MB", file=sys.stderr, flush=True)


async def soak(service: Service, total: int) -> Found:
    """Ask the gateway so many times."""
    return await Soak(service, total).run()


def main() -> int:
    """Soak and print; 1 when the gateway grew or answered wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description="Does it grow?")
    parser.add_argument("--requests", type=int, default=1_000_000, help="default: a million")
    parser.add_argument(
        "--markdown", metavar="FILE", help="write the table into this page as well, between its marks"
    )
    options = parser.parse_args()
    report = Report()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "tests.benchmarks.mock_upstream", "{port}"]
        upstream = stack.enter_context(serve(command, health="/", log=folder / "upstream.log"))
        log = Path(os.devnull)  # a million lines of the access log are nobody's
        up = stack.enter_context(running(GATEWAY, upstream.port, folder, log=log))
        found = run(soak(up.service, options.requests))
    report.versions["gateway"] = GATEWAY.version()
    head = f"{options.requests:,} requests. {report.circumstances()}"
    print(found.text(f"{head}\n\n{aligned(TABLE, found.rows)}"))
    if options.markdown:
        page.write(Path(options.markdown), "soak", found.text(f"{head}\n\n{piped(TABLE, found.rows)}"))
    return 0 if found.good() else 1


if __name__ == "__main__":
    sys.exit(main())
