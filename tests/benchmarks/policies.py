"""The policies of ours whose cost is measured, a row each: the bare gateway, and the same with something more."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .gateways import BEARER, KEY, START, Json, endpoint, model

BASE = "bare"
"""The row that the others are compared to."""

_KEYS = {"keys": [{"name": "bench", "key": KEY, "role": "caller"}]}
_NEVER_MET = {"calls": 10**9, "renewal_period": "minute"}
_DEADLINE = {"x-request-timeout": "30"}
_QUIET = (*START, "--no-access-log")


@dataclass(frozen=True, eq=False)
class Policy:
    """The gateway with something more."""

    name: str
    route: Callable[[int], Json] = field(default=lambda _upstream: {})
    """Settings of the route, by the upstream's port."""

    server: Mapping[str, object] = field(default_factory=dict)
    """Settings of the whole gateway; `{redis}` in one is the address of a Redis."""

    command: tuple[str, ...] = _QUIET
    headers: Mapping[str, str] = field(default_factory=dict)
    openai: bool = False
    """It is asked at the OpenAI path."""

    def process(self) -> str:
        """What rows that share a process have in common."""
        return json.dumps([self.server, self.command])

    def endpoint(self, upstream: int) -> Json:
        """Its route, without its name."""
        route = {**endpoint("", upstream), **self.route(upstream)}
        if "destinations" in route:
            del route["model"]
        return route


def two(balance: str) -> Callable[[int], Json]:
    """Two destinations, both the mock upstream."""
    return lambda upstream: {
        "destinations": [{"model": model(upstream)}, {"model": model(upstream)}],
        "balance": balance,
    }


def same(**settings: object) -> Callable[[int], Json]:
    """Settings that need no port."""
    return lambda _upstream: settings


_RETRY = {"attempts": 3, "budget": 0.2}
_BREAKER = {"failures": 5, "open_seconds": 10}
_CONCURRENCY = {"max": 200, "queue": 400, "queue_seconds": 5}

ALL = Policy(
    "all",
    lambda upstream: {
        **two("latency")(upstream),
        "limit": _NEVER_MET,
        "retry": _RETRY,
        "breaker": _BREAKER,
        "concurrency": _CONCURRENCY,
    },
    _KEYS,
    START,
    {**BEARER, **_DEADLINE},
)

POLICIES = (
    Policy(BASE),
    Policy("OpenAI path", openai=True),
    Policy("deadline header", headers=_DEADLINE),
    Policy("one limit, in memory", same(limit=_NEVER_MET)),
    Policy("one limit, per user", same(limits=[{**_NEVER_MET, "key": "user"}])),
    Policy("one limit, of tokens", same(limits=[{"tokens": 2 * 10**9, "renewal_period": "minute"}])),
    Policy("two destinations, weighted", two("weighted")),
    Policy("two destinations, least_pending", two("least_pending")),
    Policy("two destinations, latency", two("latency")),
    Policy("retry", same(retry=_RETRY)),
    Policy("breaker", same(breaker=_BREAKER)),
    Policy("concurrency", same(concurrency=_CONCURRENCY)),
    Policy("key", server=_KEYS, headers=BEARER),
    Policy("access log", command=START),
    Policy("one limit, in Redis", same(limit=_NEVER_MET), server={"counters": "{redis}"}),
    Policy("key, limit, access log", same(limit=_NEVER_MET), _KEYS, START, BEARER),
    ALL,
)
