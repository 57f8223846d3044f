"""Credentials that change: asked for in a thread, held while they last, asked for anew before they end."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

FAILED_SECONDS = 5.0
"""So long a failure counts for all who ask: each attempt may take long, and many may ask."""


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """Something that is held for a while; the times are those of `time.time`."""

    value: T
    refresh_at: float = math.inf
    """When to ask for the next, while this one serves on."""

    ends_at: float = math.inf
    """When it is worth nothing any more."""


class Holder(Generic[T]):
    """Gives what `fetch` gave last, while it lasts.

    Args:
        fetch: Gives the next; it may block, and is called in a thread, once for all who wait.
    """

    def __init__(self, fetch: Callable[[], Held[T]]) -> None:
        self._fetch = fetch
        self._held: Held[T] | None = None
        self._asking: asyncio.Task[Held[T]] | None = None
        self._failed: Exception | None = None
        self._again_at = 0.0

    async def get(self) -> T:
        """What is held, or the next. Nobody waits for the next while what is held still lasts.

        Raises:
            Exception: What `fetch` raised, if nothing is held that still lasts.
        """
        held, now = self._held, time.time()
        if held is not None and now < held.ends_at:
            if now >= held.refresh_at and now >= self._again_at:
                self._ask()
            return held.value
        if self._failed is not None and now < self._again_at:
            raise self._failed.with_traceback(None)
        return (await asyncio.shield(self._ask())).value

    def _ask(self) -> "asyncio.Task[Held[T]]":
        """Ask for the next, once however many wait: none of them can call it off for the others."""
        asking = self._asking
        if asking is None or asking.done() or asking.get_loop() is not asyncio.get_running_loop():
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._fetch))
            asking.add_done_callback(self._keep)
        return asking

    def _keep(self, asked: "asyncio.Task[Held[T]]") -> None:
        if asked.cancelled():
            return
        problem = asked.exception()
        if problem is None:
            self._held, self._failed = asked.result(), None
        elif isinstance(problem, Exception):
            self._failed, self._again_at = problem, time.time() + FAILED_SECONDS
