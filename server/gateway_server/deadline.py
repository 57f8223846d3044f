"""`X-Request-Timeout`: how many seconds the caller gives its call."""

import math

from starlette.types import Scope

from gateway_async.errors import BadRequest
from gateway_server.fields import fields_of

HEADER = b"x-request-timeout"


def timeout_of(scope: Scope) -> float | None:
    """The seconds that a request's caller gives it; None: as many as the route does.

    Raises:
        BadRequest: The header holds something else.
    """
    value = fields_of(scope).get(HEADER)
    return None if value is None else _seconds(value)


def _seconds(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BadRequest("the header X-Request-Timeout is a number of seconds above 0, such as 30 or 2.5")
    return seconds
