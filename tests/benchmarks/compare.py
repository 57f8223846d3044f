"""Our gateway beside its peers: requests, streams, latency, memory, start-up."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import load
from .children import DidNotStart, Service
from .cpu import resident_mb
from .gateways import BARE, FLOOR, GUARDED, RELAY, Gateway, Running, start
from .mock_upstream import EVENTS
from .peers import PEERS
from .plan import Plan
from .report import DIRECT, Report
from .rounds import AT_ONCE, Measured, alternate, chats, say, streams

GATEWAYS = (GUARDED, BARE, *PEERS, RELAY, FLOOR)

_UPSTREAM = Gateway(DIRECT, (), path="{base}/chat/completions")
"""The mock upstream itself, asked without a gateway between."""


def measure_gateways(plan: Plan, report: Report, upstream: Service, folder: Path) -> None:
    """Every gateway that is asked for and is there, all up at the same time."""
    wanted = [gateway for gateway in GATEWAYS if plan.includes(f"gateways: {gateway.name}")]
    if not wanted:
        return
    with ExitStack() as stack:
        found = {}
        for gateway in wanted:
            say(f"start: {gateway.name}")
            try:
                found[gateway.name], cost = start(gateway, upstream.port, folder, stack, times=plan.starts)
            except DidNotStart as error:
                report.skipped[gateway.name] = str(error)
                continue
            report.rows("memory")[gateway.name] = cost
            if version := gateway.version():
                report.versions[gateway.name] = version
        direct = Running(_UPSTREAM, upstream, upstream.port)
        for name, up in found.items():
            say(f"warm up: {name}")
            _warm_up(plan, up)
        turns = {name: partial(_round, plan, up) for name, up in {DIRECT: direct, **found}.items()}
        alternate(plan, turns, report.rows("gateways"), report.skipped)
        turns = {name: partial(_memory, plan, up) for name, up in found.items()}
        alternate(replace(plan, rounds=1), turns, report.rows("memory"), report.skipped)


def _warm_up(plan: Plan, up: Running) -> None:
    """Let what compiles while it runs do so. What fails here fails in the first round too, and is told then."""
    with suppress(RuntimeError):
        load.apply(up.job("chat", 100_000, seconds=plan.warm_seconds))
        if up.gateway.streams:
            load.apply(up.job("chat", 10_000, seconds=plan.warm_seconds / 2, **AT_ONCE))


def _round(plan: Plan, up: Running) -> Measured:
    """Chats over many connections, chats of one caller alone, streams at once, paced streams."""
    found = chats(up.job("chat", 100_000, seconds=plan.seconds))
    alone = load.apply(up.job("chat", plan.alone, warmup=20, connections=1))
    found |= {"alone_p50_ms": alone.p50_ms, "alone_p99_ms": alone.p99_ms}
    if not up.gateway.streams:
        return found
    found |= streams(up.job("chat", 10_000, seconds=plan.seconds, **AT_ONCE))
    found["more_chunk_us"] = (found["stream_cpu_ms"] * 1e3 - found["cpu_us"]) / EVENTS
    if plan.paced:
        # Not warmed up: it takes a second, and the streams before it did that.
        cost = load.apply(up.job("paced", plan.paced, warmup=0, connections=plan.paced, stream=True))
        found |= {"paced_cpu_ms": cost.cpu_us / 1e3, "paced_chunk_us": cost.cpu_us / EVENTS}
    return found


def _memory(plan: Plan, up: Running) -> Measured:
    """Resident megabytes after the rounds, and after many chats more."""
    found = {"rounds_mb": resident_mb(up.service.pid)}
    if plan.soaked:
        done = load.apply(up.job("chat", plan.soaked, seconds=plan.soak_seconds))
        found |= {"soaked_mb": resident_mb(up.service.pid), "soaked": done.count}
    return found
