"""Run scenarios: `python -m tests.faults.scenarios [NAME …] [--requests 10000]`; it exits with 1 when one fails.

A name may be the beginning of several: `slow` runs each of `slow-weighted`, `slow-least_pending`, `slow-latency`.
`soak` is run only by its name, and best with `--requests 1000000`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.scenarios import changes, destinations, leaving, readers, soak, storms
from tests.faults.scenarios.report import Place, Report, Scenario
from tests.faults.storm.process import chaos_process

SCENARIOS: dict[str, Scenario] = {
    **destinations.SCENARIOS,
    "killed": changes.killed,
    "ended": changes.ended,
    "file-changes": changes.file_changes,
    "api-changes": changes.api_changes,
    "leaving": leaving.leaving,
    "slow-readers": readers.slow_readers,
    "storm": storms.again_and_again,
    "soak": soak.soak,
}

ONLY_BY_NAME = {"soak"}


def perform(scenario: Scenario, requests: int) -> Report:
    """Run one in a folder and with a chaos upstream of its own."""
    with tempfile.TemporaryDirectory() as folder, chaos_process() as chaos:
        try:
            return scenario(Place(Path(folder), chaos), requests)
        except Exception as broken:  # noqa: BLE001 - the others are run all the same
            return Report(problems=[f"{type(broken).__name__}: {broken}"])


def main() -> int:
    """Run what the command line names, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--requests", type=int, default=10_000)
    chosen = parser.parse_args()
    names = [name for name in SCENARIOS if any(name.startswith(begin) for begin in chosen.names)]
    if not chosen.names:
        names = [name for name in SCENARIOS if name not in ONLY_BY_NAME]
    if not names:
        parser.error(f"there is no such scenario; there are {', '.join(SCENARIOS)}")
    failed = 0
    for name in names:
        report = perform(SCENARIOS[name], chosen.requests)
        failed += bool(report.problems)
        print(f"{'FAILED' if report.problems else 'ok':7}{name}", flush=True)
        for fact, value in report.facts.items():
            print(f"       {fact}: {value}")
        for problem in report.problems:
            print(f"     ! {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
