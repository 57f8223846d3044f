"""When a breaker lets calls pass, by the times that a test tells it."""

from hypothesis import given
from hypothesis import strategies as st

from gateway_async.config import BreakerConfig
from gateway_async.policies.breaker import ENOUGH, LEAST_CALLS, LONGEST_PAUSE, WINDOW_SECONDS, Breaker

START = 1000.0
REST = 10.0
SOME = 100_000
"""More failures in a row than there are."""


def breaker(failures: int = 3, rate: float = 1.0) -> Breaker:
    """A breaker that opens for ten seconds."""
    return Breaker(BreakerConfig(failures=failures, failure_rate=rate, open_seconds=REST))


def calls(tested: Breaker, answered: bool | None, now: float, times: int = 1) -> None:
    """Calls, one after another, that all end in the same way."""
    for _ in range(times):
        tested.ended(tested.began(), answered, now)


def opened(now: float = START) -> Breaker:
    """A breaker that has just opened."""
    tested = breaker()
    calls(tested, False, now, 3)
    return tested


def test_some_failures_in_a_row_open_it() -> None:
    """So many as are configured; an answer between them begins the row anew."""
    tested = breaker()
    calls(tested, False, START, 2)
    calls(tested, True, START)
    calls(tested, False, START, 2)
    assert tested.admits(START)

    calls(tested, False, START)
    assert not tested.admits(START)
    assert tested.rests(START)
    assert tested.wait(START + 1) == REST - 1


def test_what_is_no_failure_and_no_answer_changes_nothing() -> None:
    """A row of failures goes on over it."""
    tested = breaker()
    calls(tested, False, START, 2)
    calls(tested, None, START, 50)
    assert tested.admits(START)

    calls(tested, False, START)
    assert not tested.admits(START)


def test_a_share_of_failures_opens_it_once_there_were_enough_calls() -> None:
    """Half of the calls of the last ten seconds, though no two failed in a row."""
    tested = breaker(SOME, rate=0.5)
    for number in range(LEAST_CALLS):
        assert tested.admits(START), number
        calls(tested, number % 2 == 0, START + number / 100)
    assert not tested.admits(START + 1)


def test_failures_of_long_ago_do_not_count() -> None:
    """What is older than two windows is forgotten, what is in the window before fades."""
    for passed, opens in ((0.0, True), (1.1, True), (1.9, False), (2.0, False), (5.0, False)):
        tested = breaker(SOME, rate=0.5)
        calls(tested, True, START, LEAST_CALLS)
        calls(tested, False, START, LEAST_CALLS - 1)
        now = START + passed * WINDOW_SECONDS
        calls(tested, False, now)
        assert tested.rests(now) is opens, passed


def test_one_call_tries_when_the_time_is_over_and_each_answer_lets_twice_as_many() -> None:
    """Until there are enough to call it closed."""
    tested, now = opened(), START + REST
    at_once, tickets = 1, list[int]()
    while at_once <= ENOUGH:
        while tested.admits(now):
            tickets.append(tested.began())
        assert len(tickets) == at_once
        tested.ended(tickets.pop(), True, now)
        at_once *= 2

    assert all(tested.admits(now) for _ in range(1000) if tested.began() >= 0)


def test_a_failure_of_a_call_that_tries_opens_it_again() -> None:
    """For as long as the first time."""
    tested, now = opened(), START + REST
    assert tested.admits(now)
    calls(tested, False, now)
    assert not tested.admits(now)
    assert tested.wait(now) == REST


def test_a_call_that_tries_and_leaves_frees_its_place() -> None:
    """The next one may try."""
    tested, now = opened(), START + REST
    assert tested.admits(now)
    ticket = tested.began()
    assert not tested.admits(now)
    tested.ended(ticket, None, now)
    assert tested.admits(now)


def test_calls_of_before_say_nothing_once_it_has_changed() -> None:
    """Neither their answers close it sooner, nor their failures open it again, nor do they take up places."""
    tested = breaker()
    old = [tested.began() for _ in range(6)]
    calls(tested, False, START, 3)
    tested.ended(old[0], True, START)
    assert not tested.admits(START)

    now = START + REST
    assert tested.admits(now)
    trial = tested.began()
    tested.ended(old[1], True, now)
    tested.ended(old[2], False, now)
    tested.ended(old[3], None, now)
    tested.broke(old[4], now)
    assert not tested.admits(now)  # its one place is taken
    assert not tested.rests(now)
    tested.ended(trial, True, now)
    assert tested.admits(now)


def test_answers_that_break_off_count_as_failures() -> None:
    """By their share, since each had begun well; while it comes back, one is enough."""
    tested = breaker(SOME, rate=0.6)
    for number in range(LEAST_CALLS):
        assert not tested.rests(START), number
        ticket = tested.began()
        tested.ended(ticket, True, START)
        tested.broke(ticket, START)
    assert tested.rests(START)

    now = START + REST
    assert tested.admits(now)
    ticket = tested.began()
    tested.ended(ticket, True, now)
    tested.broke(ticket, now)
    assert tested.rests(now)


def test_many_answers_that_break_off_at_once_open_it() -> None:
    """As when a server goes down under them."""
    tested = breaker()
    tickets = [tested.began() for _ in range(3)]
    for ticket in tickets:
        tested.ended(ticket, True, START)
    for ticket in tickets:
        assert not tested.rests(START)
        tested.broke(ticket, START)
    assert tested.rests(START)


def test_a_pause_is_kept_and_is_no_failure() -> None:
    """The longest one counts; after it every call passes, not one that tries."""
    tested = breaker()
    tested.pause(3, START)
    tested.pause(1, START)
    assert not tested.admits(START + 2.9)
    assert tested.paused(START)
    assert not tested.rests(START)
    assert tested.wait(START) == 3

    now = START + 3
    assert tested.admits(now)
    assert not tested.paused(now)
    tickets = [tested.began() for _ in range(5) if tested.admits(now)]
    assert len(tickets) == 5


def test_a_pause_that_ends_before_the_rest_does_not_end_the_rest() -> None:
    """Nor the other way round; who asked for the longer wait is told."""
    tested = opened()
    tested.pause(2, START)
    assert not tested.paused(START)
    assert not tested.admits(START + 5)

    tested.pause(8, START + 5)
    assert tested.paused(START + 5)
    assert not tested.admits(START + 12)
    assert tested.admits(START + 13)
    assert not [tested.admits(START + 13) for _ in range(5) if tested.began() and tested.admits(START + 13)]


def test_no_pause_is_longer_than_the_longest() -> None:
    """A provider that asks for a day is asked again before."""
    tested = breaker()
    tested.pause(86_400, START)
    assert not tested.admits(START + LONGEST_PAUSE - 1)
    assert tested.admits(START + LONGEST_PAUSE)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.floats(0, 6)),
        st.tuples(st.sampled_from(["answered", "failed", "left", "broke"]), st.integers(0, 20)),
        st.tuples(st.just("pause"), st.floats(0, 30)),
    ),
    max_size=150,
)


@given(STEPS)
def test_it_always_lets_calls_pass_again(steps: list[tuple[str, float]]) -> None:
    """Whatever happened: once all calls have ended and its waits are over, one may pass; and answers close it."""
    tested, now, under_way, begun = breaker(rate=0.5), START, list[int](), list[int]()
    for step, number in steps:
        if step == "call":
            now += number
            if tested.admits(now):
                assert not tested.rests(now)
                assert tested.wait(now) == 0
                under_way.append(tested.began())
        elif step == "pause":
            tested.pause(number, now)
        elif step == "broke":
            if begun:
                tested.broke(begun[int(number) % len(begun)], now)
        elif under_way:
            ticket = under_way.pop(int(number) % len(under_way))
            tested.ended(ticket, {"answered": True, "failed": False, "left": None}[step], now)
            if step == "answered":
                begun.append(ticket)
    for ticket in under_way:
        tested.ended(ticket, None, now)

    now += tested.wait(now)
    for _ in range(10):
        assert tested.admits(now)
        calls(tested, True, now)
    assert [tested.began() for _ in range(100) if tested.admits(now)][99:]
