"""A very long run: memory stays where it was."""

from itertools import cycle, islice

from tests.benchmarks.loop import run
from tests.faults.scenarios.report import Place, Report
from tests.faults.storm.load import Load
from tests.faults.storm.outcome import Ask
from tests.faults.storm.process import route
from tests.faults.storm.tally import Tally
from tests.faults.storm.vitals import resident_mb
from tests.support.configs import ADMIN
from tests.support.server import running

PARTS = 10
GROWTH = 1.05


def soak(place: Place, requests: int) -> Report:
    """Resident memory after each tenth: of the last no more than 5 % above the second. Auth, a limit and the log are on."""
    limits = [{"calls": 10**9, "renewal_period": "hour", "key": "user"}]
    config = {"endpoints": [route("calm", place.chaos.base("ok", at="calm"), limits=limits)]}
    as_admin = (f"Authorization: Bearer {ADMIN}",)
    ways = [
        Ask("calm", openai, stream, headers=as_admin) for openai in (False, True) for stream in (False, True)
    ]
    ways += [Ask("calm", bool(number % 2), False, headers=as_admin) for number in range(12)]
    report, resident, tally = Report(), list[float](), Tally()
    with running(place.folder, config, env={"GATEWAY_ADMIN_KEY": ADMIN}) as server:
        for _ in range(PARTS):
            part = Tally()
            load = Load(server.port, part)
            run(load.run(islice(cycle(ways), max(requests // PARTS, 1)), callers=64))
            tally.verdicts.update(part.verdicts)
            tally.examples |= part.examples
            resident.append(resident_mb(server.process.pid))
    report.facts["resident after each tenth"] = " ".join(f"{each:.1f}" for each in resident) + " MB"
    report.facts["requests"] = f"{tally.verdicts.total()}, {tally.failed.total()} failed"
    report.hold(not tally.failed, tally.explain())
    report.hold(resident[-1] <= GROWTH * resident[1], f"memory grew by {resident[-1] / resident[1] - 1:.1%}")
    return report
