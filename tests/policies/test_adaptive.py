"""A limit that follows what a provider can take: within its bounds always, near the provider's own limit in the end."""

from hypothesis import given
from hypothesis import strategies as st

from gateway_async.policies.adaptive import DECREASE, AdaptiveLimit

EVENTS = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=200)


@given(st.integers(1, 100), EVENTS)
def test_it_stays_within_its_bounds(most: int, events: list[tuple[bool, int]]) -> None:
    """Whatever calls tell, and in whatever round they began."""
    adaptive = AdaptiveLimit(most)
    for good, ago in events:
        (adaptive.answered if good else adaptive.overloaded)(max(adaptive.round - ago, 0))
        assert 1 <= adaptive.limit <= most


@given(st.integers(1, 200), st.integers(1, 200))
def test_it_comes_near_to_what_the_provider_can_take(most: int, capacity: int) -> None:
    """With as many callers as it admits, of whom those beyond the provider's capacity are refused there."""
    adaptive = AdaptiveLimit(most)
    bound, asked, failed, limits = min(most, capacity), 0, 0, list[int]()
    for number in range(60):
        limit, began = adaptive.limit, adaptive.round
        beyond = max(limit - capacity, 0)
        for _ in range(beyond):
            adaptive.overloaded(began)
        for _ in range(limit - beyond):
            adaptive.answered(began)
        if number >= 20:
            limits.append(limit)
            asked, failed = asked + limit, failed + beyond

    average = sum(limits) / len(limits)
    assert DECREASE * bound * 0.8 - 1 <= average <= bound + 1
    assert failed <= asked * 0.05 + len(limits) * 0.5


def test_many_calls_that_meet_one_overload_lower_it_once() -> None:
    """And what was answered meanwhile, of calls that began before, does not raise it again."""
    adaptive = AdaptiveLimit(100)
    for _ in range(50):
        adaptive.overloaded(0)
    for _ in range(50):
        adaptive.answered(0)

    assert (adaptive.limit, adaptive.round) == (70, 1)


def test_it_recovers_from_an_outage_in_few_rounds() -> None:
    """By as many as were answered, until it is near where it was; then by one a round."""
    adaptive = AdaptiveLimit(200)
    while adaptive.limit > 1:
        adaptive.overloaded(adaptive.round)

    rounds = 0
    while adaptive.limit < 140:
        for _ in range(adaptive.limit):
            adaptive.answered(adaptive.round)
        rounds += 1
    before = adaptive.limit
    for _ in range(adaptive.limit + 1):
        adaptive.answered(adaptive.round)

    assert rounds <= 9
    assert adaptive.limit == before + 1


def test_another_most_is_taken_up_at_once_unless_it_has_learnt_better() -> None:
    """More places do not make a provider that has complained take more."""
    adaptive = AdaptiveLimit(10)
    adaptive.resize(50)
    assert adaptive.limit == 50

    adaptive.overloaded(0)
    adaptive.resize(100)
    assert adaptive.limit == 35

    adaptive.resize(20)
    assert adaptive.limit == 20
