"""The real server while upstreams do their worst, all at once: every caller is told, neighbours feel nothing, and
nothing is left behind."""

from collections.abc import Iterator

import pytest

from tests.faults.scenarios.storms import CONFIG, Aftermath, times, weathered
from tests.faults.storm.process import chaos_process
from tests.faults.storm.weather import SHELTERED, SLOWEST, WANTED, route_name, routes, sheltered
from tests.support.configs import KEY
from tests.support.server import running


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """One storm: every behaviour at once, and a neighbour who is asked all the time."""
    with chaos_process() as chaos:
        config = {"endpoints": routes(chaos), "server": CONFIG}
        with running(tmp_path_factory.mktemp("storm"), config) as server:
            yield weathered(chaos, server)


@pytest.mark.parametrize("behaviour", WANTED)
def test_every_caller_is_told_what_became_of_its_call(aftermath: Aftermath, behaviour: str) -> None:
    """In its dialect, with a status that says whose fault it is, or within the stream; never 500, never nothing."""
    name, wanted = route_name(behaviour), WANTED[behaviour]

    whole, stream = aftermath.met.of(name, stream=False), aftermath.met.of(name, stream=True)

    assert set(whole) <= wanted.whole, aftermath.met.explain(name)
    assert set(stream) <= wanted.stream, aftermath.met.explain(name)
    assert whole.total() == stream.total() == 2 * times(sheltered=False)


@pytest.mark.parametrize("behaviour", WANTED)
def test_another_destination_answers_in_its_place(aftermath: Aftermath, behaviour: str) -> None:
    """Where there is one, whatever the first does; but for what is the caller's fault, or out already."""
    name, wanted = route_name(behaviour) + SHELTERED, sheltered(WANTED[behaviour])

    whole, stream = aftermath.met.of(name, stream=False), aftermath.met.of(name, stream=True)

    assert set(whole) <= wanted.whole, aftermath.met.explain(name)
    assert set(stream) <= wanted.stream, aftermath.met.explain(name)
    assert whole.total() == stream.total() == 2 * times(sheltered=True)


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
