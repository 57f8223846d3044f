"""Medians of rounds, and tables that line up."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

Rounds = dict[str, list[float]]
"""A measurement's name → what each round gave."""


@dataclass(frozen=True)
class Column:
    """One measurement, summed up over its rounds."""

    title: str
    measure: str
    over: Callable[[Sequence[float]], float] = median


GATEWAY_COLUMNS = (
    Column("CPU µs", "cpu_us"),
    Column("best round", "cpu_us", min),  # neighbours on the machine only ever add
    Column("req/s", "per_second"),
    Column("p50 ms", "p50_ms"),
    Column("p99 ms", "p99_ms"),
    Column("/v1 CPU µs", "v1_cpu_us"),
    Column("stream CPU ms", "stream_cpu_ms"),
    Column("paced CPU ms", "paced_cpu_ms"),
    Column("RSS MB", "resident_mb"),
    Column("start s", "start_seconds"),
)
SDK_COLUMNS = (
    Column("CPU µs, our gateway", "gateway"),
    Column("best batch", "gateway", min),
    Column("CPU µs, constant server", "floor"),
)
IMPORT_COLUMNS = (Column("import s", "seconds"),)


@dataclass
class Report:
    """All that one run found."""

    gateways: dict[str, Rounds] = field(default_factory=dict)
    sdks: dict[str, Rounds] = field(default_factory=dict)
    imports: dict[str, Rounds] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Name → why it was not measured."""

    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """The machine's load average before the run: above 0.5, somebody else is in the numbers."""

    def text(self) -> str:
        """The tables, for people."""
        parts = [
            f"{os.cpu_count()} cores, load {self.load:.1f} before the run, Python {platform.python_version()}; "
            "medians; CPU is user and system time",
            table("gateway: 1 KB chat, 1 worker, 64 connections", GATEWAY_COLUMNS, self.gateways),
            table("SDK: the caller's CPU for one 1 KB chat", SDK_COLUMNS, self.sdks),
            table("import", IMPORT_COLUMNS, self.imports),
            "\n".join(f"skipped: {name}: {reason}" for name, reason in self.skipped.items()),
        ]
        return "\n\n".join(part for part in parts if part)

    def data(self) -> dict[str, object]:
        """The same for machines: the median and the rounds of every measurement."""
        machine = {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": self.load,
        }
        return {
            "machine": machine,
            "gateways": _summaries(self.gateways),
            "sdks": _summaries(self.sdks),
            "imports": _summaries(self.imports),
            "skipped": self.skipped,
        }


def table(title: str, columns: Sequence[Column], rows: dict[str, Rounds]) -> str:
    """A row for each name, a column for each measurement that any has; a dash where one has none. Empty without rows."""
    columns = [column for column in columns if any(column.measure in rounds for rounds in rows.values())]
    if not rows:
        return ""
    cells = [[title, *(column.title for column in columns)]]
    cells += [[name, *(_cell(column, rounds) for column in columns)] for name, rounds in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(_line(row, widths) for row in cells)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell to the left, the others to the right."""
    right = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join([row[0].ljust(widths[0]), *right])


def _cell(column: Column, rounds: Rounds) -> str:
    """The column's number with three digits that matter, or a dash."""
    if column.measure not in rounds:
        return "–"
    value = column.over(rounds[column.measure])
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _summaries(rows: dict[str, Rounds]) -> dict[str, dict[str, dict[str, object]]]:
    """Medians beside the rounds that they are of."""
    return {
        name: {measure: {"median": median(values), "rounds": values} for measure, values in rounds.items()}
        for name, rounds in rows.items()
    }
