"""Who may come in: the key of a request, and what is allowed without one."""

import ipaddress
import re
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway_async.call import Caller
from gateway_async.errors import GatewayError, PermissionDenied, Unauthenticated
from gateway_async.keys.key import SENT_AS, Key, digest_of, is_ours, presented, require_admin
from gateway_async.keys.ring import KeyRing
from gateway_server.dialects import dialect_of
from gateway_server.fields import Fields, fields_of
from gateway_server.mount import path_within
from gateway_server.responses import send_error

OPEN_PATHS = frozenset({"/", "/docs", "/health", "/openapi.json"})
"""What needs no key."""

KEYS_PATH = "/api/2.0/gateway/keys"
"""What is below is for admins, to read too."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Unkeyed(Enum):
    """What becomes of a call that comes without a key."""

    REFUSED = "refused"
    """It is refused."""

    LOCAL = "local"
    """It passes until there are keys for callers, if no web page made a browser send it: this machine's programs may."""

    UNTIL_KEYS = "until keys"
    """It passes until there are keys for callers: who may reach the app is its host's matter."""

    WELCOME = "welcome"
    """It passes, on the operator's word."""


class Auth:
    """Let in who has a key, and whom none is wanted from. Who calls stands in `scope["caller"]` from here on.

    Args:
        app: What is behind.
        ring: The keys.
        unkeyed: What becomes of calls without a key, at this moment.
        refused: Told of every refusal.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ring: KeyRing,
        unkeyed: Callable[[], Unkeyed],
        refused: Callable[[Scope, GatewayError], None],
    ) -> None:
        self.app = app
        self._ring = ring
        self._unkeyed = unkeyed
        self._refused = refused

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own for who comes with a key that is known: it gives that of what is behind.
        if scope["type"] != "http" or (path := path_within(scope)) in OPEN_PATHS:
            return self.app(scope, receive, send)
        found = presented(fields_of(scope))
        if found is not None and not for_admins(scope["method"], path):
            try:
                key = self._ring.known(digest_of(found[0]))
            except GatewayError:
                key = None  # it is told below
            if key is not None:
                scope["caller"] = _caller(scope, key)
                return self.app(scope, receive, send)
        return self._judge(scope, receive, send)

    async def _judge(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in who may come in; tell the others why they may not."""
        path, fields = path_within(scope), fields_of(scope)
        found, needs_admin = presented(fields), for_admins(scope["method"], path)
        try:
            key = None if found is None else await self._ring.find(found[0])
            scope["caller"] = caller = _caller(scope, key)
            if needs_admin and (found is None or key is not None):
                require_admin(caller)
            if key is None and (needs_admin or await self._closed(fields)):
                raise _wants_a_key(found)
        except GatewayError as error:
            self._refused(scope, error)
            await send_error(send, error, dialect_of(path))
            return
        await self.app(scope, receive, send)

    async def _closed(self, headers: Fields) -> bool:
        """Whether a call needs a key.

        Raises:
            PermissionDenied: It needs none, and comes from a web page.
        """
        unkeyed = self._unkeyed()
        if unkeyed is Unkeyed.WELCOME:
            return False
        closed = unkeyed is Unkeyed.REFUSED or self._ring.for_callers
        if closed is None:
            closed = await self._ring.look()
        if unkeyed is Unkeyed.LOCAL and not closed:
            refuse_web_pages(headers)
        return closed


def _caller(scope: Scope, key: Key | None) -> Caller:
    """Who calls, with a key or without."""
    client, request_id = scope.get("client"), scope.get("request_id")
    address = client[0] if client else None
    request_id = request_id.decode("latin-1") if request_id else None
    if key is None:
        return Caller(address, None, False, None, request_id)
    return Caller(address, key.name, key.admin, key.routes, request_id)


def caller_of(scope: Scope) -> Caller:
    """Who calls."""
    caller: Caller = scope["caller"]
    return caller


def admin_of(scope: Scope) -> Caller:
    """The admin who calls.

    Raises:
        Unauthenticated: Whoever calls came without a key.
        PermissionDenied: The key is no admin's.
    """
    caller = caller_of(scope)
    require_admin(caller)
    return caller


def for_admins(method: str, path: str) -> bool:
    """Whether a request changes the gateway, or reads what is for admins. `path` is without a mount's prefix."""
    return path.startswith("/api/") and (method not in _READING or path.startswith(KEYS_PATH))


def refuse_web_pages(headers: Fields) -> None:
    """Let pass what programs of this machine send; a web page in its browser is a stranger.

    A page may send requests to any address (`Origin` and `Sec-Fetch-Site` tell of it), and its own name may be made
    to lead to this machine (then `Host` still has the name).

    Raises:
        PermissionDenied: It comes from a web page.
    """
    if (host := headers.get(b"host")) is not None and (len(host) > _LONGEST or not _is_address(host)):
        raise _from_a_page("its Host header is not this machine's name or an address")
    if (origin := headers.get(b"origin")) is not None:
        if len(origin) > _LONGEST or not _is_local(origin):
            raise _from_a_page("its Origin header names a web page of another place")
    elif headers.get(b"sec-fetch-site") == b"cross-site":
        raise _from_a_page("its Sec-Fetch-Site header says that another web page sent it")


_LONGEST = 300
"""No host has a longer name, with its scheme and port; whatever is longer is not remembered."""

_HOST = re.compile(rb"(?:[a-z][a-z0-9+.-]*://)?(\[[0-9a-f:.]+\]|[^:/\[\]]*)(?::[0-9]*)?", re.IGNORECASE)


def _host_of(written: bytes) -> str | None:
    """The host in a Host header or in an origin; None where there is none."""
    found = _HOST.fullmatch(written)
    return found[1].decode("latin-1").strip("[]").lower() if found else None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


@lru_cache(maxsize=256)
def _is_address(host_header: bytes) -> bool:
    """Whether a Host header has a name that always means this machine, or an address, which needs no name server."""
    host = _host_of(host_header)
    return host is not None and (_is_localhost(host) or _address(host) is not None)


@lru_cache(maxsize=256)
def _is_local(origin: bytes) -> bool:
    """Whether an origin is on this machine."""
    host = _host_of(origin)
    if host is None:
        return False
    address = _address(host)
    return _is_localhost(host) or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _wants_a_key(found: tuple[bytes, str] | None) -> Unauthenticated:
    if found is None:
        return Unauthenticated(
            f"this gateway wants a key: send it as {SENT_AS}; `gateway keys create` makes one"
        )
    key, header = found
    problem = "is none that this gateway knows"
    if key.startswith(b"gwk_") and not is_ours(key):
        problem = "was mistyped, or is not whole"
    return Unauthenticated(f"the key in the header {header!r} {problem}; `gateway keys create` makes one")


def _from_a_page(why: str) -> PermissionDenied:
    return PermissionDenied(
        f"without keys this gateway serves the programs of its machine only, and {why}; make a key with "
        "`gateway keys create`, or start it with --allow-unauthenticated"
    )
