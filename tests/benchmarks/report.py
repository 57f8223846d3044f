"""Medians of rounds, and tables that line up: for a terminal, for a page, for machines."""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Rounds = dict[str, list[float]]
"""A measurement's name → what each round gave."""

Rows = dict[str, Rounds]


@dataclass(frozen=True)
class Column:
    """One measurement, summed up over its rounds."""

    title: str
    measure: str
    over: Callable[[Sequence[float]], float] = median
    beyond: str = ""
    """The row whose value in the same round is taken off; empty: none."""

    def value(self, name: str, rows: Rows) -> float | None:
        """The number of a row; None when there is none."""
        values = rows[name].get(self.measure)
        if not values or name == self.beyond:
            return None
        if self.beyond:
            base = rows.get(self.beyond, {}).get(self.measure, [])
            values = [value - other for value, other in zip(values, base, strict=False)]
        return self.over(values) if values else None


@dataclass(frozen=True)
class Table:
    """A part of what was measured."""

    part: str
    """Of `Report.parts`."""

    title: str
    columns: tuple[Column, ...]


DIRECT = "no gateway"
"""The row of the upstream asked directly."""

TABLES = (
    Table(
        "gateways",
        "Requests: 1 KB chats",
        (
            Column("CPU µs", "cpu_us"),
            Column("best round", "cpu_us", min),  # neighbours on the machine only ever add
            Column("req/s", "per_second"),
            Column("p50 ms", "p50_ms"),
            Column("p99 ms", "p99_ms"),
            Column("alone: p50 ms", "alone_p50_ms"),
            Column("added p50", "alone_p50_ms", beyond=DIRECT),
            Column("added p99", "alone_p99_ms", beyond=DIRECT),
        ),
    ),
    Table(
        "gateways",
        "Streams: 101 chunks",
        (
            Column("at once: CPU ms", "stream_cpu_ms"),
            Column("µs a chunk", "chunk_us"),
            Column("beside the request", "more_chunk_us"),
            Column("10 ms apart: CPU ms", "paced_cpu_ms"),
            Column("µs a chunk", "paced_chunk_us"),
        ),
    ),
    Table(
        "memory",
        "Memory and start-up",
        (
            Column("start s", "start_seconds"),
            Column("start CPU s", "start_cpu_seconds"),
            Column("MB at start", "started_mb"),
            Column("MB after the rounds", "rounds_mb"),
            Column("MB after", "soaked_mb"),
            Column("chats more", "soaked"),
        ),
    ),
    Table(
        "policies",
        "What each policy costs",
        (
            Column("CPU µs", "cpu_us"),
            Column("best round", "cpu_us", min),
            Column("more µs", "cpu_us", beyond="bare"),
            Column("stream CPU ms", "stream_cpu_ms"),
            Column("more ms", "stream_cpu_ms", beyond="bare"),
        ),
    ),
    Table(
        "routes",
        "Many routes",
        (
            Column("CPU µs", "cpu_us"),
            Column("best round", "cpu_us", min),
            Column("start s", "start_seconds"),
            Column("start CPU s", "start_cpu_seconds"),
            Column("MB at start", "started_mb"),
        ),
    ),
    Table(
        "sdks",
        "SDK: the caller's CPU for one 1 KB chat",
        (
            Column("CPU µs, our gateway", "gateway"),
            Column("best batch", "gateway", min),
            Column("CPU µs, constant server", "floor"),
        ),
    ),
    Table("imports", "Import", (Column("s", "seconds"),)),
)


@dataclass
class Report:
    """All that one run found."""

    parts: dict[str, Rows] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Name → why it was not measured."""

    versions: dict[str, str] = field(default_factory=dict)
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """The machine's load average before the run: above 0.5, somebody else is in the numbers."""

    day: str = field(default_factory=lambda: time.strftime("%Y-%m-%d"))

    def rows(self, part: str) -> Rows:
        """The rows of a part, to fill."""
        return self.parts.setdefault(part, {})

    def text(self) -> str:
        """The tables, for people at a terminal."""
        return self._with(aligned)

    def markdown(self) -> str:
        """The same for a page."""
        return self._with(piped)

    def _with(self, drawn: Callable[[Table, Rows], str]) -> str:
        """All of it, each table drawn like this."""
        tables = [drawn(table, self.parts.get(table.part, {})) for table in TABLES]
        skipped = "\n\n".join(f"Skipped: {name}: {reason}" for name, reason in self.skipped.items())
        return "\n\n".join(part for part in [self.circumstances(), *tables, skipped] if part)

    def circumstances(self) -> str:
        """When, where and of what."""
        versions = "".join(f", {name} {version}" for name, version in self.versions.items())
        return (
            f"{self.day}: {os.cpu_count()} cores, load {self.load:.1f} before and "
            f"{os.getloadavg()[0]:.1f} after the run, "
            f"Python {platform.python_version()}{versions}."
        )

    def data(self) -> dict[str, object]:
        """The same for machines: the median and the rounds of every measurement."""
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": self.load}
        parts = {part: _summaries(rows) for part, rows in self.parts.items()}
        return {
            "day": self.day,
            "machine": machine,
            "versions": self.versions,
            **parts,
            "skipped": self.skipped,
        }


def aligned(table: Table, rows: Rows) -> str:
    """A row for each name, a column for each measurement that any has, a dash where one has none. Empty without rows."""
    cells = _cells(table, rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def piped(table: Table, rows: Rows) -> str:
    """The same as a table in Markdown."""
    cells = _cells(table, rows)
    if not cells:
        return ""
    rule = ["---", *("---:" for _ in cells[0][1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [cells[0], rule, *cells[1:]])


def _cells(table: Table, rows: Mapping[str, Rounds]) -> list[list[str]]:
    """The table's texts, its head first; none without rows."""
    rows = dict(rows)
    columns = [
        column for column in table.columns if any(column.measure in rounds for rounds in rows.values())
    ]
    if not columns:
        return []
    head = [table.title, *(column.title for column in columns)]
    return [head, *([name, *(_cell(column.value(name, rows)) for column in columns)] for name in rows)]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right."""
    right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join([row[0].ljust(widths[0]), *right])


def _cell(value: float | None) -> str:
    """The number with three digits that matter, or a dash."""
    if value is None:
        return "–"
    size = abs(value)
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def _summaries(rows: Rows) -> dict[str, dict[str, dict[str, object]]]:
    """Medians beside the rounds that they are of."""
    return {
        name: {measure: {"median": median(values), "rounds": values} for measure, values in rounds.items()}
        for name, rounds in rows.items()
    }
