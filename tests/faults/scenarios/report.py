"""What a scenario found."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.storm.process import ChaosProcess
from tests.faults.storm.tally import Tally


@dataclass
class Report:
    """Facts to print, and problems that fail it."""

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def hold(self, holds: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem)

    def hold_all_right(self, tally: Tally, name: str = "requests") -> None:
        """Note how many there were, and every kind of failure among them."""
        self.facts[name] = f"{tally.count}, {tally.failed.total()} failed"
        self.hold(not tally.failed, f"{name}: {dict(tally.failed)}\n{tally.explain()}")


@dataclass(frozen=True)
class Place:
    """Where a scenario runs."""

    folder: Path
    chaos: ChaosProcess


Scenario = Callable[[Place, int], Report]
"""Runs with about so many requests."""


async def counted(tally: Tally, count: int) -> None:
    """Wait until so many requests were answered."""
    async with asyncio.timeout(600):
        while tally.count < count:  # noqa: ASYNC110 - the load tells nobody
            await asyncio.sleep(0.01)


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.0f} ms"
