"""The real server while upstreams do their worst, all at once: every caller is told, neighbours feel nothing, and
nothing is left behind."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import pytest

from tests.benchmarks.loop import run
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import ChaosProcess, chaos_process
from tests.faults.storm.tally import Tally
from tests.faults.storm.vitals import Vitals, vitals
from tests.faults.storm.weather import SLOWEST, WANTED, route_name, routes
from tests.support.configs import KEY
from tests.support.server import Server, running, wait_until

PATIENCE = 40.0
"""Seconds after which a caller counts as hung: a busy machine is slow, and a call that hangs does so for good."""

TIMES = 2
"""Each behaviour is met so often in each dialect, whole and streamed."""

WAYS = [(openai, stream) for openai in (False, True) for stream in (False, True)]


@dataclass
class Aftermath:
    """What there was to see."""

    met: Tally
    neighbours: Tally
    before: Vitals
    after: Vitals
    under_way: dict[str, int]
    log: str


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """One storm: every behaviour at once, and a neighbour who is asked all the time."""
    with chaos_process() as chaos:
        config = {"endpoints": routes(chaos), "server": {"max_body_mb": 4}}
        with running(tmp_path_factory.mktemp("storm"), config) as server:
            yield _storm(chaos, server)


def _storm(chaos: ChaosProcess, server: Server) -> Aftermath:
    pid, met, neighbours = server.process.pid, Tally(), Tally()

    async def calm(load: Load) -> None:
        await load.run((Ask("calm", *way) for _ in repeat(None) for way in WAYS), callers=8)

    async def storm() -> None:
        beside = Load(server.port, neighbours, patience=PATIENCE)
        task = asyncio.create_task(calm(beside))
        load = Load(server.port, met, patience=PATIENCE)
        async with asyncio.TaskGroup() as group:
            for name in WANTED:
                asks = [_ask(name, *way) for way in WAYS for _ in range(TIMES)]
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
    return Aftermath(met, neighbours, before, after, chaos.stats()["under_way"], server.log)


def _ask(behaviour: str, openai: bool, stream: bool) -> Ask:
    padding = 2_000_000 if behaviour.startswith("early") else 0
    return Ask(route_name(behaviour), openai, stream, padding, leaves=stream and behaviour == "endless")


@pytest.mark.parametrize("behaviour", WANTED)
def test_every_caller_is_told_what_became_of_its_call(aftermath: Aftermath, behaviour: str) -> None:
    """In its dialect, with a status that says whose fault it is, or within the stream; never 500, never nothing."""
    name, wanted = route_name(behaviour), WANTED[behaviour]

    whole, stream = aftermath.met.of(name, stream=False), aftermath.met.of(name, stream=True)

    assert set(whole) <= wanted.whole, aftermath.met.explain(name)
    assert set(stream) <= wanted.stream, aftermath.met.explain(name)
    assert whole.total() == stream.total() == 2 * TIMES


def test_nobody_waits_longer_than_the_route(aftermath: Aftermath) -> None:
    """But for what a busy machine takes."""
    assert max(aftermath.met.seconds()) < SLOWEST + 20


def test_neighbours_feel_nothing(aftermath: Aftermath) -> None:
    """Of the calls to a healthy upstream beside the storm none fails."""
    assert not aftermath.neighbours.failed, aftermath.neighbours.explain()
    assert aftermath.neighbours.count > 100
    print(f"neighbours: p99 {aftermath.neighbours.percentile(99) * 1000:.0f} ms")


def test_nothing_is_left_behind(aftermath: Aftermath) -> None:
    """No connection, no descriptor, no call at the upstream; memory as before, but for what allocators keep."""
    assert aftermath.after.sockets <= aftermath.before.sockets
    assert aftermath.after.descriptors <= aftermath.before.descriptors
    assert aftermath.after.resident_mb < aftermath.before.resident_mb + 80


def test_the_log_tells_no_secret_and_of_no_bug(aftermath: Aftermath) -> None:
    """Upstreams that misbehave are no reason for a traceback."""
    assert "Traceback" not in aftermath.log
    assert KEY not in aftermath.log
