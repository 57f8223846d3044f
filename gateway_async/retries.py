"""Making a call again when it failed in a way that may pass."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_random_exponential,
)

from gateway_async.errors import ClientError, ConnectionFailed, GatewayError

T = TypeVar("T")

RETRIED = frozenset({429, 500, 502, 503})
"""The statuses after which a call is made again. A timeout is not: the answer may only be slow."""

_backoff = wait_random_exponential(multiplier=0.5, max=30)


class Retries:
    """Repeats a call, with exponential backoff and jitter, or after as long as `Retry-After` asks.

    A call is made again when the gateway answered one of `RETRIED`, or when it can't have taken the request. A wait
    that would pass the client's timeout is not begun.

    Args:
        most: How often a call is made again.
        timeout: Seconds for all attempts together.
    """

    def __init__(self, most: int, timeout: float) -> None:
        self._most = most
        self._timeout = timeout

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that succeeds, or the error of the last."""
        began = time.monotonic()
        try:
            return await attempt()
        except GatewayError as failed:
            if not _may_pass(failed) or self._most < 1:
                raise
            first = failed
        # Only what failed pays for the machinery below; its first attempt is the failure that is known already.
        failures = iter([first])

        async def again() -> T:
            for failure in failures:
                raise failure
            return await attempt()

        def give_up(state: RetryCallState) -> bool:
            too_late = time.monotonic() - began + state.upcoming_sleep >= self._timeout
            return too_late or state.attempt_number > self._most

        retrying = AsyncRetrying(
            stop=give_up,
            wait=_wait,
            retry=retry_if_exception(_may_pass),
            reraise=True,
        )
        return await retrying(again)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, ClientError):  # its status is only what it amounts to: nobody answered with it
        return isinstance(error, ConnectionFailed) and error.may_repeat
    return isinstance(error, GatewayError) and error.status in RETRIED


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, GatewayError) else None
    return asked if asked is not None else _backoff(state)
