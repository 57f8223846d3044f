"""Where things are when nobody said: the store, and what stands beside it."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway_async.errors import ConfigError

SQLITE = "sqlite:///"
"""What an address of SQLite begins with; then a path, relative or, with a fourth slash, absolute."""

NO_STORE = (
    "routes, limits and keys can't be changed here, since this gateway has no store to keep them in: give it one with "
    "`store: sqlite:///gateway.db` in its configuration, or GATEWAY_STORE"
)
"""What is said of a change where there is no store."""


def store_address(given: str | None, configured: str | None) -> str | None:
    """The store's address: the one given (`--store`), else `GATEWAY_STORE`, else the configuration's.

    None where nobody named one.
    """
    return given or os.environ.get("GATEWAY_STORE") or configured or None


def default_store() -> str:
    """The address of a SQLite file in the user's state directory.

    Raises:
        ConfigError: There is no such directory, and it can't be made.
    """
    return f"{SQLITE}{state_dir() / 'gateway.db'}"


def state_dir() -> Path:
    """The user's directory for what programs keep, made for its user alone.

    Raises:
        ConfigError: It can't be made.
    """
    from platformdirs import user_state_path

    return _made(user_state_path("ai-gateway"))


def beside(store: str, suffix: str) -> Path:
    """The path of a file that belongs to a store: beside SQLite's, else in the user's state directory, which is made.

    Every process of a machine that names the same store gets the same path.

    Args:
        store: The store's address.
        suffix: What the file's name ends with, such as `-secret`.

    Raises:
        ConfigError: The directory can't be made.
    """
    if store.startswith(SQLITE):
        path = sqlite_file(store)
        return _made(path.parent) / (path.name + suffix)
    return state_dir() / f"store-{hashlib.sha256(store.encode()).hexdigest()[:16]}{suffix}"


def sqlite_file(address: str) -> Path:
    """The file that an address of SQLite names, as an absolute path without links."""
    return Path(address.removeprefix(SQLITE).partition("?")[0]).resolve()


def shown(address: str) -> str:
    """The address of a store as a message may show it: without a user, a password and options."""
    scheme, _, rest = address.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options:  # a question mark in the password, or an at sign in an option: nobody can tell
        return f"{scheme}://…"
    return f"{scheme}://{place.rpartition('@')[2]}"


def own_text(path: Path, make: Callable[[], str]) -> str:
    """The text of a file that its user alone may read; the file is made if there is none.

    Of many who make it at once, all get the text of one: it stands there whole, or not at all.

    Args:
        path: The file.
        make: Gives the text of a new one.

    Raises:
        OSError, ValueError: It can't be made or read, or holds no text.
    """
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
                writing.write(make() + "\n")
                writing.flush()
                os.fsync(descriptor)
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return path.read_text("utf-8").strip()


def _made(directory: Path) -> Path:
    """The directory; one that was not there is for its user alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"the directory {directory} can't be made: {problem.strerror}; name a place for the store with --store or "
            "GATEWAY_STORE"
        ) from None
    return directory
