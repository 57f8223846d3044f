"""Keys that do not show: a string that hides in `repr`, and where a key is read from."""

import os
from pathlib import Path
from typing import Any

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
        if key := os.environ.get(value[1:], "").strip():
            return Secret(key)
        raise ValueError(f"the environment variable {value[1:]!r} is not set")
    key = _content(value) or value.strip()
    if not key:
        raise ValueError("the key is empty")
    if not key.isascii() or not key.isprintable():
        raise ValueError("the key holds characters that no HTTP header can carry; is it the right file?")
    return Secret(key)


def _content(path: str) -> str | None:
    """What the file holds, or None where there is no such file."""
    try:
        return Path(path).read_text("utf-8").strip() if Path(path).is_file() else None
    except (OSError, ValueError):  # a key may be longer than a file name can be, or hold a null character
        return None
