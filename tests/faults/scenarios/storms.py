"""Every misbehaviour of upstreams at once, and a neighbour who is asked all the time; once, or again and again."""

import asyncio
from dataclasses import dataclass
from itertools import product, repeat

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report, ms
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import ChaosProcess
from tests.faults.storm.tally import Tally
from tests.faults.storm.vitals import Vitals, resident_mb, vitals
from tests.faults.storm.weather import SHELTERED, WANTED, route_name, routes
from tests.support.server import Server, running, wait_until

PATIENCE = 40.0
"""Seconds after which a caller counts as hung: a busy machine is slow, and a call that hangs does so for good."""

TIMES = 2

WAYS = [(openai, stream) for openai in (False, True) for stream in (False, True)]


@dataclass
class Aftermath:
    """What there was to see."""

    met: Tally
    neighbours: Tally
    before: Vitals
    after: Vitals
    log: str


def weathered(chaos: ChaosProcess, server: Server) -> Aftermath:
    """One storm over a gateway that has the routes of `weather`."""
    pid, met, neighbours = server.process.pid, Tally(), Tally()

    async def calm(load: Load) -> None:
        await load.run((Ask("calm", *way) for _ in repeat(None) for way in WAYS), callers=8)

    async def storm() -> None:
        beside = Load(server.port, neighbours, patience=PATIENCE)
        task = asyncio.create_task(calm(beside))
        load = Load(server.port, met, patience=PATIENCE)
        async with asyncio.TaskGroup() as group:
            for name, end in product(WANTED, ("", SHELTERED)):
                asks = [_ask(name, end, *way) for way in WAYS for _ in range(times(bool(end)))]
                group.create_task(load.run(asks, callers=len(asks) // 2))
        beside.stop()
        await task

    warm = Tally()
    run(Load(server.port, warm).run([Ask("calm", *way) for way in WAYS * 100], callers=8))
    assert not warm.failed, warm.explain()
    wait_until(lambda: vitals(pid).sockets <= 8, PATIENCE, "the callers' connections stayed open")
    before = vitals(pid)
    run(storm())
    wait_until(
        lambda: not chaos.stats()["under_way"], PATIENCE, lambda: f"goes on: {chaos.stats()['under_way']}"
    )
    wait_until(lambda: not chaos.stats()["open"], PATIENCE, "idle connections stayed open")
    after = vitals(pid)
    print(f"{met.count} calls in the storm, {neighbours.count} beside it; before {before}, after {after}")
    return Aftermath(met, neighbours, before, after, server.log)


def times(sheltered: bool) -> int:
    """How often each behaviour is met in each way."""
    return 1 if sheltered else TIMES


def _ask(behaviour: str, end: str, openai: bool, stream: bool) -> Ask:
    padding = 500_000 if behaviour.startswith("early") else 0
    return Ask(route_name(behaviour) + end, openai, stream, padding, leaves=stream and behaviour == "endless")


CONFIG = {"max_body_mb": 4}
GROWTH = 1.05


def again_and_again(place: Place, requests: int) -> Report:
    """Storms one after the other: memory after the last is that after the third."""
    report, resident = Report(), list[float]()
    with running(place.folder, {"endpoints": routes(place.chaos), "server": CONFIG}) as server:
        while len(resident) < 4 or len(resident) * len(WANTED) * (TIMES + 1) * 4 < requests:
            aftermath = weathered(place.chaos, server)
            report.hold(not aftermath.neighbours.failed, aftermath.neighbours.explain())
            resident.append(resident_mb(server.process.pid))
        log = server.log
    report.facts["resident after each"] = " ".join(f"{each:.1f}" for each in resident) + " MB"
    report.facts["neighbours' p99"] = ms(aftermath.neighbours.percentile(99))
    report.hold(resident[-1] <= GROWTH * resident[2], f"memory grew by {resident[-1] / resident[2] - 1:.1%}")
    report.hold("Traceback" not in log, log[-2000:])
    return report
