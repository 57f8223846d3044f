"""Encryption of what the store holds of providers: their settings, keys among them, of routes made over the API."""

import asyncio
import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from gateway_async.errors import ConfigError
from gateway_async.stores.base import Store
from gateway_async.stores.places import beside, own_text, shown

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

VARIABLE = "GATEWAY_SECRET_KEY"
"""The environment variable that holds the secret: one Fernet key, or several with commas between. The first encrypts,
all decrypt, so that a new one can be put before the old."""

_KEY_BYTES = 32

_MAKE_ONE = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


class Vault:
    """Seals settings, and opens what was sealed.

    Args:
        keys: Fernet keys; the first seals, all open.

    Raises:
        ConfigError: One of them is none.
    """

    def __init__(self, keys: list[str]) -> None:
        if not all(map(_is_key, keys)):
            raise ConfigError(
                f"{VARIABLE} is no secret key: {_KEY_BYTES} bytes in URL-safe base64 are needed; make one with {_MAKE_ONE}"
            )
        self._keys = keys
        self.fingerprints = [hashlib.sha256(key.encode()).hexdigest()[:16] for key in keys]
        """What tells the keys apart without telling them, in their order."""

    @cached_property
    def _fernet(self) -> "MultiFernet":
        # 7 MB, for those whose store has routes.
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(key) for key in self._keys])

    def seal(self, settings: dict[str, Any]) -> bytes:
        """The settings, encrypted."""
        return self._fernet.encrypt(orjson.dumps(settings))

    def open(self, sealed: bytes) -> dict[str, Any]:
        """The settings.

        Raises:
            ConfigError: They were sealed with another key.
        """
        from cryptography.fernet import InvalidToken

        try:
            settings: dict[str, Any] = orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise ConfigError(
                f"its settings were encrypted with another secret than this gateway's; give that one in {VARIABLE}, or "
                "make the route anew"
            ) from None
        return settings


class StoreVault:
    """The vault of a store, opened when it is first used.

    Args:
        store: The store's address.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._opened: Vault | None = None

    def seal(self, settings: dict[str, Any]) -> bytes:
        """The settings, encrypted."""
        return self._vault().seal(settings)

    def open(self, sealed: bytes) -> dict[str, Any]:
        """The settings; see `Vault.open`."""
        return self._vault().open(sealed)

    async def check(self, store: Store) -> None:
        """Accept a store whose routes can be opened with this secret, as those of one without any.

        Raises:
            ConfigError: They are encrypted with another.
        """
        mine = (await asyncio.to_thread(self._vault)).fingerprints
        found = await store.fingerprint(mine[0])
        if found not in mine and await self._opens_all(store):
            found = await store.fingerprint(mine[0], instead_of=found)
        if found not in mine:
            raise ConfigError(
                f"the routes in {shown(self._store)} are encrypted with another secret than this gateway "
                f"has; give the one that the first gateway on this store made or was given, in {VARIABLE}"
            )

    async def _opens_all(self, store: Store) -> bool:
        try:
            for route in await store.routes.read(list(await store.routes.versions())):
                self.open(route.sealed)
        except ConfigError:
            return False
        return True

    def _vault(self) -> Vault:
        if self._opened is None:
            self._opened = open_vault(beside(self._store, "-secret"))
        return self._opened


def open_vault(file: Path) -> Vault:
    """The vault of a store: its key from `GATEWAY_SECRET_KEY`, else from a file, which is made when there is none.

    Raises:
        ConfigError: The key is none, or the file can't be read or made.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        return Vault([key.strip() for key in given.split(",")])
    try:
        return Vault([own_text(file, _make_key)])
    except (OSError, UnicodeDecodeError) as problem:
        said = getattr(problem, "strerror", None) or "it holds no key"
        raise ConfigError(
            f"the secret in {file} can't be read or made: {said}; give one in {VARIABLE}, made with {_MAKE_ONE}"
        ) from None


def _is_key(text: str) -> bool:
    try:
        return len(urlsafe_b64decode(text)) == _KEY_BYTES
    except ValueError:
        return False


def _make_key() -> str:
    return urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()
