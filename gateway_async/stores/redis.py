"""Counters in Redis, or Valkey, for the gateways of several machines."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway_async.errors import ConfigError
from gateway_async.stores.base import CountersUnavailable, Level, Window
from gateway_async.stores.redis_pipeline import PipelinedStorage
from gateway_async.stores.redis_windows import RedisWindows, Take

_logger = logging.getLogger("gateway_async")

_WAIT = 0.05
"""Seconds that a call waits for Redis."""

_TICKS = 5
_TICK = 0.0095
_LAG = 0.005
_LATE = 0.2
"""Redis has its time in ticks. One to which the loop comes later than by the lag counts as this part of one: the loop was
busy itself, and what has arrived meanwhile is not read yet."""

_PROBE_PAUSE = 0.5
_PROBE_WAIT = 1.0
"""Seconds for a connection to be made while no call waits for it."""

_MOST = 2**40
"""Units that one use may have."""


class RedisCounters:
    """Counts in Redis for every gateway that names the same address.

    A call never waits for it longer than 50 ms. When Redis fails, calls fail at once until it is back, which is looked
    for in the background; one line in the log tells of each.

    Args:
        address: `redis://[user:password@]host:6379/0`, `rediss://` with TLS, `redis+unix:///path?db=0`; or `valkey`
            instead of `redis`.

    Attributes:
        undecided: Calls, and uses, that were not counted because Redis did not answer.

    Raises:
        ConfigError: The address is not understood.
    """

    def __init__(self, address: str) -> None:
        self.undecided = 0
        self._address = address
        self._shown, self._secrets = _shown(address)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = self._connect()
        self._waiting: list[_Request] = []
        self._served: list[_Request] = []
        self._ticks = 0.0
        """What is left of the time that Redis has."""
        self._timer: asyncio.TimerHandle | None = None
        self._worker: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._down: tuple[float, int] | None = None
        """When it went down, and how many were undecided before."""

    async def take(self, calls: Sequence[Window], tokens: Sequence[Window] = ()) -> Sequence[Level]:
        """Take one unit from each of `calls`, if each has one left and each of `tokens` too; else from none.

        Where another gateway takes the last unit of a window at the same time, units of those before it in `calls` stay
        taken. So the narrower come first: what a caller loses then is its own.
        """
        if any(not window.most for window in (*calls, *tokens)):
            return [
                Level(window, window.most, 0.0 if window.most else window.seconds, not window.most)
                for window in (*calls, *tokens)
            ]
        take = Take(calls, tokens)
        if calls or tokens:
            await self._ask(take=take)
        return take.levels

    async def add(self, windows: Sequence[Window], amount: int) -> None:
        """Count units that were used, though they may be more than were left."""
        if windows and amount:
            await self._ask(windows=windows, amount=min(amount, _MOST))

    async def aclose(self) -> None:
        """End the connections. The next call opens them again."""
        tasks = [task for task in (self._worker, self._probing) if task is not None]
        self._worker = self._probing = None
        if self._loop is asyncio.get_running_loop():
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._fail("the counters were closed")
            try:
                async with asyncio.timeout(_PROBE_WAIT):
                    await self._pool.disconnect()
            except (RedisError, OSError):
                pass  # it is gone already
        self._loop = None

    async def _ask(
        self, *, take: Take | None = None, windows: Sequence[Window] = (), amount: int = 0
    ) -> None:
        """Have a request served, together with those of others."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._begin(loop)
        if self._down:
            self.undecided += 1
            raise CountersUnavailable(f"Redis at {self._shown} does not answer", logged=True)
        request = _Request(loop, take=take, windows=windows, amount=amount)
        self._waiting.append(request)
        if self._worker is None:
            self._worker = loop.create_task(self._work(loop))
        await request.done

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop. What belonged to another one can't be used any more."""
        self._loop = loop
        self._pool = self._connect()
        self._waiting, self._served = [], []
        self._worker = self._probing = None
        if self._down:
            self._probing = loop.create_task(self._probe(loop))

    def _connect(self) -> ConnectionPool:
        try:
            pool = ConnectionPool.from_url(
                _for_redis(self._address),
                retry=Retry(NoBackoff(), 0),  # what was counted, but not answered, would be counted twice
                socket_timeout=None,
                socket_connect_timeout=None,
                **_options(),
            )
            pool.make_connection()  # type: ignore[no-untyped-call] # redis types it not
        except (ValueError, TypeError):
            raise _not_understood() from None
        self._windows = RedisWindows(PipelinedStorage(pool))
        return pool

    async def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve what waits, all of it together, until nothing does."""
        used = 0.0
        try:
            while self._waiting:
                served, self._waiting = self._waiting, []
                self._served = served
                # They have waited for those before them, as long as those for Redis.
                given = self._ticks = max(_TICKS - used, 1)
                self._watch(loop, time.monotonic() + _TICK)
                await self._serve([request for request in served if not request.done.done()])
                self._stop_timer()
                used = given - self._ticks
                for request in served:
                    request.finish()
        except Exception as problem:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._went_down(loop, self._words(problem))
        finally:
            if self._worker is asyncio.current_task():
                self._worker = None
                self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _serve(self, requests: Sequence["_Request"]) -> None:
        amounts: dict[Window, int] = {}
        for request in requests:
            for window in request.windows:
                amounts[window] = amounts.get(window, 0) + request.amount
        if amounts:
            await self._windows.add(amounts)
        takes = [request.take for request in requests if request.take is not None]
        if takes:
            await self._windows.settle(takes)

    def _watch(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Wait for Redis a tick longer."""
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """Give Redis up when its time is over."""
        now = time.monotonic()  # uvloop's own clock stands still while the loop is busy
        late = now - due > _LAG
        self._ticks -= _LATE if late else 1
        if self._ticks >= _LATE:
            self._watch(loop, (now if late else due) + _TICK)
            return
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        self._went_down(loop, f"no answer within {_WAIT * 1000:.0f} ms")

    def _went_down(self, loop: asyncio.AbstractEventLoop, reason: str) -> None:
        if self._down is None:
            self._down = loop.time(), self.undecided
            _logger.warning(
                "Redis at %s does not count: %s; limits are not counted until it does", self._shown, reason
            )
        self._fail(f"Redis at {self._shown} does not count: {reason}")
        if self._probing is None:
            self._probing = loop.create_task(self._probe(loop))

    def _fail(self, message: str) -> None:
        for request in (*self._served, *self._waiting):
            if not request.done.done():
                self.undecided += 1
                request.done.set_exception(CountersUnavailable(message, logged=True))
        self._served, self._waiting = [], []

    async def _probe(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for Redis until it is back."""
        while not await self._answers(loop):  # noqa: ASYNC110 - nobody tells us when
            await asyncio.sleep(_PROBE_PAUSE)
        since, before = self._down or (loop.time(), self.undecided)
        self._down = self._probing = None
        _logger.warning(
            "Redis at %s counts again, after %.1f s; %d calls went uncounted",
            self._shown,
            loop.time() - since,
            self.undecided - before,
        )

    async def _answers(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether Redis counts, and in time for a call."""
        try:
            async with asyncio.timeout(_PROBE_WAIT):
                await self._windows.check()  # makes the connection, which may take longer
                began = loop.time()
                await self._windows.check()
                return loop.time() - began <= _WAIT
        except Exception:  # noqa: BLE001 - whatever it is, it is looked for again
            return False

    def _words(self, problem: Exception) -> str:
        """What went wrong, but for a server that repeats the password."""
        text = str(problem)
        if any(secret in text for secret in self._secrets):
            return type(problem).__name__
        return text or type(problem).__name__


class _Request:
    """Something that a call waits for."""

    __slots__ = ("amount", "done", "take", "windows")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        take: Take | None = None,
        windows: Sequence[Window] = (),
        amount: int = 0,
    ) -> None:
        self.take = take
        self.windows = windows
        self.amount = amount
        self.done: asyncio.Future[None] = loop.create_future()

    def finish(self) -> None:
        """Let the call go on, if it still waits."""
        if not self.done.done():
            self.done.set_result(None)


def _options() -> dict[str, Any]:
    """Without notices of maintenance, where the package knows them: for their sake it uses connections that are dead."""
    try:
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:
        return {}
    return {"maint_notifications_config": MaintNotificationsConfig(enabled=False)}


def _not_understood() -> ConfigError:
    return ConfigError("the address of Redis is not understood; write 'redis://host:6379/0'")


def _for_redis(address: str) -> str:
    """The address as the package `redis` writes it."""
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower().replace("valkey", "redis")
    return f"{'unix' if scheme == 'redis+unix' else scheme}://{rest}"


def _shown(address: str) -> tuple[str, set[str]]:
    """The address for a log, without user, password and options; and what may not stand there."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise _not_understood() from None
    options = parse_qs(parts.query)
    secrets = {parts.password or "", *options.get("password", ())}
    secrets |= {unquote(secret) for secret in secrets}
    return (parts.netloc.rpartition("@")[2] or parts.path), secrets - {""}
