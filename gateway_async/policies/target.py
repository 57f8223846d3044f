"""A destination as it is asked: how busy it is, how quick, and whether its breaker lets calls pass."""

import logging
import math
import time

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.errors import UpstreamError
from gateway_async.policies.breaker import Breaker
from gateway_async.policies.failures import answered, cut_short, reason_of
from gateway_async.policies.noted_stream import NotedStream

DECAY_SECONDS = 10.0
"""How long a slow answer is remembered: after so long, a third of it."""

UNKNOWN_SECONDS = 0.001
"""What an answer is taken to need before there was one."""


_log = logging.getLogger("gateway_async")


class Load:
    """The calls that are under way, and how long an answer takes: its peak, forgotten slowly.

    Attributes:
        pending: Calls under way. A stream is until its end.
    """

    __slots__ = ("_at", "_average", "_number", "_waiting", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._waiting: dict[int, float] = {}
        """When each call began that waits for its answer, the oldest first."""

        self._number = 0
        self._average = self._at = 0.0

    def began(self, now: float) -> int:
        """A ticket for a call that begins."""
        self.pending += 1
        self._number += 1
        self._waiting[self._number] = now
        return self._number

    def answered(self, ticket: int, now: float) -> None:
        """Learn how long an answer took, of a stream its first chunk."""
        took = now - self._waiting.pop(ticket)
        if took < self._seconds(now):
            kept = math.exp((self._at - now) / DECAY_SECONDS)
            took = self._average * kept + took * (1 - kept)
        self._average, self._at = took, now

    def ended(self, ticket: int, now: float) -> None:
        """Count a call no more. Whoever got no answer may tell that it is slow, but not that it is quick."""
        self.pending -= 1
        if (began := self._waiting.pop(ticket, None)) is not None and now - began > self._seconds(now):
            self._average, self._at = now - began, now

    def cost(self, now: float) -> float:
        """What one more call would have to wait, roughly: who was kept waiting so long counts before he is answered."""
        seconds = max(self._seconds(now), UNKNOWN_SECONDS)
        for began in self._waiting.values():
            seconds = max(seconds, now - began)
            break
        return seconds * (self.pending + 1)

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
        self._down = False

    def admits(self, now: float) -> bool:
        """Whether it may be asked."""
        return self.breaker is None or self.breaker.admits(now)

    def rests(self, now: float) -> bool:
        """Whether it is left alone because it has failed."""
        return self.breaker is not None and self.breaker.rests(now)

    def tell(self, call: Call, why: object) -> None:
        """Log that it is left alone from now on, or asked as before, if that is new."""
        if self.breaker is None or self.breaker.closed is not self._down:
            return
        self._down = not self._down
        if self._down:
            _log.warning(
                "the route %r leaves %s alone for a while, which fails: %s", call.route, self.name, why
            )
        else:
            _log.info("the route %r asks %s again as before", call.route, self.name)

    async def ask(self, call: Call) -> Answer | StreamAnswer:
        """Its answer.

        Raises:
            GatewayError: It has none.
        """
        visit = _Visit(self, call)
        try:
            answer = await self._handler(call)
        except BaseException as failed:
            visit.failed(failed)
            raise
        visit.answered()
        if isinstance(answer, Answer):
            visit.over(None)
            return answer
        return NotedStream(answer, visit.over)


class _Visit:
    """A call of a destination, from its beginning to the end of its answer."""

    __slots__ = ("_began", "_breaker", "_call", "_load", "_place", "_target", "_ticket")

    def __init__(self, target: Target, call: Call) -> None:
        self._call, self._target = call, target
        self._load, self._breaker = target.load, target.breaker
        self._began = time.monotonic()
        self._place = self._load.began(self._began)
        self._ticket = 0 if self._breaker is None else self._breaker.began()

    def answered(self) -> None:
        """Note an answer, or the first chunk of a stream."""
        now = time.monotonic()
        self._load.answered(self._place, now)
        if self._breaker is not None:
            self._breaker.ended(self._ticket, True, now)
            self._target.tell(self._call, None)

    def failed(self, error: BaseException) -> None:
        """Note that there is no answer, and whose fault that is."""
        now = time.monotonic()
        self._load.ended(self._place, now)
        if self._breaker is None:
            return
        self._breaker.ended(self._ticket, self._judged(error, now), now)
        self._target.tell(self._call, error)
        if isinstance(error, UpstreamError) and error.retry_after and reason_of(error):
            self._breaker.pause(error.retry_after, now)

    def over(self, failed: BaseException | None) -> None:
        """Note the end of an answer that had begun."""
        now = time.monotonic()
        self._load.ended(self._place, now)
        if self._breaker is not None and failed is not None and self._judged(failed, now) is False:
            self._breaker.broke(self._ticket, now)
            self._target.tell(self._call, failed)

    def _judged(self, error: BaseException, now: float) -> bool | None:
        """Whether the destination is well; False: it has failed; None: nobody can say."""
        if not isinstance(error, UpstreamError):  # it was never asked, or its caller has left
            return None
        if reason_of(error) == "timeout" and cut_short(self._call, self._began, now):
            return None
        return answered(error)
