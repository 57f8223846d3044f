"""Trying until somebody answers: a call goes to one destination, to the next, and to the same again after a while.

Within a priority a call that fails goes at once to a destination that it has not been to. When all have failed, those
whose failure may pass are asked again after a wait, as far as `retry` and its budget go; then it is the next priority's
turn. Nothing is tried again once anything of an answer has come.
"""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from gateway_async.call import Answer, Call, StreamAnswer
from gateway_async.errors import GatewayError, RateLimited, Unavailable
from gateway_async.policies.balance import Pick
from gateway_async.policies.budget import Budget
from gateway_async.policies.failures import cannot_carry, may_pass, reason_of
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
    attempts: int = 0
    failures: dict[Target, list[GatewayError]] = field(default_factory=dict)

    def note(self, target: Target, error: GatewayError) -> None:
        """Note a failure."""
        self.error = error
        self.attempts += not cannot_carry(error)
        self.failures.setdefault(target, []).append(error)

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
            course = _Course(call, failed)
            course.note(target, failed)
        return await self._go_on(course)

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

    async def _go_on(self, course: _Course) -> Answer | StreamAnswer:
        """The answer of another destination, or of the same after a while."""
        for number, group in enumerate(self._groups):
            later = [target for group in self._groups[number + 1 :] for target in group]
            try:
                return _told(await self._ask_group(group, later, course), course.attempts + 1)
            except GatewayError as failed:
                if failed is not course.error or not self._moves_on(failed):
                    course.error = failed
                    break
        raise _with_attempts(course.error, course.attempts)

    async def _ask_group(
        self, group: Sequence[Target], later: Sequence[Target], course: _Course
    ) -> Answer | StreamAnswer:
        """The answer of one of these.

        Raises:
            GatewayError: None has one; it is the course's last.
        """
        left = [target for target in group if target not in course.failures]

        async def ask_those_left() -> Answer | StreamAnswer:
            while left and not course.too_late():
                if (target := self._choose(left, time.monotonic())) is None:
                    break
                left.remove(target)
                try:
                    return await target.ask(course.call)
                except GatewayError as failed:
                    course.note(target, failed)
                    if not self._moves_on(failed):
                        break
            raise course.error

        def asks_again(_: BaseException) -> bool:
            left[:] = self._repeatable(group, later, course)
            return bool(left)

        def wait(state: RetryCallState) -> float:
            return max(_backoff(state), min(_asked_wait(course.failures[target]) for target in left))

        if not self._moves_on(course.error):
            left.clear()
        retrying = AsyncRetrying(
            retry=retry_if_exception(asks_again),
            wait=wait,
            stop=lambda state: course.too_late(state.upcoming_sleep),
            reraise=True,
        )
        return await retrying(ask_those_left)

    def _moves_on(self, error: GatewayError) -> bool:
        """Whether another destination may be asked after this."""
        return cannot_carry(error) or reason_of(error) in self._falls

    def _repeatable(self, group: Sequence[Target], later: Sequence[Target], course: _Course) -> list[Target]:
        """Those of a group that are asked once more, after a wait. If there are some, it is taken from the budget."""
        if self._budget is None:
            return []
        now, patience = time.monotonic(), LONGEST_WAIT
        if self._moves_on(course.error) and any(target.admits(now) for target in later):
            patience = SHORT_WAIT
        found = [
            target
            for target in group
            if (failures := course.failures.get(target))
            and len(failures) < self._attempts
            and may_pass(failures[-1])
            and _asked_wait(failures) <= patience
        ]
        return found if found and self._budget.take(now) else []

    def _nobody(self, now: float) -> GatewayError:
        """The error for a call that nobody may be asked to answer."""
        breakers = [(t.name, t.breaker) for group in self._groups for t in group if t.breaker]
        wait = max(1.0, min(breaker.wait(now) for _, breaker in breakers))
        said = "; ".join(
            f"{name} {'asked for a pause of' if breaker.paused(now) else 'has failed and rests for'} "
            f"{max(breaker.wait(now), 0.1):.1f} s"
            for name, breaker in breakers
        )
        kind = RateLimited if all(breaker.paused(now) for _, breaker in breakers) else Unavailable
        text = f"no destination of the route {self._route!r} can be asked now: {said}; call again in {math.ceil(wait)} s"
        error = kind(text, retry_after=wait)
        error.headers = (("x-gateway-route", self._route), (_ATTEMPTS, "0"))
        return error


def _asked_wait(failures: Sequence[GatewayError]) -> float:
    """Seconds for which the provider wants to be left alone."""
    return failures[-1].retry_after or 0.0


def _told(answer: Answer | StreamAnswer, attempts: int) -> Answer | StreamAnswer:
    """The answer with the number of attempts that it took."""
    headers = (*(header for header in answer.headers if header[0] != _ATTEMPTS), (_ATTEMPTS, str(attempts)))
    if isinstance(answer, Answer):
        return Answer(answer.body, headers)
    answer.headers = headers
    return answer


def _with_attempts(error: GatewayError, attempts: int) -> GatewayError:
    """The error with the number of attempts that were made."""
    kept = tuple(header for header in error.headers if header[0] != _ATTEMPTS)
    error.headers = (*kept, (_ATTEMPTS, str(attempts)))
    return error
