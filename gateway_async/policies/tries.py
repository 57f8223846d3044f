"""Trying until somebody answers: a call goes to one destination, to the next, and to the same again after a while.

Within a priority a call that fails goes at once to a destination that it has not been to. When all have failed, those
whose failure may pass are asked again after a wait, as far as `retry` and its budget go; then it is the next priority's
turn. Nothing is tried again once anything of an answer has come.
"""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from gateway_async.call import Answer, Call, Headers, StreamAnswer
from gateway_async.errors import GatewayError, RateLimited, Unavailable
from gateway_async.policies.balance import Pick
from gateway_async.policies.breaker import Breaker
from gateway_async.policies.budget import Budget
from gateway_async.policies.failures import cannot_carry, may_pass, reasons_of
from gateway_async.policies.target import Target
from gateway_async.traffic_config import FallbackReason, RetryConfig

LONGEST_WAIT = 10.0
"""A provider that wants to be left alone for longer is not waited for: the caller is told instead."""

SHORT_WAIT = 1.0
"""A longer one is not begun while there are other destinations to ask."""

_ATTEMPTS = "x-gateway-attempts"

_backoff = wait_random_exponential(multiplier=0.1, max=2)


@dataclass(slots=True)
class _Course:
    """What a call has been through."""

    call: Call
    error: GatewayError
    """What the caller is told if nobody answers."""

    last: Target
    """The destination that failed last."""

    attempts: int = 0
    failures: dict[Target, list[GatewayError]] = field(default_factory=dict)

    def note(self, target: Target, error: GatewayError) -> None:
        """Note a failure."""
        error.__traceback__ = None  # it leads here: the call would stay in memory until the collector comes
        self.last = target
        self.failures.setdefault(target, []).append(error)
        if not cannot_carry(error):
            self.attempts += 1
            self.error = error
        elif cannot_carry(self.error):  # else: the request is no bad one, for those who failed otherwise
            self.error = error

    def asked_wait(self, target: Target) -> float:
        """Seconds for which a destination that failed still wants to be left alone."""
        if target.breaker is not None:
            return target.breaker.wait(time.monotonic())
        return self.failures[target][-1].retry_after or 0.0

    def too_late(self, wait: float = 0.0) -> bool:
        """Whether the call's time is up, or would be after a wait."""
        return self.call.deadline is not None and time.monotonic() + wait >= self.call.deadline


class Tries:
    """Answers calls by the first destination that can.

    Args:
        route: The route's name.
        groups: Its destinations by priority, those that are asked first in the first group.
        pick: Chooses among several.
        falls: Why a call goes to another destination.
        retry: How often the same is asked again; None: never.
    """

    def __init__(
        self,
        route: str,
        groups: Sequence[Sequence[Target]],
        pick: Pick,
        falls: Collection[FallbackReason],
        retry: RetryConfig | None,
    ) -> None:
        self._route = route
        self._groups = groups
        self._pick = pick
        self._falls = frozenset(falls)
        self._attempts = 1 if retry is None else retry.attempts
        self._budget = None if retry is None else Budget(retry.budget)

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        if self._budget is not None:
            self._budget.earn()
        target = self._first()
        try:
            return await target.ask(call)
        except GatewayError as failed:
            course = _Course(call, failed, target)
            course.note(target, failed)
        told = await self._go_on(course)
        if not isinstance(told, GatewayError):
            return told
        try:
            raise told
        finally:
            del course, told  # as above

    def _first(self) -> Target:
        """Where a call goes first.

        Raises:
            Unavailable: Every destination is left alone now.
            RateLimited: And it is the providers who want that.
        """
        now = time.monotonic()
        for group in self._groups:
            if (target := self._choose(group, now)) is not None:
                return target
        raise self._nobody(now)

    def _choose(self, targets: Sequence[Target], now: float) -> Target | None:
        """One of these that may be asked, if there is one."""
        admitted = [target for target in targets if target.admits(now)]
        weighty = [target for target in admitted if target.weight] or admitted
        return self._pick(weighty, now) if weighty else None

    async def _go_on(self, course: _Course) -> Answer | StreamAnswer | GatewayError:
        """The answer of another destination, or of the same after a while; the failure, if none has one."""
        for number, group in enumerate(self._groups):
            later = [target for group in self._groups[number + 1 :] for target in group]
            if (answer := await self._ask_group(group, later, course)) is not None:
                return _told(answer, course.attempts + 1)
        if (leftover := course.call.leftover) is not None:
            return _told(leftover, course.attempts)
        course.error.headers = _with_attempts(course.error.headers, course.attempts)
        return course.error

    async def _ask_group(
        self, group: Sequence[Target], later: Sequence[Target], course: _Course
    ) -> Answer | StreamAnswer | None:
        """The answer of one of these, if one has it."""
        left = [target for target in group if target not in course.failures] if self._moves_on(course) else []
        if self._budget is None:
            return await self._ask_each(left, course)

        def asks_again(state: RetryCallState) -> bool:
            outcome = state.outcome
            if outcome is None or outcome.failed or outcome.result() is not None:
                return False  # answered, or its caller has left
            left[:] = self._repeatable(group, later, course) if state.attempt_number < self._attempts else ()
            return bool(left)

        def wait(state: RetryCallState) -> float:
            return max(_backoff(state), min(course.asked_wait(target) for target in left))

        retrying = AsyncRetrying(
            retry=asks_again,
            wait=wait,
            stop=lambda state: course.too_late(state.upcoming_sleep),
            retry_error_callback=_nothing,
        )
        try:
            return await retrying(self._ask_each, left, course)
        finally:
            retrying.iter_state.reset()  # its last steps lead back to it, and so to the call

    async def _ask_each(self, left: list[Target], course: _Course) -> Answer | StreamAnswer | None:
        """The answer of the first of these that has one, if one has it; they are taken off the list."""
        while left and not course.too_late():
            if (target := self._choose(left, time.monotonic())) is None:
                break
            left.remove(target)
            try:
                return await target.ask(course.call)
            except GatewayError as failed:
                course.note(target, failed)
            if not self._moves_on(course):
                break
        return None

    def _moves_on(self, course: _Course) -> bool:
        """Whether another destination may be asked after the last failure."""
        error = course.failures[course.last][-1]
        return cannot_carry(error) or not self._falls.isdisjoint(reasons_of(error))

    def _repeatable(
        self, group: Sequence[Target], later: Sequence[Target], course: _Course
    ) -> Sequence[Target]:
        """Those of a group that are asked once more, after a wait: as many as the budget has retries for."""
        if self._budget is None:
            return ()
        now, patience = time.monotonic(), LONGEST_WAIT
        if not self._moves_on(course):
            group = [target for target in group if target is course.last]
        elif any(target.admits(now) for target in later):
            patience = SHORT_WAIT
        found = [
            target
            for target in group
            if (failures := course.failures.get(target))
            and may_pass(failures[-1])
            and not target.rests(now)
            and course.asked_wait(target) <= patience
        ]
        return found[: self._budget.take(len(found), now)]

    def _nobody(self, now: float) -> GatewayError:
        """The error for a call that nobody may be asked to answer."""
        breakers = [(t.name, t.breaker) for group in self._groups for t in group if t.breaker]
        wait = max(1.0, min(breaker.wait(now) for _, breaker in breakers))
        said = "; ".join(f"{name} {_state(breaker, now)}" for name, breaker in breakers)
        kind = RateLimited if all(breaker.paused(now) for _, breaker in breakers) else Unavailable
        text = f"no destination of the route {self._route!r} can be asked now: {said}; call again in {math.ceil(wait)} s"
        error = kind(text, retry_after=wait)
        error.headers = (("x-gateway-route", self._route), (_ATTEMPTS, "0"))
        return error


def _nothing(_: RetryCallState) -> None:
    """No answer."""


def _state(breaker: Breaker, now: float) -> str:
    """Why a destination may not be asked."""
    wait = breaker.wait(now)
    if not wait:
        return "has failed, and others try whether it is back"
    return f"{'asked for a pause of' if breaker.paused(now) else 'has failed and rests for'} {max(wait, 0.1):.1f} s"


def _told(answer: Answer | StreamAnswer, attempts: int) -> Answer | StreamAnswer:
    """The answer with the number of attempts that it took."""
    answer.headers = _with_attempts(answer.headers, attempts)
    return answer


def _with_attempts(headers: Headers, attempts: int) -> Headers:
    """The headers, which tell of so many attempts."""
    return (*(header for header in headers if header[0] != _ATTEMPTS), (_ATTEMPTS, str(attempts)))
