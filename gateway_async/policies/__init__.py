"""What stands around a provider: handlers around handlers, composed once when the configuration loads."""

from gateway_async.call import Handler
from gateway_async.config import RouteConfig
from gateway_async.policies.meter import Meter
from gateway_async.policies.rate_limit import with_limits
from gateway_async.policies.timeouts import with_timeouts


def compose(handler: Handler, route: RouteConfig, meter: Meter) -> Handler:
    """The handler inside the policies that the route asks for, the first to act outermost.

    Args:
        handler: What answers calls in the end.
        route: The route.
        meter: Counts for its limits, if it has any.
    """
    return with_limits(with_timeouts(handler, route.timeouts), route, meter)
