"""Places and their queue: who enters, who waits, who is refused, whatever the order in which they come and leave."""

import asyncio
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_async.config import ConcurrencyConfig
from gateway_async.errors import Unavailable
from gateway_async.policies.places import LONGEST_RETRY, Places

LONG = 600.0
"""Seconds that nobody waits here."""


def places(most: int, queue: int | None = None, seconds: float = LONG) -> Places:
    """Places of a route."""
    return Places("the route 'chat'", ConcurrencyConfig(max=most, queue=queue, queue_seconds=seconds))


async def a_while() -> None:
    """Let everybody go on who can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def refused(entering: Any) -> Unavailable:
    """The refusal that somebody gets who wants to enter."""
    with pytest.raises(Unavailable) as refusal:
        await entering
    return refusal.value


STEPS = st.one_of(
    st.sampled_from(["enter", "leave", "tick"]),
    st.tuples(st.just("cancel"), st.integers(0, 2)),
    st.tuples(st.just("limit"), st.integers(1, 4)),
)


class Crowd:
    """Callers of some places, each in a task of its own, who stay inside until they are told to leave."""

    def __init__(self, most: int, queue: int) -> None:
        self.places = places(most, queue)
        self.queue = queue
        self.tasks: list[asyncio.Task[None]] = []
        self.entered: list[int] = []
        self.refused: set[int] = set()
        self.left = 0

    async def enter(self, number: int) -> None:
        """Wait for a place."""
        try:
            await self.places.enter()
        except Unavailable:
            self.refused.add(number)
        else:
            self.entered.append(number)

    def leave(self) -> None:
        """Have one of those leave who are inside."""
        if len(self.entered) > self.left:
            self.left += 1
            self.places.leave()

    async def do(self, step: Any) -> None:
        """Do one step, and check what is so at any time."""
        if step == "enter":
            self.tasks.append(asyncio.create_task(self.enter(len(self.tasks))))
        elif step == "leave":
            self.leave()
        elif step == "tick":
            await asyncio.sleep(0)
        elif step[0] == "limit":
            self.places.limit = step[1]
        else:
            waiting = [task for task in self.tasks if not task.done()]
            for task in waiting[step[1] : step[1] + 1]:
                task.cancel()
        assert self.places.waiting <= self.queue
        assert self.places.taken >= len(self.entered) - self.left


@settings(max_examples=300)
@given(st.integers(1, 3), st.integers(1, 3), st.lists(STEPS, min_size=5, max_size=40))
def test_no_place_is_lost_and_none_is_given_twice(most: int, queue: int, steps: list[Any]) -> None:
    """In whatever order callers come, leave their places, and give up, also in the moment in which they get one."""

    async def run() -> None:
        crowd = Crowd(most, queue)
        for step in steps:
            await crowd.do(step)
        await a_while()
        inside = len(crowd.entered) - crowd.left
        assert crowd.places.taken == inside
        assert crowd.entered == sorted(crowd.entered)
        while crowd.places.taken:
            crowd.leave()
            await a_while()
        assert crowd.places.waiting == 0
        assert all(task.done() for task in crowd.tasks)

    asyncio.run(run())


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 15))
def test_a_crowd_gets_exactly_the_places_and_the_queue(most: int, queue: int, count: int) -> None:
    """The first enter, the next wait, all others are refused; in the end everybody who waited was inside, in turn."""

    async def run() -> None:
        crowd = Crowd(most, queue)
        for _ in range(count):
            await crowd.do("enter")
        await a_while()
        assert crowd.places.taken == min(most, count)
        assert crowd.places.waiting == min(max(count - most, 0), queue)
        assert crowd.refused == set(range(most + queue, count))
        while crowd.places.taken:
            assert crowd.places.taken <= most
            crowd.leave()
            await a_while()
        assert crowd.entered == list(range(min(count, most + queue)))

    asyncio.run(run())


async def test_who_gives_up_in_the_moment_of_its_turn_passes_its_place_on() -> None:
    """The place was given to it already, and the next one is waiting for it."""
    full = places(1, 2)
    await full.enter()
    waiting = [asyncio.create_task(full.enter()) for _ in range(2)]
    await a_while()

    full.leave()
    waiting[0].cancel()
    await waiting[1]

    assert waiting[0].cancelled()
    assert (full.taken, full.waiting) == (1, 0)


async def test_a_place_is_not_given_to_one_who_has_just_given_up() -> None:
    """Even before it had its turn in the loop to say so."""
    full = places(1, 2)
    await full.enter()
    waiting = [asyncio.create_task(full.enter()) for _ in range(2)]
    await a_while()

    waiting[0].cancel()
    full.leave()
    await waiting[1]

    assert (full.taken, full.waiting) == (1, 0)


async def test_who_gives_up_makes_room_in_the_queue() -> None:
    """At once, not when its turn would have come."""
    full = places(1, 1)
    await full.enter()
    for _ in range(3):
        waiting = asyncio.create_task(full.enter())
        await a_while()
        assert full.waiting == 1
        waiting.cancel()
        await a_while()

    assert (full.taken, full.waiting) == (1, 0)


async def test_a_refusal_says_how_many_there_are_and_when_to_come_back() -> None:
    """In a sentence, and in whole seconds for a header."""
    full = places(1, 1)
    await full.enter()
    waiting = asyncio.create_task(full.enter())
    await a_while()

    refusal = await refused(full.enter())

    assert refusal.status == 503
    assert refusal.retry_after == 1
    assert refusal.message == (
        "the route 'chat' is full: 1 under way and 1 waiting, which is all that its concurrency allows; "
        "call again in 1 s"
    )
    full.leave()
    await waiting


async def test_nobody_waits_longer_than_allowed() -> None:
    """One after the other they are sent away, without a place and without taking one with them."""
    full = places(1, 3, seconds=0.05)
    await full.enter()
    waiting = [asyncio.create_task(refused(full.enter())) for _ in range(3)]

    refusals = await asyncio.gather(*waiting)

    assert "this call has waited for 0.05 s, as long as it may; call again in" in refusals[0].message
    assert [refusal.status for refusal in refusals] == [503] * 3
    assert (full.taken, full.waiting) == (1, 0)
    full.leave()
    await full.enter()
    assert full.taken == 1


async def test_who_came_later_may_wait_as_long() -> None:
    """The timer that sends the first away does not forget the second."""
    full = places(1, 2, seconds=0.1)
    await full.enter()
    first = asyncio.create_task(refused(full.enter()))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    second = asyncio.create_task(refused(full.enter()))

    await asyncio.gather(first, second)

    assert time.monotonic() - began >= 0.099


async def test_a_caller_in_a_hurry_waits_no_longer_than_it_can() -> None:
    """Its own deadline counts where it comes first; those before and behind it wait on."""
    full = places(1, 3)
    await full.enter()
    patient = [asyncio.create_task(full.enter())]
    await a_while()
    hurried = asyncio.create_task(refused(full.enter(time.monotonic() + 0.5)))
    await a_while()
    patient.append(asyncio.create_task(full.enter(time.monotonic() + 2 * LONG)))

    waited = re.search(r"has waited for (\S+) s", (await hurried).message)
    assert waited is not None
    assert 0 < float(waited[1]) <= 0.5
    assert "all that its concurrency allows" in (await refused(full.enter(time.monotonic()))).message

    assert full.waiting == 2
    full.leave()
    await patient[0]
    full.leave()
    await patient[1]


async def test_more_places_let_those_in_who_wait() -> None:
    """When the next one comes or leaves; nobody overtakes them."""
    full = places(1, 3)
    await full.enter()
    waiting = [asyncio.create_task(full.enter()) for _ in range(2)]
    await a_while()

    full.configure(ConcurrencyConfig(max=4, queue=3, queue_seconds=LONG))
    await full.enter()
    await asyncio.gather(*waiting)

    assert (full.taken, full.waiting) == (4, 0)


async def test_fewer_places_send_nobody_away() -> None:
    """The next one enters when so many have left that there is room again."""
    busy = places(3, 3)
    for _ in range(3):
        await busy.enter()
    busy.configure(ConcurrencyConfig(max=1, queue=3, queue_seconds=LONG))
    waiting = asyncio.create_task(busy.enter())
    for _ in range(2):
        await a_while()
        assert not waiting.done()
        busy.leave()
    await a_while()
    assert not waiting.done()
    busy.leave()

    await waiting


async def test_the_time_to_come_back_follows_how_quickly_places_become_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """About as long as those who wait will need; never more than a minute."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    full = places(1, 4, seconds=10_000)
    await full.enter()
    waiting = [asyncio.create_task(full.enter()) for _ in range(4)]
    for _ in range(2):
        await a_while()
        now += 3
        full.leave()
    waiting += [asyncio.create_task(full.enter()) for _ in range(2)]
    await a_while()

    assert (await refused(full.enter())).retry_after == 12

    now += 1000
    assert (await refused(full.enter())).retry_after == LONGEST_RETRY
    for _ in waiting:
        full.leave()
        await a_while()


def test_a_queue_works_in_one_loop_after_another() -> None:
    """The timer of a loop that is gone holds up nobody."""
    full = places(1, 3, seconds=0.05)

    async def leave_one_waiting() -> None:
        await full.enter()
        waiting = asyncio.create_task(full.enter())
        await a_while()
        waiting.cancel()

    async def wait_too_long() -> None:
        assert "has waited" in (await refused(full.enter())).message

    asyncio.run(leave_one_waiting())
    asyncio.run(wait_too_long())
