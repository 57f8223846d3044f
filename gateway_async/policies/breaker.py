"""A breaker: a destination that fails is left alone for a while, and comes back slowly. Pure; the caller knows the time."""

from gateway_async.traffic_config import BreakerConfig

WINDOW_SECONDS = 10.0
"""How far back the rate of failures looks."""

LEAST_CALLS = 20
"""So many calls tell a rate; fewer don't."""

ENOUGH = 32
"""Once so many calls at once may try a destination that comes back, it is back."""

LONGEST_PAUSE = 300.0
"""A provider that asks for a longer pause is asked again after this: it may have been mistaken, or been paid since."""


class Breaker:
    """Says whether a destination may be asked.

    Closed, it lets every call pass. It opens after some failures one after another, or when too large a share of the
    calls fails. When its time is over one call may try; each answer doubles how many may at once, until there are
    enough to call it closed; a failure opens it again.

    A call holds a ticket from `began` to `ended`. What began before the breaker last changed says nothing any more.
    """

    def __init__(self, config: BreakerConfig) -> None:
        self._most = config.failures
        self._rate = config.failure_rate
        self._seconds = config.open_seconds
        self._changes = 0
        self._in_a_row = 0
        self._since = 0.0
        self._calls = self._failures = 0
        self._calls_before = self._failures_before = 0
        self._open_until: float | None = None
        self._trial: int | None = None
        """Calls that may be under way at once while it comes back; None: it is closed, or open."""

        self._trying = 0
        self._paused_until = 0.0

    def admits(self, now: float) -> bool:
        """Whether a call may be made."""
        if now < self._paused_until:
            return False
        if self._open_until is not None:
            if now < self._open_until:
                return False
            self._open_until, self._trial, self._trying = None, 1, 0
            self._changes += 1
        return self._trial is None or self._trying < self._trial

    def wait(self, now: float) -> float:
        """Seconds until a call may be made, as far as is known; 0: it may now, or when those that try are answered."""
        return max(self._paused_until - now, (self._open_until or 0) - now, 0.0)

    @property
    def closed(self) -> bool:
        """It is trusted: neither left alone for its failures, nor tried."""
        return self._open_until is None and self._trial is None

    def paused(self, now: float) -> bool:
        """Whether it is the provider itself that asked for the wait."""
        return self._paused_until > max(now, self._open_until or 0)

    def rests(self, now: float) -> bool:
        """Whether no call may be made because too many have failed."""
        return self._open_until is not None and now < self._open_until

    def began(self) -> int:
        """A ticket for a call that is made now."""
        if self._trial is not None:
            self._trying += 1
        return self._changes

    def ended(self, ticket: int, answered: bool | None, now: float) -> None:
        """Learn what became of a call: it was answered, it failed, or (None) neither can be said."""
        if ticket != self._changes:
            return
        if self._trial is not None:
            self._trying -= 1
            if answered:
                self._trial *= 2
                if self._trial > ENOUGH:
                    self._close()
            elif answered is False:
                self._open(now)
            return
        if answered is None:
            return
        self._move_window(now)
        self._calls += 1
        if answered:
            self._in_a_row = 0
        else:
            self._count_failure(now)

    def broke(self, ticket: int, now: float) -> None:
        """Learn that a call that was answered had its answer broken off."""
        if ticket != self._changes:
            return
        if self._trial is not None:
            self._open(now)
        else:
            self._move_window(now)
            self._count_failure(now)

    def pause(self, seconds: float, now: float) -> None:
        """Make no call for so long: the provider asked for that."""
        self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE))

    def _move_window(self, now: float) -> None:
        """Forget what was counted too long ago."""
        passed = now - self._since
        if passed >= WINDOW_SECONDS:
            recent = passed < 2 * WINDOW_SECONDS
            self._calls_before, self._failures_before = (self._calls, self._failures) if recent else (0, 0)
            self._calls = self._failures = 0
            self._since = self._since + WINDOW_SECONDS if recent else now

    def _count_failure(self, now: float) -> None:
        self._in_a_row += 1
        self._failures += 1
        before = 1 - (now - self._since) / WINDOW_SECONDS
        calls = self._calls + before * self._calls_before
        failures = self._failures + before * self._failures_before
        if self._in_a_row >= self._most or (calls >= LEAST_CALLS and failures >= self._rate * calls):
            self._open(now)

    def _open(self, now: float) -> None:
        self._changes += 1
        self._open_until, self._trial = now + self._seconds, None
        self._in_a_row = 0

    def _close(self) -> None:
        self._changes += 1
        self._trial = None
        self._in_a_row = self._calls = self._failures = self._calls_before = self._failures_before = 0
