"""`X-Request-Timeout`: how many seconds the caller gives its call."""

import math

from starlette.types import Scope

from gateway_async.errors import BadRequest

HEADER = b"x-request-timeout"


def timeout_of(scope: Scope) -> float | None:
    """The seconds that a request's caller gives it; None: as many as the route does.

    Raises:
        BadRequest: The header holds something else.
    """
    for name, value in scope["headers"]:
        if name == HEADER:
            return _seconds(value)
    return None


def _seconds(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BadRequest("the header X-Request-Timeout is a number of seconds above 0, such as 30 or 2.5")
    return seconds
