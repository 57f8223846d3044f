"""How a server behaves, who may use it, and what routes made over its API may reach."""

import ipaddress
from enum import Enum
from typing import Any

from pydantic import NonNegativeFloat, PositiveFloat, ValidationInfo, field_validator

from gateway_async.base_models import ConfigModel
from gateway_async.setting_types import ResolvedApiKey
from gateway_async.traffic_config import ConcurrencyConfig

__all__ = ["KeyConfig", "Role", "ServerConfig", "UpstreamConfig", "key_name", "routes_of_key"]

LEAST_CHARACTERS = 16
"""Of a key that the operator chooses."""


class ServerConfig(ConfigModel):
    """How the server behaves."""

    max_body_mb: PositiveFloat = 32.0
    """Largest body that a caller may send, in megabytes of 2**20 bytes."""

    request_seconds: PositiveFloat = 60.0
    """How long a request may take to come in, headers and body; then its connection is closed."""

    drain_seconds: NonNegativeFloat = 30.0
    """How long requests under way may go on when the server stops."""

    heartbeat_seconds: NonNegativeFloat = 15.0
    """How long a stream may be silent before it gets a comment, which readers skip: from the moment that the request
    was accepted, also while the provider thinks. 0: no comments."""

    concurrency: ConcurrencyConfig | None = None
    """How many calls of models may be under way at once, of all routes together; absent: any number."""

    allow_unauthenticated: bool = False
    """Serve callers without a key, on whatever address. Changes need an admin's key all the same."""

    trusted_proxies: list[str] = []  # noqa: RUF012 - pydantic copies it
    """Addresses and networks of proxies whose `X-Forwarded-For` says who calls."""

    @field_validator("concurrency")
    @classmethod
    def validate_concurrency(cls, concurrency: ConcurrencyConfig | None) -> ConcurrencyConfig | None:
        """The numbers, once none of them asks how a provider does: a server has many."""
        if concurrency is not None and concurrency.adaptive:
            raise ValueError("adaptive is for routes: it follows what their providers answer; remove it here")
        return concurrency

    @field_validator("trusted_proxies")
    @classmethod
    def validate_trusted_proxies(cls, networks: list[str]) -> list[str]:
        """The networks, once they are some."""
        return [_network(network) for network in networks]


class Role(str, Enum):
    """What a key is for."""

    CALLER = "caller"
    """To call routes."""

    ADMIN = "admin"
    """To call routes, and to change them, their limits and the keys."""


class KeyConfig(ConfigModel):
    """A key that lets callers in, chosen by the operator."""

    name: str
    """Who it is for; limits per user count by it, and the audit log names it."""

    key: ResolvedApiKey
    """At least 16 characters."""

    role: Role = Role.CALLER
    routes: list[str] | None = None
    """Names of the routes that it may call; absent: all."""

    @field_validator("key")
    @classmethod
    def validate_length(cls, key: str) -> str:
        """The key, once it can't be guessed by trying."""
        if len(key) < LEAST_CHARACTERS:
            raise ValueError(f"a key needs at least {LEAST_CHARACTERS} characters, or somebody guesses it")
        return key

    @field_validator("name")
    @classmethod
    def validate_name(cls, name: str) -> str:
        """The name, once it is one."""
        return key_name(name)

    @field_validator("routes")
    @classmethod
    def validate_routes(cls, routes: list[str] | None, values: ValidationInfo) -> list[str] | None:
        """The routes, once they are what a key of this role can be for."""
        return routes_of_key(routes, admin=values.data.get("role") is Role.ADMIN)


class UpstreamConfig(ConfigModel):
    """What routes made over the API may reach and use. Those of the file may use all that the server can."""

    allow_networks: list[str] = []  # noqa: RUF012 - pydantic copies it
    """Private networks, such as `10.0.0.0/8`, that they may reach beside public addresses. Where a cloud gives its
    machines their credentials (169.254.169.254 and the like), only that very address opens it."""

    allow_secrets: list[str] = []  # noqa: RUF012 - pydantic copies it
    """The server's own credentials that they may use: `$NAME` of an environment variable, the path of a key's file,
    and `aws`, `google` or `databricks` for what the server's environment has of these."""

    @field_validator("allow_networks")
    @classmethod
    def validate_allow_networks(cls, networks: list[str]) -> list[str]:
        """The networks, once they are some."""
        return [_network(network) for network in networks]


def key_name(name: str) -> str:
    """The name of a key, once it is one: letters, digits, `-`, `_`, `.` and `@`, at most 100 of them.

    Raises:
        ValueError: It is none.
    """
    if not 0 < len(name) <= 100 or not all(c.isalnum() or c in "-_.@" for c in name) or set(name) == {"."}:
        raise ValueError("a key's name is 1 to 100 letters, digits, '-', '_', '.' and '@'")
    if name in ("nobody", "in-process"):
        raise ValueError(f"{name!r} is what the audit log calls whoever has no key; choose another")
    return name


def routes_of_key(routes: list[str] | None, *, admin: bool) -> list[str] | None:
    """The routes that a key may call, once there are some; None: all, as for an admin.

    Raises:
        ValueError: There are none; or it is an admin's key, which is for all.
    """
    if routes is not None and not routes:
        raise ValueError("a key without a route opens nothing; leave routes out for a key to all")
    if routes is not None and admin:
        raise ValueError("an admin may change every route, and call them all; leave it out")
    return routes


def _network(written: Any) -> str:
    try:
        return str(ipaddress.ip_network(written))
    except ValueError:
        raise ValueError(f"{str(written)[:60]!r} is no network; write '10.0.0.0/8' or '10.1.2.3'") from None
