"""Keys that do not show: a string that hides in `repr`, and where a key is read from."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

MASK = "**********"
"""What stands where a key would."""


class Secret(str):
    """A string whose `repr` does not say what it is, so that a dump or a traceback does not either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"


def resolve_secret(value: Any) -> Secret:
    """The key that a configuration names.

    Args:
        value: `$NAME` of an environment variable, the path of a file that holds the key, or the key itself.

    Raises:
        ValueError: It is not a string, is empty, or names a variable that is not set. The value is not repeated.
    """
    if not isinstance(value, str):
        raise ValueError(
            "a key is a string: $NAME of an environment variable, a file's path, or the key itself"
        )
    if value.startswith("$"):
        if not re.fullmatch(r"\w+", value[1:]):
            raise ValueError("what begins with $ names an environment variable, and this is the name of none")
        key, source = os.environ.get(value[1:], "").strip(), f"the environment variable {value[1:]!r}"
        if not key:
            raise ValueError(f"{source} is not set")
    elif (content := _content(value)) is not None:
        key, source = content, "the key's file"
    else:
        key, source = value.strip(), "the key"
    if not key:
        raise ValueError(f"{source} is empty")
    if not key.isascii() or not key.isprintable():
        raise ValueError(f"{source} holds characters that no HTTP header can carry")
    return Secret(key)


def secrets_in(settings: Any) -> Iterator[Secret]:
    """The keys in a provider's settings, at any depth."""
    for _, value in settings or ():
        if isinstance(value, Secret):
            yield value
        elif isinstance(value, SecretStr):
            yield Secret(value.get_secret_value())
        elif isinstance(value, BaseModel):
            yield from secrets_in(value)


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
