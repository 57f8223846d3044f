"""How many retries a route may make, by the times that a test tells it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.policies.budget import MOST, RESERVE, RESERVE_SECONDS, Budget

START = 1000.0


def test_a_route_without_traffic_has_some_at_hand() -> None:
    """So that the first calls of all may be tried again."""
    budget = Budget(0.2)
    assert [budget.take(1, START) for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_calls_earn_retries() -> None:
    """One for every five at 0.2, beyond those at hand."""
    budget = Budget(0.2)
    taken = 0
    for _ in range(1000):
        budget.earn()
        taken += budget.take(1, START)
    assert taken == pytest.approx(0.2 * 1000 + RESERVE, abs=1)


def test_a_storm_does_not_use_up_more_than_its_share() -> None:
    """However many are asked for at once."""
    budget = Budget(0.2)
    for _ in range(100):
        budget.earn()
    assert budget.take(1000, START) == MOST
    assert budget.take(1000, START) == 0


def test_what_was_at_hand_comes_back_slowly() -> None:
    """One in so many seconds, and no more than there were."""
    budget = Budget(0.2)
    budget.take(100, START)
    assert budget.take(100, START + RESERVE_SECONDS * 0.9) == 0
    assert budget.take(100, START + RESERVE_SECONDS * 1.1) == 1
    assert budget.take(100, START + RESERVE_SECONDS * 1000) == RESERVE


def test_a_budget_of_none_has_none_ever() -> None:
    """Not even those at hand."""
    budget = Budget(0)
    for _ in range(100):
        budget.earn()
    assert budget.take(1, START) == budget.take(1, START + 10_000) == 0


@given(
    st.floats(0, 2),
    st.lists(st.one_of(st.just("call"), st.integers(1, 9), st.floats(0, 100)), max_size=200),
)
def test_no_more_than_the_share_and_what_was_at_hand(share: float, steps: list[str | int | float]) -> None:
    """In any order of calls, retries and times."""
    budget, now, calls, taken = Budget(share), START, 0, 0
    for step in steps:
        if isinstance(step, str):
            budget.earn()
            calls += 1
        elif isinstance(step, float):
            now += step
        else:
            got = budget.take(step, now)
            assert 0 <= got <= step
            taken += got
    assert taken <= share * calls + RESERVE + (now - START) / RESERVE_SECONDS + 0.001
