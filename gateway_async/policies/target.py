"""A destination as it is asked: how busy it is, how quick, and whether its breaker lets calls pass."""

import math
import time

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.errors import GatewayError, UpstreamError
from gateway_async.policies.breaker import Breaker
from gateway_async.policies.failures import reason_of
from gateway_async.policies.noted_stream import NotedStream

DECAY_SECONDS = 10.0
"""How long a slow answer is remembered: after so long, a third of it."""

UNKNOWN_SECONDS = 0.001
"""What an answer is taken to need before there was one."""


class Load:
    """The calls that are under way, and how long an answer takes: its peak, forgotten slowly."""

    __slots__ = ("_at", "_average", "_began", "_number")

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        """When each call under way began, the oldest first."""

        self._number = 0
        self._average = self._at = 0.0

    @property
    def pending(self) -> int:
        """Calls under way."""
        return len(self._began)

    def began(self, now: float) -> int:
        """A ticket for a call that begins."""
        self._number += 1
        self._began[self._number] = now
        return self._number

    def answered(self, ticket: int, now: float, *, well: bool) -> None:
        """Learn how long an answer took. A failure that came quickly does not make a destination quick."""
        began = self._began.get(ticket, now)
        took, known = now - began, self._seconds(now)
        if took >= known:
            self._average = took
        elif well:
            kept = math.exp((self._at - now) / DECAY_SECONDS) if self._at else 0.0
            self._average = self._average * kept + took * (1 - kept)
        else:
            return
        self._at = now

    def ended(self, ticket: int) -> None:
        """Count a call no more."""
        self._began.pop(ticket, None)

    def cost(self, now: float) -> float:
        """What one more call would have to wait, roughly: who was kept waiting so long counts before he is answered."""
        seconds = max(self._seconds(now), UNKNOWN_SECONDS)
        for began in self._began.values():
            seconds = max(seconds, now - began)
            break
        return seconds * (len(self._began) + 1)

    def _seconds(self, now: float) -> float:
        return self._average * math.exp((self._at - now) / DECAY_SECONDS) if self._average else 0.0


class Target:
    """A destination of a route.

    Args:
        name: `provider/model`.
        handler: Asks the provider.
        weight: Its share of the calls, beside those of the same priority.
        breaker: Lets calls pass; None: always.
    """

    def __init__(
        self, name: str, handler: Handler, *, weight: float = 1.0, breaker: Breaker | None = None
    ) -> None:
        self.name = name
        self.weight = weight
        self.breaker = breaker
        self.load = Load()
        self._handler = handler

    def admits(self, now: float) -> bool:
        """Whether it may be asked."""
        return self.breaker is None or self.breaker.admits(now)

    async def ask(self, call: Call) -> Answer | StreamAnswer:
        """Its answer.

        Raises:
            GatewayError: It has none.
        """
        visit = _Visit(self, call)
        try:
            answer = await self._handler(call)
        except GatewayError as failed:
            visit.failed(failed)
            raise
        except BaseException:
            visit.left()
            raise
        visit.answered()
        if isinstance(answer, Answer):
            visit.over(None)
            return answer
        return NotedStream(answer, visit.over)


class _Visit:
    """A call of a destination, from its beginning to the end of its answer."""

    __slots__ = ("_breaker", "_call", "_load", "_place", "_ticket")

    def __init__(self, target: Target, call: Call) -> None:
        self._call = call
        self._load, self._breaker = target.load, target.breaker
        self._place = self._load.began(time.monotonic())
        self._ticket = 0 if self._breaker is None else self._breaker.began()

    def answered(self) -> None:
        """Note an answer, or the first chunk of a stream."""
        now = time.monotonic()
        self._load.answered(self._place, now, well=True)
        if self._breaker is not None:
            self._breaker.ended(self._ticket, True, now)

    def failed(self, error: GatewayError) -> None:
        """Note that there is no answer, and whose fault that is."""
        now = time.monotonic()
        failed = self._is_its_failure(error, now)
        if failed is not None:
            self._load.answered(self._place, now, well=not failed)
        self._load.ended(self._place)
        if self._breaker is None:
            return
        self._breaker.ended(self._ticket, None if failed is None else not failed, now)
        if error.retry_after and isinstance(error, UpstreamError):
            self._breaker.pause(now + error.retry_after)

    def left(self) -> None:
        """Note that nobody waits for the answer any more."""
        self._load.ended(self._place)
        if self._breaker is not None:
            self._breaker.ended(self._ticket, None, time.monotonic())

    def over(self, failed: BaseException | None) -> None:
        """Note the end of an answer that had begun."""
        self._load.ended(self._place)
        if self._breaker is not None and isinstance(failed, GatewayError):
            now = time.monotonic()
            if self._is_its_failure(failed, now):
                self._breaker.broke(now)

    def _is_its_failure(self, error: GatewayError, now: float) -> bool | None:
        """Whether the destination failed; False: it answered, if only to refuse; None: nobody can say."""
        reason = reason_of(error)
        if reason == "rate_limit" or not isinstance(error, UpstreamError):
            return None
        deadline = self._call.deadline
        if reason == "timeout" and self._call.hurried and deadline is not None and now >= deadline:
            return None  # its caller gave it no more time: others may be more patient
        return reason in ("failure", "timeout")
