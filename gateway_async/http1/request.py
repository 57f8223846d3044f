"""The bytes of a request, and where they go."""

import re
from base64 import b64encode
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

USER_AGENT = "ai-gateway-sdk"

_AUTHORITY = re.compile(r"[\w.~!$&'()*+,;=%:\[\]-]+", re.ASCII)
_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"content-length", "transfer-encoding", "host", "connection", "accept-encoding"})


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


def first_lines(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """Where a request goes, and its first lines up to the length of its body.

    Raises:
        ValueError: A part of it can't stand in a request. The message holds no header's value.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"{parts.scheme}://{parts.hostname} is no address of a provider: http:// or https:// is needed"
        )
    tls = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
    )
    lines = {
        "host": f"Host: {_authority(parts)}",
        "accept": "Accept: */*",
        "accept-encoding": "Accept-Encoding: identity",
        "user-agent": f"User-Agent: {USER_AGENT}",
    }
    if parts.username is not None:
        lines["authorization"] = f"Authorization: {_basic(parts)}"
    for name, value in headers:
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"{name!r} is no header that a request to a provider may have")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"the header {name} holds a line end or another character that no header can carry"
            )
        lines[name.lower()] = f"{name}: {value}"
    text = "\r\n".join([f"{method} {path} HTTP/1.1", *lines.values(), "Content-Length: "]).encode("latin-1")
    return Origin(parts.hostname, parts.port or (443 if tls else 80), tls), text


head = lru_cache(maxsize=4096)(first_lines)
"""The same, made once for each address and its headers."""


def _authority(parts: SplitResult) -> str:
    """Host and port as they stand in the `Host` header."""
    authority = parts.netloc.rpartition("@")[2]
    if not authority.isascii():
        authority = authority.encode("idna").decode()
    if not _AUTHORITY.fullmatch(authority):
        raise ValueError(f"{authority!r} is no host")
    return authority


def _basic(parts: SplitResult) -> str:
    """The `Authorization` that name and password in an address stand for."""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"
