"""Keys that let callers in: how one is made, told apart from other text, and known again by its hash alone."""

import hashlib
import math
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Literal
from zlib import crc32

from gateway_async.call import Caller
from gateway_async.errors import PermissionDenied, Unauthenticated
from gateway_async.stores.base import StoredKey

PREFIX = "gwk_"
"""What our keys begin with, so that people, logs and scanners for leaked keys recognise them."""

_RANDOM, _CHECK = 43, 6
"""Characters of the random part and of the checksum."""

REVOKED = 0.0
"""When a key ended that was revoked: before all time."""

SENT_AS = "'Authorization: Bearer KEY', 'x-api-key: KEY' or 'api-key: KEY'"
"""How a request carries its key, in words."""

Source = Literal["file", "environment", "store"]


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key: whose it is and what it may. Not the key itself."""

    name: str
    digest: bytes = field(repr=False)
    admin: bool = False
    routes: frozenset[str] | None = None
    """The routes that it may call; None: all."""

    until: float = math.inf
    """When it ends, in seconds since 1970."""

    ended: str = ""
    """What became of it then, in words."""

    source: Source = "store"

    def check(self, digest: bytes, now: float) -> "Key":
        """This key, once it is the one of a hash, and good now.

        Raises:
            Unauthenticated: It is not.
        """
        if not compare_digest(self.digest, digest) or self.until <= now:
            raise Unauthenticated(
                f"the key {self.name!r} {self.ended}; ask the gateway's operator for another"
            )
        return self


def make_key() -> str:
    """A new key: the prefix, 256 random bits, and a checksum of them."""
    random = secrets.token_urlsafe(32)
    return f"{PREFIX}{random}{_checksum(random.encode())}"


def is_ours(key: bytes) -> bool:
    """Whether a text can be a key made here: it may be anybody's, but it is not garbage."""
    random = key[len(PREFIX) : len(PREFIX) + _RANDOM]
    return (
        len(key) == len(PREFIX) + _RANDOM + _CHECK
        and key.startswith(PREFIX.encode())
        and compare_digest(key[-_CHECK:], _checksum(random).encode())
    )


def digest_of(key: bytes) -> bytes:
    """The hash by which a key is kept. Keys are random or long: no salt and no slow hash makes them harder to guess."""
    return hashlib.sha256(key).digest()


def hint_of(key: str) -> str:
    """The beginning of a key, by which its owner recognises it; too little of it to help anybody else."""
    return key[: len(PREFIX) + 4]


def from_stored(stored: StoredKey, digest: bytes) -> Key:
    """A stored key as it is for whoever comes with the key of this hash, which may be the replaced one."""
    until, ended = math.inf, ""
    if stored.expires is not None:
        until, ended = stored.expires, "has expired"
    replaced = not compare_digest(stored.digest, digest)
    if replaced and (stored.old_until or 0) < until:
        until, ended = stored.old_until or 0, "was replaced by a newer one"
    if stored.revoked is not None:
        until, ended = REVOKED, "was revoked"
    routes = None if stored.routes is None else frozenset(stored.routes)
    return Key(stored.name, digest, stored.role == "admin", routes, until, ended)


def presented(headers: Mapping[bytes, bytes]) -> tuple[bytes, str] | None:
    """The key that a request carries, and the header that it stands in; None where it carries none.

    Args:
        headers: By their names in lower case.
    """
    value = headers.get(b"authorization", b"")
    if value[:7].lower() == b"bearer " and (key := value[7:].strip()):
        return key, "Authorization"
    if key := headers.get(b"x-api-key", b"").strip():
        return key, "x-api-key"
    if key := headers.get(b"api-key", b"").strip():
        return key, "api-key"
    return None


def require_admin(caller: Caller) -> None:
    """Let an admin pass.

    Raises:
        Unauthenticated: It came without a key.
        PermissionDenied: Its key is no admin's.
    """
    if caller.admin:
        return
    if caller.key is None:
        raise Unauthenticated(
            f"this needs an admin's key: send it as {SENT_AS}; `gateway start` says where the first one is, "
            "`gateway keys create --role admin` makes another"
        )
    raise PermissionDenied(f"the key {caller.key!r} is a caller's, and this needs an admin's")


def _checksum(random: bytes) -> str:
    return urlsafe_b64encode(crc32(random).to_bytes(4, "big"))[:_CHECK].decode()
