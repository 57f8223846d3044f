"""Which destination a call goes to, by the times that a test tells."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.call import Call
from gateway_async.policies.balance import BALANCES, Pick
from gateway_async.policies.target import Load, Target
from gateway_async.traffic_config import Balance

START = 1000.0


async def nobody(_: Call) -> NoReturn:
    """What is never asked here."""
    raise AssertionError


def targets(*weights: float) -> list[Target]:
    """Destinations of these weights, named by their places."""
    return [Target(str(place), nobody, weight=weight) for place, weight in enumerate(weights)]


def picked(pick: Pick, among: Sequence[Target], times: int) -> Counter[str]:
    """How often each was taken, when each call is over before the next."""
    found = Counter[str]()
    for number in range(times):
        target = pick(among, START + number)
        ticket = target.load.began(START + number)
        target.load.answered(ticket, START + number + 0.01)
        target.load.ended(ticket, START + number + 0.01)
        found[target.name] += 1
    return found


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 3))
def test_weights_are_shares_of_every_so_many_calls(weights: list[int], rounds: int) -> None:
    """Of as many calls as the weights add up to, each destination gets exactly its weight, again and again."""
    pick, among = BALANCES["weighted"](), targets(*weights)
    for _ in range(rounds):
        assert picked(pick, among, sum(weights)) == {str(n): weight for n, weight in enumerate(weights)}


def test_a_heavy_destination_does_not_get_its_calls_in_a_row() -> None:
    """They are spread among those of the others."""
    pick, among = BALANCES["weighted"](), targets(4, 1, 1)
    order = "".join(pick(among, START).name for _ in range(12))
    assert "1" in order[:4]
    assert "00000" not in order


def test_a_destination_that_was_away_gets_no_more_than_its_share_afterwards() -> None:
    """It does not have to make up for what it missed."""
    pick, among = BALANCES["weighted"](), targets(1, 1)
    picked(pick, among, 3)
    assert picked(pick, among[1:], 100) == {"1": 100}
    back = picked(pick, among, 10)
    assert abs(back["0"] - back["1"]) <= 2


@pytest.mark.parametrize("balance", BALANCES)
def test_of_one_that_one_is_taken(balance: Balance) -> None:
    """Whatever its weight."""
    for weight in (0, 1, 0.001, 1000):
        assert picked(BALANCES[balance](), targets(weight), 3) == {"0": 3}


@pytest.mark.parametrize("balance", BALANCES)
def test_destinations_that_are_alike_get_about_as_many(balance: Balance) -> None:
    """Under load, when nothing tells one from the other."""
    found = simulated(BALANCES[balance](), targets(1, 1, 1), lambda target, now: 0.1)
    assert min(found.values()) > 0.7 * max(found.values())


def test_the_one_with_fewest_calls_under_way_is_taken() -> None:
    """For its weight; of those that are alike, each in turn."""
    pick, among = BALANCES["least_pending"](), targets(2, 1)
    found = []
    for _ in range(9):
        target = pick(among, START)
        target.load.began(START)
        found.append(target.name)
    assert Counter(found) == {"0": 6, "1": 3}

    idle = targets(1, 1, 1)
    assert picked(pick, idle, 9) == {"0": 3, "1": 3, "2": 3}


def simulated(
    pick: Pick,
    among: Sequence[Target],
    takes: Callable[[Target, float], float],
    *,
    callers: int = 8,
    seconds: float = 30.0,
    begin: float = START,
) -> Counter[str]:
    """How many calls each destination got of callers who call as soon as they are answered."""
    numbers, found = count(), Counter[str]()
    ends = [(begin + number / 1000, next(numbers), None, 0) for number in range(callers)]
    under_way: list[tuple[float, int, Target | None, int]] = list(ends)
    heapq.heapify(under_way)
    while under_way:
        now, _, target, ticket = heapq.heappop(under_way)
        if target is not None:
            target.load.answered(ticket, now)
            target.load.ended(ticket, now)
        if now < begin + seconds:
            target = pick(among, now)
            found[target.name] += 1
            entry = (now + takes(target, now), next(numbers), target, target.load.began(now))
            heapq.heappush(under_way, entry)
    assert all(target.load.pending == 0 for target in among)
    return found


@pytest.mark.parametrize("slow", [1.0, 10.0, 60.0])
def test_latency_leaves_a_slow_destination_alone_from_its_first_calls(slow: float) -> None:
    """Also one that has never answered: whoever waits for it tells that it is slow."""
    found = simulated(BALANCES["latency"](), targets(1, 1), lambda target, _: (slow, 0.05)[int(target.name)])
    assert found["1"] > 100 * found["0"] / slow
    assert found["0"] <= 12 + 30 / slow * 4


def test_latency_comes_back_to_a_destination_that_is_quick_again() -> None:
    """Its slow answers are forgotten after a while."""
    pick, among = BALANCES["latency"](), targets(1, 1)

    def takes(target: Target, now: float) -> float:
        return 5.0 if target.name == "0" and now < START + 30 else 0.05

    simulated(pick, among, takes)
    found = simulated(pick, among, takes, begin=START + 100)
    assert found["0"] > 0.3 * found["1"]


def test_latency_shares_by_weight_among_those_that_are_as_quick() -> None:
    """The heavier gets more."""
    found = simulated(BALANCES["latency"](), targets(3, 1), lambda target, _: 0.1, callers=40)
    assert found["0"] > 2 * found["1"]


def test_latency_among_many_prefers_the_quick() -> None:
    """Though only two at a time are compared."""
    found = simulated(
        BALANCES["latency"](),
        targets(1, 1, 1, 1),
        lambda target, _: (2.0, 0.05, 0.05, 0.05)[int(target.name)],
    )
    assert found["0"] < 0.1 * min(found[name] for name in "123")


def test_a_long_stream_does_not_make_a_destination_look_slow() -> None:
    """Its first chunk came quickly; but it is a call under way."""
    load = Load()
    ticket = load.began(START)
    load.answered(ticket, START + 0.1)
    assert load.cost(START + 100) <= 2 * 0.1
    assert load.pending == 1
    load.ended(ticket, START + 300)
    assert load.cost(START + 300) <= 0.1


def test_whoever_gives_up_tells_how_long_he_waited() -> None:
    """A destination that nobody waits for to the end is slow all the same; a quick failure is no quick answer."""
    load = Load()
    load.ended(load.began(START), START + 20)
    assert load.cost(START + 20) == 20
    load.ended(load.began(START + 20), START + 20.001)
    assert load.cost(START + 20.001) > 19


def test_a_slow_answer_counts_at_once_and_good_ones_slowly() -> None:
    """The peak is what is remembered."""
    load = Load()

    def answer(now: float, took: float) -> float:
        ticket = load.began(now - took)
        load.answered(ticket, now)
        load.ended(ticket, now)
        return load.cost(now)

    assert answer(START, 0.1) == pytest.approx(0.1)
    assert answer(START + 1, 5.0) == pytest.approx(5.0)
    assert 4.0 < answer(START + 2, 0.1) < 5.0
    assert answer(START + 60, 0.1) < 0.2


@given(st.lists(st.tuples(st.sampled_from(["began", "answered", "ended"]), st.integers(0, 9)), max_size=100))
def test_what_a_load_holds_is_what_is_under_way(steps: list[tuple[str, int]]) -> None:
    """Nothing is left of a call that has ended, whether it was answered or not."""
    load, waiting, answered, now = Load(), list[int](), list[int](), START
    for step, number in steps:
        now += number
        if step == "began":
            waiting.append(load.began(now))
        elif step == "answered" and waiting:
            answered.append(waiting.pop(number % len(waiting)))
            load.answered(answered[-1], now)
        elif step == "ended" and (under_way := answered or waiting):
            load.ended(under_way.pop(number % len(under_way)), now)
        assert load.pending == len(waiting) + len(answered)
        assert load.cost(now) > 0
    for ticket in (*waiting, *answered):
        load.ended(ticket, now)
    assert load.pending == 0
    assert not load._waiting
