"""Who a key belongs to: the keys of the configuration, of the environment and of the store.

A key is looked up by its hash; the key itself is not kept. What the store said of a key is believed until the store
changes, and beyond that for as long as the store does not answer.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from gateway_async.config import KeyConfig
from gateway_async.errors import ConfigError, Unavailable
from gateway_async.keys.key import REVOKED, Key, digest_of, from_stored, is_ours
from gateway_async.server_config import LEAST_CHARACTERS, Role
from gateway_async.stores.base import KeyStore
from gateway_async.tasks import ended

ADMIN_KEY = "GATEWAY_ADMIN_KEY"
"""The variable of the environment that may hold an admin's key, and the name that this key has."""

MOST_KEYS = 10_000
"""Keys of the store that are remembered; as many are remembered as unknown."""

PATIENCE_SECONDS = 1.0
"""How long a request waits for the store."""

PAUSE_SECONDS = 1.0
"""How long a store that did not answer is left alone."""

STRANGERS_AT_ONCE = 2
"""Keys never seen before that the store is asked for at once: whoever makes some up leaves it time for the others."""

_log = logging.getLogger("gateway_async")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of a key, and the revision at which it did."""

    key: Key
    at: object


class KeyRing:
    """The keys that open a gateway.

    Args:
        store: Keys made at run time; None: there are none.
        revision: The store's revision as far as this process knows: another value than before makes it ask again.
        clock: The time in seconds since 1970.
    """

    def __init__(
        self,
        store: KeyStore | None = None,
        *,
        revision: Callable[[], object] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._revision = revision
        self._clock = clock
        self._own: Mapping[bytes, Key] = {}
        self._has_configured = self._for_callers = False
        self._looked: object = None
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, object] = OrderedDict()
        self._asking = _Asking()

    def configure(self, keys: Iterable[KeyConfig], admin_key: str | None) -> None:
        """Take the keys of the configuration and of the environment, in the place of those before.

        Raises:
            ConfigError: The admin's key is too short to be one.
        """
        own = [
            Key(
                each.name,
                digest_of(each.key.encode()),
                each.role is Role.ADMIN,
                None if each.routes is None else frozenset(each.routes),
                source="file",
            )
            for each in keys
        ]
        if admin_key := (admin_key or "").strip():
            if len(admin_key) < LEAST_CHARACTERS:
                raise ConfigError(
                    f"{ADMIN_KEY} needs at least {LEAST_CHARACTERS} characters, or somebody guesses it"
                )
            own.append(Key(ADMIN_KEY, digest_of(admin_key.encode()), admin=True, source="environment"))
        self._has_configured = any(key.source == "file" for key in own)
        self._own = {key.digest: key for key in own}

    @property
    def own(self) -> list[Key]:
        """The keys of the configuration and of the environment."""
        return list(self._own.values())

    def known(self, digest: bytes) -> Key | None:
        """The key of a hash, if that is known without asking the store.

        Raises:
            Unauthenticated: It has expired, or was revoked or replaced.
        """
        key = self._own.get(digest)
        if key is None:
            found = self._known.get(digest)
            if found is None or found.at != self._revision():
                return None
            self._known.move_to_end(digest)
            key = found.key
        return key.check(digest, self._clock())

    async def find(self, key: bytes) -> Key | None:
        """What is known of a key; None if it is nobody's.

        Raises:
            Unauthenticated: It has expired, or was revoked or replaced.
            Unavailable: The store does not answer, and never said anything of this key.
        """
        digest = digest_of(key)
        if (found := self.known(digest)) is not None:
            return found
        if self._store is None or not is_ours(key) or self._unknown.get(digest, self) == self._revision():
            return None
        try:
            at, stranger = self._revision(), digest not in self._known
            question = partial(self._ask, self._store, digest, at)
            await self._asking.ask((digest, at), question, in_turn=stranger)
        except Unavailable:
            if digest not in self._known:
                raise
        if (remembered := self._known.get(digest)) is None:
            return None
        return remembered.key.check(digest, self._clock())

    @property
    def for_callers(self) -> bool | None:
        """Whether there ever was a key for callers; None: only `look` can tell."""
        if self._has_configured or self._for_callers:
            return True
        if self._store is None:
            return False
        return False if self._looked == self._revision() else None

    async def look(self) -> bool:
        """Whether there ever was a key for callers. One that was revoked counts: the gateway stays closed.

        Raises:
            Unavailable: The store does not answer, and never did.
        """
        found = self.for_callers
        if found is None and self._store is not None:
            try:
                at = self._revision()
                await self._asking.ask(("callers", at), partial(self._look, self._store, at))
            except Unavailable:
                if self._looked is None:
                    raise
        return bool(found or self._for_callers)

    async def aclose(self) -> None:
        """Ask the store no more: what is asked is given up. The next request asks again."""
        await self._asking.aclose()

    async def _ask(self, store: KeyStore, digest: bytes, at: object) -> None:
        stored = await store.find(digest)
        if stored is None:
            self._known.pop(digest, None)
            _remember(self._unknown, digest, at)
        else:
            self._unknown.pop(digest, None)
            key, before = from_stored(stored, digest), self._known.get(digest)
            if before is not None and before.key.until == REVOKED:
                key = before.key  # an answer that comes late brings no key back
            _remember(self._known, digest, _Known(key, at))
            self._for_callers = self._for_callers or stored.role == "caller"

    async def _look(self, store: KeyStore, at: object) -> None:
        found = any(key.role == "caller" for key in await store.all())
        self._for_callers = self._for_callers or found
        self._looked = at


def _remember(into: OrderedDict[bytes, T], digest: bytes, what: T) -> None:
    into[digest] = what
    into.move_to_end(digest)
    if len(into) > MOST_KEYS:
        into.popitem(last=False)


class _Asking:
    """Questions to a store that may be down: each is asked once at a time, and of a store that is down only one.

    What is asked goes on when those who wait for it give up.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    async def ask(
        self, what: object, question: Callable[[], Awaitable[None]], *, in_turn: bool = False
    ) -> None:
        """Wait until a question is answered.

        Args:
            what: Names the question, and the revision at which it is asked: who knows of a change is not content with
                an answer from before.
            question: Asks it, and takes up the answer.
            in_turn: It waits for others of its kind, and is not asked if its turn does not come in time.

        Raises:
            Unavailable: It is not, in `PATIENCE_SECONDS`; or the store was down a moment ago.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was asked in another loop, which may be gone, is never answered here.
            self._loop = loop
            self._begin()
        asked = self._questions.get(what)
        if asked is None:
            if self._down and (self._questions or loop.time() < self._again):
                raise _down()
            asked = self._questions[what] = loop.create_task(self._put(what, question, in_turn))
        await asyncio.wait([asked], timeout=PATIENCE_SECONDS)
        if not asked.done() and not in_turn:
            self._is_down(loop)
        if not asked.done() or asked.cancelled() or not asked.result():
            raise _down()

    async def aclose(self) -> None:
        """Give up what is asked."""
        await ended(*self._questions.values(), cancel=True)

    def _begin(self) -> None:
        self._questions: dict[object, asyncio.Task[bool]] = {}
        self._turns = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self._down, self._again = False, 0.0

    async def _put(self, what: object, question: Callable[[], Awaitable[None]], in_turn: bool) -> bool:
        """Whether it was answered."""
        try:
            if not in_turn:
                return await self._answered(question)
            async with asyncio.timeout(PATIENCE_SECONDS) as waiting, self._turns:
                waiting.reschedule(None)
                return await self._answered(question)
        except TimeoutError:  # its turn did not come
            return False
        finally:
            self._questions.pop(what, None)

    async def _answered(self, question: Callable[[], Awaitable[None]]) -> bool:
        loop = asyncio.get_running_loop()
        try:
            await question()
        except Unavailable:
            self._is_down(loop)
            return False
        except Exception:  # noqa: BLE001 - whatever goes wrong in the store, a key that is known is not refused for it
            _log.exception("the store of keys failed")
            self._is_down(loop)
            return False
        self._down = False
        return True

    def _is_down(self, loop: asyncio.AbstractEventLoop) -> None:
        self._down, self._again = True, loop.time() + PAUSE_SECONDS


def _down() -> Unavailable:
    return Unavailable(
        "the gateway's store did not say in time who may come in; try again",
        retry_after=PAUSE_SECONDS,
    )
