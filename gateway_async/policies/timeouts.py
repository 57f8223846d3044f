"""How long a call may take."""

import time
from collections.abc import Awaitable

from gateway_async.call import Answer, Call, Handler, StreamAnswer
from gateway_async.config import TimeoutsConfig


def with_timeouts(inner: Handler, timeouts: TimeoutsConfig) -> Handler:
    """The handler with the route's timeouts on every call.

    `total` becomes a deadline that everything inside must keep, unless the caller's own comes before. A stream has none
    but the caller's: it may go on for as long as it brings something within `idle` seconds.
    """

    def handle(call: Call) -> Awaitable[Answer | StreamAnswer]:
        call.timeouts = timeouts
        if not call.stream:
            deadline = time.monotonic() + timeouts.total
            if call.deadline is None or deadline < call.deadline:
                call.deadline = deadline
        return inner(call)

    return handle
