"""What stands around a provider: handlers around handlers, composed once when the configuration loads."""

from gateway_async.call import Handler
from gateway_async.config import RouteConfig
from gateway_async.policies.timeouts import with_timeouts


def compose(handler: Handler, route: RouteConfig) -> Handler:
    """The handler inside the policies that the route asks for, the first to act outermost."""
    return with_timeouts(handler, route.timeouts)
