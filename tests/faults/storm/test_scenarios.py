"""Small runs of `python -m tests.faults.scenarios`, held to what does not depend on how busy the machine is."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.benchmarks.loop import run
from tests.faults.scenarios import changes, leaving, readers
from tests.faults.scenarios.destinations import BALANCES, FAULTS, Case, asks, dies_and_returns
from tests.faults.scenarios.report import Place, Report, Scenario
from tests.faults.storm.load import Load
from tests.faults.storm.process import chaos_process
from tests.faults.storm.tally import Tally
from tests.support.server import running

SLOW_SECONDS = 8.0
REQUESTS = 240
"""To each route with a destination that is not well."""

CALLERS = 8

CASES = [Case(fault, balance, SLOW_SECONDS, first_byte=2.0) for fault in FAULTS for balance in BALANCES]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A chaos upstream for all of them."""
    with chaos_process() as chaos:
        yield Place(tmp_path_factory.mktemp("scenarios"), chaos)


@pytest.fixture(scope="module")
def tallies(place: Place) -> dict[str, Tally]:
    """What became of the calls of every such route; all of them are called at once."""
    found = {case.name: Tally() for case in CASES}

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for case in CASES:
                load = Load(server.port, found[case.name])
                group.create_task(load.run(asks(case.name, REQUESTS), callers=CALLERS))

    with running(place.folder, {"endpoints": [case.route(place.chaos) for case in CASES]}) as server:
        run(all_at_once())
        assert "Traceback" not in server.log, server.log[-3000:]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_caller_fails_while_a_destination_is_not_well(tallies: dict[str, Tally], case: Case) -> None:
    """Dead, hung up, failing half the time, limited or slow: the other one answers."""
    tally = tallies[case.name]

    assert not tally.failed, tally.explain()
    assert tally.count == REQUESTS
    assert tally.destinations["openai/well"] > REQUESTS / 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_soon_nobody_waits_for_a_destination_that_is_not_well(tallies: dict[str, Tally], case: Case) -> None:
    """Those who do wait are no more than there are callers: each once, in the beginning."""
    waited = [seconds for seconds in tallies[case.name].seconds() if seconds > SLOW_SECONDS * 0.9]

    assert len(waited) <= CALLERS


def test_a_destination_that_is_well_again_is_asked_again(place: Place) -> None:
    """After it was dead for a while, in which nobody failed."""
    held(dies_and_returns, place, 600)


def held(scenario: Scenario, place: Place, requests: int, *, aside: str = "") -> Report:
    """Run a scenario; its problems, but for one that depends on the machine, fail the test."""
    report = scenario(place, requests)
    print(report.facts)
    assert not [problem for problem in report.problems if not aside or aside not in problem], report
    return report


def test_a_killed_worker_takes_only_its_own_requests_with_it(place: Place) -> None:
    """kill -9; the other one goes on, and there is a new one."""
    held(changes.killed, place, 600, aside="was back after")


def test_the_end_of_the_server_fails_no_request(place: Place) -> None:
    """SIGTERM while callers send one request after the other."""
    held(changes.ended, place, 300)


def test_changes_of_the_file_fail_no_request(place: Place) -> None:
    """Valid ones, one after the other."""
    held(changes.file_changes, place, 500)


def test_changes_over_the_api_fail_no_request(place: Place) -> None:
    """Of a route that is called all the time, and of others."""
    held(changes.api_changes, place, 500)


def test_a_caller_who_leaves_frees_the_upstream(place: Place) -> None:
    """In every dialect, whole or streamed, before and within the answer; how soon is printed."""
    held(leaving.leaving, place, 0, aside="outlived")


def test_callers_who_do_not_read_cost_little_and_nobody_else(place: Place) -> None:
    """Upstreams that send without end wait for them; events that never end are refused."""
    held(readers.slow_readers, place, 400)
