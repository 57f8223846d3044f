"""A gateway whose routes and limits are those of its configuration and of a store, as they are now.

A change in the store is taken up by the process that made it before it is acknowledged; by the other processes of the
machine at their next call, since all look at one number in shared memory; by other machines when they ask the store,
four times a second. What can't be asked stays as it was.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from gateway_async.config import GatewayConfig, Limit, RouteConfig
from gateway_async.errors import Conflict, GatewayError, NotSupported, RouteNotFound, Unavailable
from gateway_async.gateway import Gateway, RouteEntry
from gateway_async.network_guard import NetworkGuard
from gateway_async.stores.base import Store, StoredRoute
from gateway_async.stores.generation import Generation
from gateway_async.tasks import ended

POLL_SECONDS = 0.25
"""How often the store is asked for changes of other machines."""

PATIENCE_SECONDS = 1.0
"""How long a call waits for changes to be taken up, before it is answered by what was known before."""

Reader = Callable[[StoredRoute], RouteConfig]
"""Makes a route of what the store holds of it. Raises `GatewayError` where it can't be served."""

_log = logging.getLogger("gateway_async")


@dataclass(frozen=True, slots=True)
class _Made:
    """A route of the store, read: as it is served, or why it is not."""

    revision: int
    route: RouteConfig | None
    problem: str = ""


class LiveGateway:
    """Keeps a `Gateway` at what configuration and store say.

    Args:
        gateway: What serves.
        config: The configuration.
        store: Where routes and limits made at run time are kept.
        read: Makes a route of a stored one.
        prepare: Makes the store ready, whose routes may reach public addresses only, and what the configuration allows;
            None: the store is ready, nobody else changes it, and its routes may reach all that this process can.
        generation: The number by which the processes of this machine tell each other of changes.
        on_refusal: Told when a route of the store would have reached what it may not: the host, and the address behind.
        gives_way: A route of the configuration gives way to one of the store with its name, as the default ones do;
            else there must be none.

    Attributes:
        gateway: What serves.
        store: The store.
        revision: The store's revision that is served; -1 before it was read for the first time.
        lenient: `open` raises nothing: what is wrong is logged, and the store is asked again and again. For a worker
            that is born when others serve, which must not end with it.
    """

    def __init__(
        self,
        gateway: Gateway,
        config: GatewayConfig,
        store: Store,
        *,
        read: Reader,
        prepare: Callable[[], Awaitable[None]] | None = None,
        generation: Generation | None = None,
        on_refusal: Callable[[str, str], None] | None = None,
        gives_way: bool = False,
    ) -> None:
        self.gateway = gateway
        self.store = store
        self.revision = -1 if prepare else 0
        self.lenient = False
        self._config = config
        self._read = read
        self._prepare = prepare
        self._prepared = self._behind = False
        self._generation = generation
        self._on_refusal = on_refusal
        self._gives_way = gives_way
        self._seen = -1
        self._made: dict[str, _Made] = {}
        self._limits: Mapping[str, list[Limit]] = {}
        self._lock: tuple[asyncio.AbstractEventLoop | None, asyncio.Lock] = (None, asyncio.Lock())
        self._refreshing: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._both: Set[str] = set()
        self._taking_up: set[asyncio.Task[None]] = set()
        self._problem: type[GatewayError] | None = None
        self._confine()

    @property
    def stale(self) -> bool:
        """Somebody on this machine has changed the store since it was read."""
        return self._generation is not None and self._generation.value != self._seen

    def find(self, name: str) -> RouteEntry:
        """The route of this name.

        Raises:
            RouteNotFound: There is none.
            NotSupported: The store holds one that can't be served.
            Unavailable: Nobody knows, since the store could not be read yet, or not since it changed.
        """
        try:
            return self.gateway.find(name)
        except RouteNotFound:
            if (made := self._made.get(name)) is not None:
                raise NotSupported(f"the route {name!r} can't be served: {made.problem}") from None
            if self.revision < 0 or self._behind:
                raise Unavailable(
                    "the store of this gateway could not be read since it changed, so nobody knows whether there is a route "
                    f"{name[:100]!r}",
                    retry_after=1,
                ) from None
            raise

    @property
    def config(self) -> GatewayConfig:
        """The configuration."""
        return self._config

    def limits_set(self, name: str) -> list[Limit] | None:
        """The limits that were set for a route while gateways ran; None: none were, and its own hold."""
        return self._limits.get(name)

    def configured(self, name: str) -> bool:
        """Whether the configuration has a route of this name that gives way to none."""
        return not self._gives_way and any(route.name == name for route in self._config.routes)

    async def open(self) -> None:
        """Serve what the store holds, and follow it from now on. A store that is down is asked again and again.

        Raises:
            ConfigError: The store is none that this gateway can serve.
            Conflict: A name in it is in the configuration too.
        """
        if self._prepare is None:
            return
        try:
            await self._refresh()
            if not self.lenient:
                self._check_names(self._config)
        except GatewayError as problem:
            if not (self.lenient or isinstance(problem, Unavailable)):
                raise
            self._failed(problem)
        await ended(self._polling, cancel=True)  # which is of another loop
        self._polling = asyncio.create_task(self._poll())

    async def configure(self, config: GatewayConfig) -> None:
        """Serve another configuration.

        Raises:
            Conflict: A name in it is that of a route in the store; nothing changes.
        """
        async with self._alone():
            self._check_names(config)
            before, self._config = self._config, config
            try:
                if config.upstream != before.upstream:
                    await self._read_again()
                await asyncio.to_thread(self._serve)
            except BaseException:
                self._config = before
                raise

    async def catch_up(self) -> None:
        """Take up what changed, in as much time as a call may lose by it."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self.stale and (left := until - time.monotonic()) > 0:
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._refresh_or_not())
            await asyncio.wait([self._refreshing], timeout=left)  # which goes on when this caller leaves

    async def changed(self) -> None:
        """Take up a change that this process made in the store, and tell the others of this machine."""
        if self._generation is not None:
            self._generation.bump()
        taking_up = asyncio.create_task(self._refresh_or_not())
        self._taking_up.add(taking_up)
        taking_up.add_done_callback(self._taking_up.discard)
        await asyncio.wait([taking_up])  # which goes on when this caller leaves

    async def aclose(self) -> None:
        """Follow the store no more, and let go of it and of the connections to the providers."""
        await ended(self._polling, self._refreshing, *self._taking_up, cancel=True)
        self._polling = self._refreshing = None
        await self.gateway.aclose()
        await self.store.aclose()

    def _alone(self) -> asyncio.Lock:
        """The lock of the running loop: a gateway in a process may be used from one loop after another."""
        loop = asyncio.get_running_loop()
        if self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._refresh_or_not()

    async def _refresh_or_not(self) -> None:
        try:
            await self._refresh()
        except GatewayError as problem:
            self._failed(problem)
        except Exception:  # noqa: BLE001 - whatever goes wrong with one change, the next must be seen
            _log.exception("the store's routes could not be taken up; those before stay in force")
            await asyncio.sleep(1)

    async def _refresh(self) -> None:
        async with self._alone():
            # Looked at before the store is: a change that comes meanwhile is seen by the next look. Until all is taken
            # up this process stays stale, or a second call would pass while the first one waits for it.
            looked = self._generation.value if self._generation is not None else 0
            try:
                await self._ask_store()
                self._behind = False
            except BaseException:
                self._behind = self._behind or looked != self._seen
                raise
            finally:
                self._seen = looked

    async def _ask_store(self) -> None:
        if self._prepare is not None and not self._prepared:
            await self._prepare()
            self._prepared = True
        revision = await self.store.revision()
        if revision != self.revision:
            await self._take_up(revision)
        if self._problem is not None:
            self._problem = None
            _log.info("the store answers again")

    async def _take_up(self, revision: int) -> None:
        versions = await self.store.routes.versions()
        fresh = [name for name, at in versions.items() if self._made.get(name, _NOTHING).revision != at]
        stored = await self.store.routes.read(fresh)
        limits = await self.store.limits.all()
        await asyncio.to_thread(self._build, versions, stored, limits)
        self.revision = revision

    async def _read_again(self) -> None:
        """Read every route anew: what routes of the store may reach and use has changed."""
        # First, for it may fail, and then nothing changes.
        stored = await self.store.routes.read(list(self._made))
        self._confine()
        self._made |= {route.name: await asyncio.to_thread(self._read_one, route) for route in stored}

    def _confine(self) -> None:
        """Let routes of the store reach what the configuration allows now."""
        self.gateway.confine(NetworkGuard(self._config.upstream.allow_networks, on_refusal=self._on_refusal))

    def _build(
        self,
        versions: Mapping[str, int],
        stored: Sequence[StoredRoute],
        limits: Mapping[str, list[dict[str, object]]],
    ) -> None:
        """Know the store's routes of these versions, those `stored` anew, and these limits; and serve them."""
        made = {name: self._made[name] for name in versions if name in self._made}
        made |= {route.name: self._read_one(route) for route in stored}
        self._made = {name: made[name] for name in versions if name in made}
        self._limits = {
            name: [Limit.model_validate(limit) for limit in each] for name, each in limits.items()
        }
        self._serve()

    def _read_one(self, stored: StoredRoute) -> _Made:
        try:
            return _Made(stored.revision, self._read(stored))
        except Exception as problem:  # noqa: BLE001 - whatever is wrong with one route, the others are served
            said = "it is no route any more"
            if isinstance(problem, GatewayError):
                said = problem.message
            _log.warning("the route %r of the store is not served: %s", stored.name, said)
            return _Made(stored.revision, None, said)

    def _serve(self) -> None:
        """Replace what is served by what is known now."""
        own = {route.name: self._with_limits(route) for route in self._config.routes}
        made = {name: self._with_limits(each.route) for name, each in self._made.items() if each.route}
        known, self._both = self._both, own.keys() & self._made.keys()
        for name in self._both:
            if self._gives_way:
                del own[name]
            elif made.pop(name, None) and name not in known:
                _log.warning("%s; the configuration's is served", in_both(name))
        if self._prepare is None:
            self.gateway.serve([*own.values(), *made.values()])
        else:
            self.gateway.serve(own.values(), made.values())

    def _with_limits(self, route: RouteConfig) -> RouteConfig:
        """The route with the limits that were set for it in place of its own."""
        limits = self._limits.get(route.name)
        return route if limits is None else route.model_copy(update={"limit": None, "limits": limits})

    def _check_names(self, config: GatewayConfig) -> None:
        if not self._gives_way:
            both = [route.name for route in config.routes if route.name in self._made]
            if both:
                raise Conflict("\n".join(map(in_both, both)))

    def _failed(self, problem: GatewayError) -> None:
        """Say what the store suffers from, once."""
        if self._problem is not type(problem):
            self._problem = type(problem)
            _log.error("%s; the routes that are known stay in force", problem.message)


_NOTHING = _Made(-1, None)


def in_both(name: str) -> str:
    """What is said of a route that the configuration and the store both have."""
    return (
        f"the route {name!r} is in the configuration and in the store: rename or remove it in the one, or delete it from "
        f"the other with `gateway routes delete {name} --store ADDRESS`"
    )
