"""What stands around providers: handlers around handlers, composed once when the configuration loads."""

from collections.abc import Sequence

from gateway_async.call import Handler
from gateway_async.config import RouteConfig
from gateway_async.policies.concurrency import PlacesByRoute, with_concurrency
from gateway_async.policies.destinations import with_destinations
from gateway_async.policies.meter import Meter
from gateway_async.policies.rate_limit import with_limits
from gateway_async.policies.timeouts import with_timeouts
from gateway_async.policies.usage import with_usage


def compose(
    asked: Sequence[tuple[str, Handler]], route: RouteConfig, meter: Meter, places: PlacesByRoute
) -> Handler:
    """One handler for a route, inside the policies that it asks for, the first to act outermost.

    Args:
        asked: What asks each of the route's `targets`, and its name.
        route: The route.
        meter: Counts for its limits, if it has any.
        places: Has its places, if they are counted.
    """
    counted = [(name, with_usage(handler)) for name, handler in asked]
    handler = with_timeouts(with_destinations(counted, route), route.timeouts)
    return with_limits(with_concurrency(handler, route, places), route, meter)
