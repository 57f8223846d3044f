"""Measure everything in one run on one machine: `python -m tests.benchmarks [--quick] [--json FILE] [--only NAME]`.

The gateways are all up at the same time and take turns, so that the machine's noise meets them alike.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import load
from .children import DidNotStart, Service, absent, output, serve
from .cpu import resident_mb
from .gateways import FLOOR, GATEWAYS, OURS, PEER_PYTHON, Gateway, configuration
from .report import Report
from .sdk import sdks

ENOUGH_ROUNDS, ENOUGH_SECONDS = 3, 60.0
"""On a busy machine, which takes longer, the rounds end once there were so many in so long."""


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int
    requests: int
    streams: int
    calls: int
    """Of an SDK, in each batch."""

    thorough: bool
    """Measure also the OpenAI paths, paced streams, and the SDKs against the constant server."""

    only: str
    """Measure what has this in its name; empty: everything."""

    def includes(self, name: str) -> bool:
        """Whether this row was asked for."""
        return self.only.casefold() in name.casefold()


@dataclass(frozen=True)
class Running:
    """A gateway under test that is up."""

    gateway: Gateway
    service: Service


def main() -> int:
    """Measure and print; 1 when nothing could be measured."""
    options = _options()
    plan = _plan(quick=options.quick, only=options.only)
    report = Report()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        up = start(plan, report, stack, folder)
        began = time.perf_counter()
        for number in range(plan.rounds):
            if number >= ENOUGH_ROUNDS and time.perf_counter() - began > ENOUGH_SECONDS:
                break
            for running in up:
                if plan.includes(running.gateway.name):
                    _say(f"round {number + 1} of {plan.rounds}: {running.gateway.name}")
                    measure(plan, report, running)
        measure_sdks(plan, report, {running.gateway: running.service.port for running in up})
    measure_imports(plan, report)
    print(report.text())
    if options.json:
        Path(options.json).write_text(json.dumps(report.data(), indent=2) + "\n")
    return 0 if report.gateways or report.sdks or report.imports else 1


def start(plan: Plan, report: Report, stack: ExitStack, folder: Path) -> list[Running]:
    """The mock upstream and every gateway that is asked for, up until the stack closes."""
    command = [sys.executable, "-m", "tests.benchmarks.mock_upstream", "{port}"]
    upstream = stack.enter_context(serve(command, health="/", log=folder / "upstream.log"))
    config = folder / "gateway.yaml"
    config.write_text(configuration(upstream.port))

    up = []
    for number, gateway in enumerate(GATEWAYS):
        if not (plan.includes(gateway.name) or gateway in (OURS, FLOOR)):  # the SDKs need these two
            continue
        _say(f"start: {gateway.name}")
        try:
            if reason := gateway.absent():
                raise DidNotStart(reason)
            served = serve(gateway.command(str(config)), health=gateway.health, log=folder / f"{number}.log")
            up.append(Running(gateway, stack.enter_context(served)))
        except DidNotStart as error:
            report.skipped[gateway.name] = str(error)
    return up


def measure(plan: Plan, report: Report, running: Running) -> None:
    """One round of one gateway: chats, streams at once, paced streams, memory."""
    gateway, service = running.gateway, running.service
    found: dict[str, float] = {"start_seconds": service.start_seconds}

    def cost(
        path: str, count: int, *, warmup: int = 200, stream: bool = False, model: str = ""
    ) -> load.Result:
        return load.apply(load.Job(service.port, service.pid, path, count, warmup, model, stream))

    try:
        found |= vars(cost(gateway.path("chat"), plan.requests))
        if plan.thorough:
            found["v1_cpu_us"] = cost("/v1/chat/completions", plan.requests, model="chat").cpu_us
        if gateway.streams:
            found["stream_cpu_ms"] = (
                cost(gateway.path("chat"), plan.streams, warmup=64, stream=True).cpu_us / 1e3
            )
        if gateway.streams and plan.thorough:
            # Not warmed up: it takes a second, and the streams before it did that.
            found["paced_cpu_ms"] = cost(gateway.path("paced"), 64, warmup=0, stream=True).cpu_us / 1e3
        found["resident_mb"] = resident_mb(service.pid)
    except RuntimeError as error:
        report.skipped[f"{gateway.name}, a round"] = str(error)
    rounds = report.gateways.setdefault(gateway.name, {})
    for name, value in found.items():
        rounds.setdefault(name, []).append(value)


def measure_sdks(plan: Plan, report: Report, ports: dict[Gateway, int]) -> None:
    """Every SDK against the constant server and against our gateway."""
    for sdk in sdks(PEER_PYTHON):
        if not plan.includes(sdk.name):
            continue
        _say(f"SDK: {sdk.name}")
        if reason := sdk.absent():
            report.skipped[sdk.name] = reason
            continue
        for column, gateway in {"gateway": OURS, "floor": FLOOR}.items():
            try:
                if gateway in ports and (gateway == OURS or OURS not in ports or plan.thorough):
                    report.sdks.setdefault(sdk.name, {})[column] = sdk.measure(ports[gateway], plan.calls)
            except RuntimeError as error:
                report.skipped[f"{sdk.name} against {gateway.name}"] = str(error)


def measure_imports(plan: Plan, report: Report) -> None:
    """How long `import gateway_sync` takes in a fresh interpreter, compiled files at hand."""
    look = "import time; t = time.perf_counter(); import gateway_sync; print(time.perf_counter() - t)"
    if not plan.includes("gateway_sync"):
        return
    if reason := absent(sys.executable, ["gateway_sync"]):
        report.skipped["import gateway_sync"] = reason
        return
    try:
        output([sys.executable, "-c", look])  # compiles what was not compiled yet
        report.imports["gateway_sync"] = {
            "seconds": [float(output([sys.executable, "-c", look])) for _ in range(5)]
        }
    except RuntimeError as error:
        report.skipped["import gateway_sync"] = str(error)


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What a request costs.")
    parser.add_argument("--quick", action="store_true", help="smaller rounds, under 40 seconds")
    parser.add_argument("--json", metavar="FILE", help="write medians and rounds to this file as well")
    parser.add_argument("--only", metavar="NAME", default="", help="only rows with this in their name")
    return parser.parse_args()


def _plan(*, quick: bool, only: str) -> Plan:
    """The two sizes of a run."""
    if quick:
        return Plan(rounds=3, requests=800, streams=64, calls=64, thorough=False, only=only)
    return Plan(rounds=5, requests=1500, streams=128, calls=192, thorough=True, only=only)


def _say(what: str) -> None:
    """Progress, beside the report."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
