"""How many calls and tokens may pass: taken before the provider is asked, settled when the answer ends."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NoReturn

import orjson

from gateway_async.call import Answer, Call, Handler, Headers, StreamAnswer
from gateway_async.config import RouteConfig
from gateway_async.errors import RateLimited, Unavailable
from gateway_async.limit_config import UNLIMITED, period_seconds
from gateway_async.policies.meter import Meter
from gateway_async.stores.base import Level, Window
from gateway_async.tokens import Tokens, tokens_estimated


@dataclass(frozen=True, slots=True)
class Rule:
    """One number that a route keeps."""

    unit: Literal["calls", "tokens"]
    window: Window
    """Its key is only the beginning of one where each caller is counted apart."""

    by_user: bool
    words: str
    """For a sentence: `100 calls per minute for each caller`."""

    header: tuple[str, str]

    def window_for(self, user: str) -> Window:
        """Where a call of this user counts."""
        window = self.window
        return Window(window.key + user, window.most, window.seconds) if self.by_user else window


def with_limits(inner: Handler, route: RouteConfig, meter: Meter) -> Handler:
    """The handler within the limits of its route; the handler itself where it has none."""
    rules = rules_of(route)
    if not rules:
        return inner
    if closed := next((rule for rule in rules if not rule.window.most), None):
        return _Closed(route.name, closed)
    meter.counters()  # what can't be counted is said when the configuration loads
    return _Limited(inner, route, rules, meter)


def rules_of(route: RouteConfig) -> list[Rule]:
    """What the route's limits ask for: those on calls, then those on tokens, each for callers before all together.

    Of two for one period, the lower one.
    """
    found: dict[str, Rule] = {}
    for rule in sorted(_rules(route), key=lambda rule: (rule.unit, not rule.by_user, -rule.window.most)):
        found[rule.window.key] = rule
    return list(found.values())


def _rules(route: RouteConfig) -> Iterable[Rule]:
    for limit in route.all_limits():
        seconds, by_user = period_seconds(limit.renewal_period), limit.key == "user"
        for unit, most in (("calls", limit.calls), ("tokens", limit.tokens)):
            if most is None or most == UNLIMITED:
                continue
            # Without the number: who changes that changes no count.
            key = f"{route.name}/{unit}/{seconds}{'/' if by_user else ''}"
            words = f"{most} {unit[:-1] if most == 1 else unit} per {limit.renewal_period.strip()}"
            yield Rule(
                unit,  # type: ignore[arg-type] # mypy takes it for any text
                Window(key, most, seconds),
                by_user,
                f"{words} for each caller" if by_user else words,
                ("ratelimit-limit", str(most)),
            )


class _Closed:
    """Refuses every call of a route that has a limit of none."""

    def __init__(self, route: str, rule: Rule) -> None:
        self._message = f"the route {route!r} is closed: its limit is {rule.words}"
        self._seconds = rule.window.seconds
        self._headers = _headers(rule, Level(rule.window, 0, rule.window.seconds))

    async def __call__(self, call: Call) -> NoReturn:
        error = RateLimited(self._message, retry_after=self._seconds)
        error.headers = self._headers
        raise error


class _Limited:
    """Answers calls as far as the limits go."""

    def __init__(self, inner: Handler, route: RouteConfig, rules: Sequence[Rule], meter: Meter) -> None:
        self._inner = inner
        self._route = route.name
        self._allows = route.on_store_failure == "allow"
        self._rules = rules
        self._of_calls = [rule for rule in rules if rule.unit == "calls"]
        self._of_tokens = [rule for rule in rules if rule.unit == "tokens"]
        self._shared = [[rule.window for rule in of] for of in (self._of_calls, self._of_tokens)]
        self._by_user = any(rule.by_user for rule in rules)
        self._meter = meter

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        calls, tokens = self._windows(call.caller.user) if self._by_user else self._shared
        levels = self._meter.take_now(calls, tokens)
        headers = self._passed(await self._meter.take(calls, tokens) if levels is None else levels)
        answer = await (self._metered(call, tokens) if tokens else self._inner(call))
        answer.headers += headers
        return answer

    def _windows(self, user: str) -> list[list[Window]]:
        """Where a call of this user counts: as a call, and by its tokens."""
        return [[rule.window_for(user) for rule in of] for of in (self._of_calls, self._of_tokens)]

    def _passed(self, levels: Sequence[Level] | None) -> Headers:
        """What the caller is told of the limit that is nearest.

        Raises:
            RateLimited: Nothing was taken.
            Unavailable: Nobody knows whether something was.
        """
        if levels is None:
            if self._allows:
                return ()
            raise Unavailable(
                f"the limits of the route {self._route!r} can't be counted now, and it takes no calls without; "
                "try again soon",
                retry_after=1,
            )
        nearest = 0
        for at, level in enumerate(levels):
            if level.refused:
                raise self._refusal(levels)
            if at:
                near = levels[nearest]
                if level.remaining * near.window.most < near.remaining * level.window.most:
                    nearest = at
        return _headers(self._rules[nearest], levels[nearest])

    def _refusal(self, levels: Sequence[Level]) -> RateLimited:
        refused = [(level.reset, at) for at, level in enumerate(levels) if level.refused]
        at = max(refused)[1]
        rule, level = self._rules[at], levels[at]
        seconds = max(1, _whole(level.reset))
        error = RateLimited(
            f"the route {self._route!r} takes no more calls now: its limit is {rule.words}; "
            f"call again in {seconds} s",
            retry_after=seconds,
        )
        error.headers = _headers(rule, level)
        return error

    async def _metered(self, call: Call, windows: Sequence[Window]) -> Answer | StreamAnswer:
        """The answer; what it uses is counted when it ends."""
        settle, data = partial(self._meter.add, windows), call.data

        def note(used: Tokens) -> None:
            settle(used.total)

        call.on_usage = (*call.on_usage, note)
        try:
            answer = await self._inner(call)
        except asyncio.CancelledError:
            if call.sent:  # its caller left, but the provider has begun
                settle(tokens_estimated(data))
            raise
        if isinstance(answer, Answer):
            used = answer.usage
            settle(
                used.total if used else tokens_estimated(data) + tokens_estimated(orjson.loads(answer.body))
            )
        return answer


def _headers(rule: Rule, level: Level) -> Headers:
    return (
        rule.header,
        ("ratelimit-remaining", str(level.remaining)),
        ("ratelimit-reset", str(_whole(level.reset))),
    )


def _whole(seconds: float) -> int:
    """Whole seconds, not fewer; but a period that begins now is no second longer than it is."""
    return math.ceil(seconds - 0.001)
