"""How many calls of a route may be under way at once."""

import time
from functools import partial
from weakref import WeakValueDictionary

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.config import ConcurrencyConfig, RouteConfig
from gateway_async.errors import UpstreamError
from gateway_async.policies.adaptive import AdaptiveLimit
from gateway_async.policies.failures import cut_short, reason_of
from gateway_async.policies.noted_stream import NotedStream
from gateway_async.policies.places import Places

_OVERLOADED = frozenset({503, 529})
"""Statuses by which a provider says that it has too much to do, beside 429."""


class RoutePlaces(Places):
    """The places of a route.

    Attributes:
        adaptive: Says how many there are; None: as many as are configured.
    """

    adaptive: AdaptiveLimit | None = None

    def configure(self, config: ConcurrencyConfig) -> None:
        """Have so many places from now on; what was learnt of the provider stays."""
        super().configure(config)
        if not config.adaptive:
            self.adaptive = None
            return
        self.adaptive = self.adaptive or AdaptiveLimit(config.max)
        self.adaptive.resize(config.max)
        self.limit = self.adaptive.limit


class PlacesByRoute:
    """The places of each route of a gateway, for as long as the route or a call of it needs them.

    A route whose configuration changes keeps its places: its calls that are under way count on.
    """

    def __init__(self) -> None:
        self._places: WeakValueDictionary[str, RoutePlaces] = WeakValueDictionary()

    def of(self, route: str, config: ConcurrencyConfig) -> RoutePlaces:
        """The places of a route, as many as configured."""
        places = self._places.get(route)
        if places is None:
            places = self._places[route] = RoutePlaces(f"the route {route!r}", config)
        else:
            places.configure(config)
        return places


def with_concurrency(inner: Handler, route: RouteConfig, places: PlacesByRoute) -> Handler:
    """The handler with so many calls at once as its route has places for; the handler itself where none are counted.

    Calls beyond wait for their turn, or are refused with `Unavailable`.
    """
    if route.concurrency is None:
        return inner
    return _Bounded(inner, places.of(route.name, route.concurrency))


class _Bounded:
    """Answers calls that have a place, until the end of their answer."""

    def __init__(self, inner: Handler, places: RoutePlaces) -> None:
        self._inner = inner
        self._places = places

    async def __call__(self, call: Call) -> Answer | StreamAnswer:
        await self._places.enter(call.deadline)
        adaptive = self._places.adaptive
        began = (adaptive.round, time.monotonic()) if adaptive is not None else (0, 0.0)
        try:
            answer = await self._inner(call)
        except BaseException as failed:
            self._over(call, *began, failed)
            raise
        if isinstance(answer, Answer):
            self._over(call, *began, None)
            return answer
        return NotedStream(answer, partial(self._over, call, *began))

    def _over(self, call: Call, round_: int, began: float, failed: BaseException | None) -> None:
        places = self._places
        if (adaptive := places.adaptive) is not None:
            if failed is None and places.taken >= places.limit:
                adaptive.answered(round_)
            elif _is_overload(failed, call, began):
                adaptive.overloaded(round_)
            places.limit = adaptive.limit
        places.leave()


def _is_overload(failed: BaseException | None, call: Call, began: float) -> bool:
    """Whether a failure says that the provider has too much to do."""
    if not isinstance(failed, UpstreamError) or not failed.passes:  # a bill that is not paid is no overload
        return False
    reason = reason_of(failed)
    if reason == "timeout":
        return not cut_short(call, began, time.monotonic())
    return reason == "rate_limit" or failed.upstream_status in _OVERLOADED
