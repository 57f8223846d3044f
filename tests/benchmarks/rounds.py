"""Rounds in which everything under test takes its turn, so that the machine's noise meets all alike."""

import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from . import load
from .load import Job
from .mock_upstream import EVENTS
from .plan import Plan
from .report import Rounds

Measured = dict[str, float]

AT_ONCE: Mapping[str, Any] = MappingProxyType({"stream": True, "warmup": 32, "connections": 32})
"""Of a job: streams whose chunks come as fast as they can."""


def alternate(
    plan: Plan, turns: Mapping[str, Callable[[], Measured]], rows: dict[str, Rounds], skipped: dict[str, str]
) -> None:
    """Have each measured once in every round; what fails once is not measured again, and said to be skipped."""
    began = time.perf_counter()
    left = dict(turns)
    for number in range(plan.rounds):
        if number >= plan.enough_rounds and time.perf_counter() - began > plan.enough_seconds:
            break
        for name, measure in list(left.items()):
            say(f"round {number + 1} of {plan.rounds}: {name}")
            try:
                found = measure()
            except RuntimeError as error:
                skipped[name] = str(error)
                del left[name]
                continue
            rounds = rows.setdefault(name, {})
            for what, value in found.items():
                rounds.setdefault(what, []).append(value)


def chats(job: Job) -> Measured:
    """CPU, throughput and latency of chats over many connections."""
    return vars(load.apply(job))


def streams(job: Job) -> Measured:
    """CPU of a stream whose chunks come all at once, and of each of its chunks."""
    cost = load.apply(job)
    return {"stream_cpu_ms": cost.cpu_us / 1e3, "chunk_us": cost.cpu_us / EVENTS}


def say(what: str) -> None:
    """Progress, beside the report."""
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)
