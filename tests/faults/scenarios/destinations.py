"""One of two destinations is dead, fails half the time, or is slow: no caller fails, and soon nobody waits for it."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report, Scenario, counted, ms
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import ChaosProcess, Json, model
from tests.faults.storm.tally import Tally
from tests.support.ports import closed_port
from tests.support.server import running

CALLERS = 32
BALANCES = ("weighted", "least_pending", "latency")
FAULTS = ("dead", "hung-up", "flaky", "limited", "slow")

WELL = "ok=0.02"
"""Models take a while."""

AFTER = 1.0
"""So many seconds are granted to notice."""


@dataclass(frozen=True)
class Case:
    """A route with two destinations, one of which is not well."""

    fault: str
    balance: str
    slow_seconds: float = 30.0
    first_byte: float = 0.5
    """How long the route waits where only that tells that a destination is slow: with fixed weights."""

    @property
    def name(self) -> str:
        """Of the scenario, and of its route."""
        return f"{self.fault}-{self.balance}"

    def route(self, chaos: ChaosProcess) -> Json:
        """As it is configured."""
        well, bad = model(chaos.base(WELL, at="calm"), "well"), model(self.base(chaos), "unwell")
        patience = {"timeouts": {"first_byte": self.first_byte}} if self.waits else {}
        return {**_route(self.name, self.balance, [bad, well]), **patience}

    def base(self, chaos: ChaosProcess) -> str:
        """Where the destination is that is not well."""
        if self.fault == "dead":
            return f"http://127.0.0.1:{closed_port()}/v1"
        behaviours = {
            "hung-up": "close",
            "flaky": "flaky=500",
            "limited": "fail=429+5",
            "slow": f"slow={self.slow_seconds:g}",
            "healthy": WELL,
        }
        return chaos.base(behaviours[self.fault])

    @property
    def waits(self) -> bool:
        """Its route says how long it waits for a first byte."""
        return self.fault == "slow" and self.balance == "weighted"


def _route(name: str, balance: str, models: Sequence[Json]) -> Json:
    destinations = [{"model": each} for each in models]
    return {"name": name, "endpoint_type": "llm/v1/chat", "balance": balance, "destinations": destinations}


def asks(route: str, count: int) -> Iterator[Ask]:
    """Requests in both dialects, every other one streamed."""
    return (Ask(route, openai=bool(number % 2), stream=number % 4 > 1) for number in range(count))


def one(case: Case, place: Place, requests: int) -> Report:
    """Beside a route whose destinations are both well, to compare: what the machine does meanwhile, it does to both."""
    healthy = Case("healthy", case.balance)
    config = {"endpoints": [each.route(place.chaos) for each in (healthy, case)]}
    well, unwell = Tally(), Tally()

    async def scenario() -> None:
        beside, load = Load(server.port, well), Load(server.port, unwell)
        compared = asyncio.create_task(beside.run(asks(healthy.name, 10**9), callers=CALLERS // 2))
        task = asyncio.create_task(load.run(asks(case.name, requests), callers=CALLERS // 2))
        await counted(unwell, int(requests * 0.99))  # some may wait for a slow one still
        beside.stop()
        await asyncio.gather(compared, task)

    with running(place.folder, config) as server:
        run(scenario())
        log = server.log

    report = Report()
    report.hold_all_right(unwell)
    report.hold(not well.failed, f"with both well: {well.explain()}")
    before, after = well.percentile(99, after=AFTER), unwell.percentile(99, after=AFTER)
    report.facts |= {
        "p99 of healthy": ms(before),
        "p99": f"{ms(after)} ({after / max(before, 0.001):.2f}×)",
        "p99 with the first second": ms(unwell.percentile(99)),
        "slowest": ms(max(unwell.seconds())),
        "answered by": ", ".join(f"{name} {count}" for name, count in unwell.destinations.most_common()),
    }
    report.hold(after <= 2 * before, f"p99 is {after / max(before, 0.001):.2f}× that of healthy")
    report.hold("Traceback" not in log, f"a traceback in the log:\n{log[-2000:]}")
    return report


def dies_and_returns(place: Place, requests: int) -> Report:
    """A destination that is well breaks off every call for a while, and is well again: it is asked again then."""
    tally, told = Tally(), dict[str, int]()
    place.chaos.become("role", WELL)
    models = [model(place.chaos.base("as=role"), "unwell"), model(place.chaos.base(WELL, at="calm"), "well")]
    endpoint = {**_route("mortal", "weighted", models), "breaker": {"failures": 5, "open_seconds": 1}}

    async def scenario() -> None:
        load = Load(server.port, tally)
        task = asyncio.create_task(load.run(asks("mortal", 10**9), callers=CALLERS))
        for state, behaviour in (("well", WELL), ("dead", "close"), ("well again", WELL)):
            before = tally.destinations["openai/unwell"]
            await asyncio.to_thread(place.chaos.become, "role", behaviour)
            await counted(tally, tally.count + requests // 3)
            told[state] = tally.destinations["openai/unwell"] - before
        until = time.monotonic() + 30
        while tally.destinations["openai/unwell"] < before + 100 and time.monotonic() < until:  # noqa: ASYNC110 - the load tells nobody
            await asyncio.sleep(0.05)
        told["well again"] = tally.destinations["openai/unwell"] - before
        load.stop()
        await task

    with running(place.folder, {"endpoints": [endpoint]}) as server:
        run(scenario())
    report = Report({f"answers while it is {state}": str(count) for state, count in told.items()})
    report.hold_all_right(tally)
    report.hold(told["dead"] <= CALLERS, "a dead destination answered")
    report.hold(told["well again"] >= 100, "a destination that is well again is not asked")
    return report


CASES = [Case(fault, balance) for fault in FAULTS for balance in BALANCES]

SCENARIOS: dict[str, Scenario] = {
    **{case.name: partial(one, case) for case in CASES},
    "dies-and-returns": dies_and_returns,
}
