"""Callers who don't read what they asked for, and upstreams that send without end: memory is bounded, others go on."""

import asyncio

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report, ms
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import ChaosProcess, Json, route
from tests.faults.storm.tally import Tally
from tests.faults.storm.vitals import resident_mb
from tests.support.server import Server, running, wait_until

READERS = 50
EACH_MB = 4.0
"""What the gateway may hold for one who does not read: what came at once, as bytes and as chunks, and buffers between."""

GROWTH = 1.05

ENDLESS = 3
"""Events without end at once; each may grow to 32 MB before it is refused."""

ENDLESS_MB = 3 * 32.0


def slow_readers(place: Place, requests: int) -> Report:
    """Fifty callers of floods who read nothing; a neighbour is served as ever; they leave, and all of it ends."""
    report, tally = Report(), Tally()
    endpoints = [
        route("calm", place.chaos.base("ok", at="calm")),
        route("flood", place.chaos.base("flood")),
        route("endless", place.chaos.base("endless-event"), timeouts={"total": 60}),
    ]
    with running(place.folder, {"endpoints": endpoints}) as server:
        before = run(_calm(server, Tally(), requests // 4))
        early, most = run(_unread(server, place.chaos, tally, requests))
        report.facts["resident"] = (
            f"{before:.1f} MB before, {early:.1f} and {most:.1f} with {READERS} who don't read"
        )
        report.hold(most < GROWTH * early, f"what they hold grew from {early:.1f} to {most:.1f} MB")
        report.hold(
            most < before + READERS * EACH_MB, f"{READERS} callers who don't read hold {most - before:.0f} MB"
        )
        _nobody(place.chaos, "flood")

        endless = Tally()
        asks = [Ask("endless", openai, True) for openai in (False, True, False)]
        run(Load(server.port, endless, patience=90).run(asks, callers=ENDLESS))
        _nobody(place.chaos, "endless-event")
        after = run(_calm(server, tally, requests // 4))
        report.facts["an event without end"] = f"{dict(endless.failed)}, {after:.1f} MB after"
        report.hold(set(endless.failed) <= {"502", "in-band"}, endless.explain())
        report.hold(after < most + ENDLESS_MB, f"{after - most:.0f} MB are left of events without end")
        report.hold("Traceback" not in server.log, server.log[-2000:])
    report.hold_all_right(tally, "neighbours")
    report.facts["neighbours' p99"] = ms(tally.percentile(99))
    return report


async def _calm(server: Server, tally: Tally, count: int) -> float:
    """Ordinary load; the resident megabytes after it."""
    ways: list[Json] = [
        {"openai": openai, "stream": stream} for openai in (False, True) for stream in (False, True)
    ]
    asks = (Ask("calm", **ways[number % 4]) for number in range(count))
    await Load(server.port, tally).run(asks, callers=8)
    return resident_mb(server.process.pid)


async def _unread(server: Server, chaos: ChaosProcess, tally: Tally, requests: int) -> tuple[float, float]:
    """Streams that nobody reads, and ordinary load beside them; the resident megabytes amid and at the end of it."""
    writers = []
    for number in range(READERS):
        # A limit of a few kilobytes: the reader's own buffer fills, and then nothing is taken from the socket.
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**12)
        writer.write(Ask("flood", bool(number % 2), True).bytes(number + 1))
        writers.append(writer)
    await asyncio.to_thread(
        wait_until, lambda: chaos.stats()["under_way"].get("flood") == READERS, 60, "not all were asked"
    )
    found = await _calm(server, tally, requests // 2), await _calm(server, tally, requests // 2)
    for writer in writers:
        writer.transport.abort()
    return found


def _nobody(chaos: ChaosProcess, behaviour: str) -> None:
    """Wait until the upstream is rid of all who asked for this."""
    wait_until(
        lambda: behaviour not in chaos.stats()["under_way"],
        60,
        lambda: f"goes on: {chaos.stats()['under_way']}",
    )
