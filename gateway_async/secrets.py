"""Keys that do not show: a string that hides in `repr`, and where a key is read from."""

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

MASK = "**********"
"""What stands where a key would."""

LOGIN = re.compile(r"(https?://)([^/?#]*)@", re.IGNORECASE)
"""How an address begins in which a user and a password stand."""

_PATH = re.compile(r"[/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|(?i:file):")
"""How a path begins. One that begins otherwise is not looked at either, and taken for a key."""

_AWS_SECRET = re.compile(r"[A-Za-z0-9/+]{40}")
"""A secret key of AWS, which may begin with a slash."""


class Secret(str):
    """A string whose `repr` does not say what it is, so that a dump or a traceback does not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"


class AddressWithLogin(str):
    """An address in which a user and a password stand; its `repr` does not show them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(without_login(self))


def without_login(address: str) -> str:
    """The address, a mask where a user and a password stand in it."""
    login = LOGIN.match(address)
    return f"{login[1]}{MASK}@{address[login.end() :]}" if login else address


@dataclass(frozen=True, slots=True)
class Listed:
    """What of the server's own keys a configuration may use, and what of it does."""

    names: frozenset[str]
    used: set[str] = field(default_factory=set)


_LISTED: ContextVar[Listed | None] = ContextVar("listed secrets", default=None)


@contextmanager
def only_listed(names: Iterable[str]) -> Iterator[Listed]:
    """Within it, `resolve_secret` looks at no variable and no file but those listed: for what came over the API.

    It holds for this task or thread, and for those started from it.

    Args:
        names: `$NAME` of variables and paths of files, as they would be written in the configuration.
    """
    listed = Listed(frozenset(names))
    token = _LISTED.set(listed)
    try:
        yield listed
    finally:
        _LISTED.reset(token)


def resolve_secret(value: Any) -> Secret:
    """The key that a configuration names.

    Args:
        value: `$NAME` of an environment variable, the path of a file that holds the key, or the key itself.

    Raises:
        ValueError: It is not a string, is empty, or names a variable that is not set. The value is not repeated.
            Within `only_listed`: it names what is not listed.
    """
    if not isinstance(value, str):
        raise ValueError(
            "a key is a string: $NAME of an environment variable, a file's path, or the key itself"
        )
    listed = _LISTED.get()
    if listed is not None and value not in listed.names:
        return _plain(value)
    if listed is not None:
        listed.used.add(value)
    if value.startswith("$"):
        if not re.fullmatch(r"\w+", value[1:]):
            raise ValueError("what begins with $ names an environment variable, and this is the name of none")
        key, source = os.environ.get(value[1:], "").strip(), f"the environment variable {value[1:]!r}"
        if not key:
            raise ValueError(f"{source} is not set")
    elif (content := _content(value)) is not None:
        key, source = content, "the key's file"
    elif listed is not None:
        raise ValueError("the key's file is not there")
    else:
        key, source = value.strip(), "the key"
    return _checked(key, source)


def _plain(value: str) -> Secret:
    """The value as the key itself. What names a variable or a file is refused, whether there is one or not.

    Raises:
        ValueError: It does, or is no key.
    """
    key = value.strip()
    if key.startswith("$") or (_PATH.match(key) and not _AWS_SECRET.fullmatch(key)):
        what = "variables of its environment" if key.startswith("$") else "its files"
        raise ValueError(
            f"a route made over the API can't read keys from the server: {what} are open to it only where the"
            " operator lists them, word for word, in upstream.allow_secrets; else give the key itself"
        )
    return _checked(key, "the key")


def _checked(key: str, source: str) -> Secret:
    """The key, once a header can carry it.

    Raises:
        ValueError: None can.
    """
    if not key:
        raise ValueError(f"{source} is empty")
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"{source} holds characters that no HTTP header can carry")
    return Secret(key)


def secrets_in(settings: Any) -> Iterator[Secret]:
    """The keys in a provider's settings, at any depth, and the passwords in its addresses."""
    for _, value in settings or ():
        if isinstance(value, Secret):
            yield value
        elif isinstance(value, SecretStr):
            yield Secret(value.get_secret_value())
        elif isinstance(value, BaseModel):
            yield from secrets_in(value)
        elif isinstance(value, str) and (login := LOGIN.match(value)):
            yield from _password(login[2])


def _password(login: str) -> Iterator[Secret]:
    """The password in front of an address's host, in each form that it is sent or told in; without one, the user."""
    user, _, password = login.partition(":")
    yield Secret(b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    yield Secret(password or user)
    yield Secret(unquote(password or user))


def _content(path: str) -> str | None:
    """What the file holds, or None where there is no such file.

    Raises:
        ValueError: It can't be read, or holds no text.
    """
    try:
        there = Path(path).is_file()
    except (OSError, ValueError):  # a key may be longer than a file name can be, or hold a null character
        return None
    try:
        return Path(path).read_text("utf-8").strip() if there else None
    except OSError as problem:
        raise ValueError(f"the key's file can't be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("the key's file holds no text") from None
