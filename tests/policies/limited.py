"""Gateways with limits, and counters that do what a test wants."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway_async.call import Answer, Caller, StreamAnswer
from gateway_async.config_file import load_config
from gateway_async.errors import RateLimited
from gateway_async.gateway import Gateway
from gateway_async.stores.base import Counters, CountersUnavailable, Level, Window
from gateway_async.stores.shared_memory import SharedMemoryCounters
from tests.support.configs import HELLO, offline

Json = dict[str, Any]

ALICE, BOB = Caller("192.0.2.1"), Caller("192.0.2.2")


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def gateway_of(
    *endpoints: Json, counters: Counters | None = None, clock: Clock | None = None
) -> AsyncIterator[Gateway]:
    """A gateway that counts in memory of its own unless told where."""
    counted = SharedMemoryCounters(clock=clock or Clock()) if counters is None else counters
    async with Gateway(load_config({"endpoints": list(endpoints)}), lambda: counted) as gateway:
        yield gateway
    await counted.aclose()


def limited(*limits: Json, name: str = "chat", **more: Any) -> Json:
    """A route that needs no provider; a limit's period is a minute where it has none."""
    return {
        **offline(name, "chat"),
        "limits": [{"renewal_period": "minute", **limit} for limit in limits],
        **more,
    }


async def call(
    gateway: Gateway, caller: Caller | None = None, *, route: str = "chat", data: Json = HELLO, **more: Any
) -> Answer | StreamAnswer:
    """One call."""
    return await gateway.handle(gateway.find(route), {**data, **more}, caller=caller)


async def passes(gateway: Gateway, caller: Caller | None = None, *, route: str = "chat", **more: Any) -> bool:
    """Whether a call passes, rather than meet a limit."""
    try:
        answer = await call(gateway, caller, route=route, **more)
    except RateLimited:
        return False
    if not isinstance(answer, Answer):
        await answer.aclose()
    return True


class Failing:
    """Counters that are out of reach, or count in others."""

    def __init__(self, inner: Counters) -> None:
        self.inner = inner
        self.down = True
        self.asked = 0
        """How often they were asked while they were down."""

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level]:
        """As the others, when they are in reach."""
        self._check()
        return await self.inner.take(calls, tokens)

    async def add(self, windows: Sequence[Window], amount: int) -> None:
        """As the others, when they are in reach."""
        self._check()
        await self.inner.add(windows, amount)

    async def aclose(self) -> None:
        """Close the others."""
        await self.inner.aclose()

    def _check(self) -> None:
        if self.down:
            self.asked += 1
            raise CountersUnavailable("nobody answers")
