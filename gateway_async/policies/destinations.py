"""From the destinations of a route to the one handler that asks them."""

from collections.abc import Sequence
from itertools import groupby

from gateway_async.call import Handler
from gateway_async.config import RouteConfig
from gateway_async.policies.balance import BALANCES
from gateway_async.policies.breaker import Breaker
from gateway_async.policies.target import Target
from gateway_async.policies.tries import Tries
from gateway_async.traffic_config import BreakerConfig


def with_destinations(asked: Sequence[tuple[str, Handler]], route: RouteConfig) -> Handler:
    """What asks the destinations of a route; where there is nothing to choose or to try, the one handler itself.

    Args:
        asked: What asks each of the route's `targets`, and its name.
        route: The route.
    """
    several = len(asked) > 1
    if not (several or route.retry or route.breaker):
        return asked[0][1]
    breaks = route.breaker or (BreakerConfig() if several else None)
    targets = [
        (
            target.priority,
            Target(name, handler, weight=target.weight, breaker=Breaker(breaks) if breaks else None),
        )
        for target, (name, handler) in zip(route.targets(), asked, strict=True)
    ]
    targets.sort(key=lambda target: target[0])
    groups = [[target for _, target in group] for _, group in groupby(targets, key=lambda target: target[0])]
    return Tries(route.name, groups, BALANCES[route.balance](), route.fallback_on, route.retry)
