"""Making, revoking and rotating keys, for the command line and the API: checked, and with a line in the audit log."""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
)

from gateway_async.audit import change_entry
from gateway_async.call import Caller
from gateway_async.errors import AlreadyExists, ConfigError, Conflict, InvalidRequest, NotFound, NotSupported
from gateway_async.keys.key import Key, Source, digest_of, hint_of, make_key
from gateway_async.server_config import KeyConfig, Role, key_name, routes_of_key
from gateway_async.stores.base import KeyStore, Store, StoredKey
from gateway_async.stores.places import NO_STORE
from gateway_async.validation import invalid_request

Json = dict[str, Any]
T = TypeVar("T", bound=BaseModel)

GRACE_SECONDS = 24 * 3600.0
"""How long a key that was replaced stays good, unless somebody says otherwise."""

MOST_SECONDS = 100 * 365 * 24 * 3600.0
"""The longest duration, and the furthest end of a key: a century."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_OWN: Mapping[Source, str] = {
    "file": "is one of the configuration file: change it there",
    "environment": "is a variable of the server's environment: change it there",
}


def duration(written: object) -> float:
    """The seconds of a duration such as `90d`, `12h`, `30m`, `45s` or `2w`.

    Raises:
        ValueError: It is none, or is longer than a century.
    """
    found = re.fullmatch(r"(\d{1,12})([smhdw])", written, re.ASCII) if isinstance(written, str) else None
    if found is None:
        raise ValueError("a duration is a whole number and a unit: 90d, 12h, 30m, 45s or 2w")
    seconds = float(int(found[1]) * _SECONDS[found[2]])
    if seconds > MOST_SECONDS:
        raise ValueError("a duration is at most a century")
    return seconds


def _routes(routes: list[str] | None, values: ValidationInfo) -> list[str] | None:
    routes_of_key(routes, admin=values.data.get("role") is Role.ADMIN)
    for name in routes or ():
        if not re.fullmatch(r"[\w\-.]{1,200}", name):
            raise ValueError("the name of a route has letters, digits, '-', '_' and '.' only")
    return routes and list(dict.fromkeys(routes))


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("a key that expires at once opens nothing")
    return seconds


Duration = Annotated[float, BeforeValidator(duration)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NewKey(_Strict):
    """A key that is wanted."""

    name: Annotated[str, AfterValidator(key_name)]
    role: Role = Role.CALLER
    routes: Annotated[list[str] | None, AfterValidator(_routes)] = None
    """The routes that it may call; absent: all."""

    expires_in: Annotated[Duration, AfterValidator(_positive)] | None = None
    """How long it is good: `90d`, `12h`; absent: until it is revoked."""

    expires: AwareDatetime | None = None
    """The same as a moment in ISO 8601 with its zone, or in seconds since 1970."""


class Rotation(_Strict):
    """How a key is to be replaced."""

    grace: Duration = GRACE_SECONDS
    """How long the old one stays good beside the new: `24h`, `0s`."""


class KeyChanges:
    """Makes changes of a store's keys.

    Args:
        store: The store; None: there is none, and nothing can be changed.
        own: The keys of the configuration and the environment at this moment, whose names are taken.
        changed: Called after every change, to make it seen.
        clock: The time in seconds since 1970.
    """

    def __init__(
        self,
        store: Store | None,
        own: Callable[[], Sequence[Key]],
        changed: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._own = own
        self._changed = changed
        self._clock = clock

    async def create(self, body: Mapping[str, Any], by: Caller) -> Json:
        """A new key: what is told of it, and itself under `api_key`, this once.

        Args:
            body: The fields of `NewKey`.
            by: Who wants it.

        Raises:
            InvalidRequest: A field is wrong.
            AlreadyExists: The name is taken; that of a revoked key is too.
        """
        keys, wanted, now = self._keys(), _read(NewKey, body), self._clock()
        if self._own_key(wanted.name) is not None:
            raise AlreadyExists(
                f"the key {wanted.name!r} is there already, outside of the store; choose another name"
            )
        key = make_key()
        stored = StoredKey(
            name=wanted.name,
            digest=digest_of(key.encode()),
            hint=hint_of(key),
            role=wanted.role.value,
            routes=None if wanted.routes is None else tuple(wanted.routes),
            created=now,
            expires=_expiry(wanted, now),
        )
        await keys.create(stored, change_entry("key.create", stored.name, by, _said(stored)))
        await self._changed()
        return {**told(stored), "api_key": key}

    async def list(self) -> list[Json]:
        """What is told of every key: those of the configuration and the environment first, then the store's by name."""
        stored = [] if self._store is None else await self._store.keys.all()
        return [_told_own(key) for key in self._own()] + [told(key) for key in stored]

    async def revoke(self, name: str, by: Caller) -> Json:
        """What is told of a key, after it was revoked. One that is revoked already stays as it is.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is not the store's, but the configuration's or the environment's; or it is the last admin's,
                after which nobody could change anything.
        """
        stored = await self._stored(name)
        if self._is_last_admin(name, stored.values()):
            raise Conflict(
                f"{name!r} is the last key of an admin: make another first, or nobody can change anything"
            )
        now, before = self._clock(), stored[name]
        await self._keys().revoke(name, now, change_entry("key.revoke", name, by))
        await self._changed()
        return told(replace(before, revoked=before.revoked or now))

    async def rotate(self, name: str, body: Mapping[str, Any], by: Caller) -> Json:
        """What is told of a key, after it was replaced by a new one, which stands under `api_key`, this once.

        The old one stays good for a while; one that was replaced before and is still good ends now.

        Args:
            name: The key's name.
            body: The fields of `Rotation`.
            by: Who wants it.

        Raises:
            NotFound: There is none of that name.
            Conflict: It is not the store's, has expired or was revoked.
        """
        wanted, now = _read(Rotation, body), self._clock()
        before = (await self._stored(name))[name]
        if before.expires is not None and before.expires <= now:
            raise Conflict(f"the key {name!r} has expired; create another")
        key, until = make_key(), now + wanted.grace
        entry = change_entry("key.rotate", name, by, f"the old one is good until {_moment(until)}")
        await self._keys().rotate(
            name, digest=digest_of(key.encode()), hint=hint_of(key), old_until=until, entry=entry
        )
        await self._changed()
        return {**told(replace(before, hint=hint_of(key), old_until=until)), "api_key": key}

    async def _stored(self, name: str) -> dict[str, StoredKey]:
        """The store's keys, once this one is among them."""
        stored = {key.name: key for key in await self._keys().all()}
        if name not in stored:
            if (own := self._own_key(name)) is not None:
                raise Conflict(f"the key {name!r} {_OWN[own.source]}")
            raise NotFound(f"there is no key {name[:100]!r}", error_code="RESOURCE_DOES_NOT_EXIST")
        return stored

    def _keys(self) -> KeyStore:
        if self._store is None:
            raise NotSupported(NO_STORE)
        return self._store.keys

    def _is_last_admin(self, name: str, stored: Iterable[StoredKey]) -> bool:
        now = self._clock()
        admins = {key.name for key in stored if key.role == "admin" and opens(key, now)}
        return admins == {name} and not any(key.admin for key in self._own())

    def _own_key(self, name: str) -> Key | None:
        return next((key for key in self._own() if key.name == name), None)


def opens(key: StoredKey, now: float) -> bool:
    """Whether a key is good now."""
    return key.revoked is None and (key.expires is None or key.expires > now)


def check_names(configured: Iterable[KeyConfig], stored: Iterable[StoredKey], now: float) -> None:
    """Accept the names of configured keys: none is that of a key of the store that is good now.

    Limits per user and the audit log would take the two for one.

    Raises:
        ConfigError: One is.
    """
    taken = {key.name for key in stored if opens(key, now)}
    if both := [key.name for key in configured if key.name in taken]:
        raise ConfigError(
            "\n".join(
                f"the key {name!r} is in the configuration and in the store: rename it in the one, or end the other "
                f"with `gateway keys revoke {name}`"
                for name in both
            )
        )


def told(key: StoredKey) -> Json:
    """What is told of a key of the store."""
    return {
        "name": key.name,
        "role": key.role,
        "routes": None if key.routes is None else list(key.routes),
        "hint": key.hint,
        "created": _moment(key.created),
        "expires": _moment(key.expires),
        "revoked": _moment(key.revoked),
        "old_until": _moment(key.old_until),
        "source": "store",
    }


def _told_own(key: Key) -> Json:
    return {
        "name": key.name,
        "role": "admin" if key.admin else "caller",
        "routes": None if key.routes is None else sorted(key.routes),
        **dict.fromkeys(("hint", "created", "expires", "revoked", "old_until")),
        "source": key.source,
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _expiry(wanted: NewKey, now: float) -> float | None:
    if wanted.expires is None:
        return None if wanted.expires_in is None else now + wanted.expires_in
    if wanted.expires_in is not None:
        raise InvalidRequest.field("expires", "expires_in says the same; leave one of them out")
    at = wanted.expires.timestamp()
    if not now < at <= now + MOST_SECONDS:
        raise InvalidRequest.field("expires", "a key expires in the future, at most in a century")
    return at


def _said(key: StoredKey) -> str:
    routes = "all routes" if key.routes is None else ", ".join(key.routes)
    return f"{key.role} for {routes}" + (f" until {_moment(key.expires)}" if key.expires else "")


def _read(model: type[T], body: Mapping[str, Any]) -> T:
    try:
        return model.model_validate(dict(body))
    except ValidationError as problem:
        raise invalid_request(problem, dict(body)) from None
