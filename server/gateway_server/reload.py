"""Taking up a changed configuration file."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from watchfiles import awatch

from gateway_async.config import GatewayConfig
from gateway_async.config_file import load_config
from gateway_async.errors import Conflict, GatewayError, Unavailable

LOOK_MS = 2000
"""The file is looked at this often in any case: not every file system tells of changes, nor of the first moment's."""

SETTLE_SECONDS = 0.05
"""A file that is written in place is empty at first, then half of itself."""

_log = logging.getLogger("gateway_server")


async def watch(path: Path, content: bytes | None, apply: Callable[[GatewayConfig], Awaitable[None]]) -> None:
    """Apply the file's configuration whenever it changes; one that is wrong is logged and changes nothing.

    Runs until it is cancelled.

    Args:
        path: The configuration file.
        content: What `read` found in it before the configuration in force was loaded.
        apply: Takes the new configuration, or raises `GatewayError` and changes nothing. After `Unavailable` or
            `Conflict` it is given it again.
    """
    file = _Followed(path, content, apply)
    while True:
        await file.look()
        # The folder is watched, not the file: editors and deployments replace a file by renaming another over it.
        changes = awatch(
            path.parent, recursive=False, step=50, debounce=400, rust_timeout=LOOK_MS, yield_on_timeout=True
        )
        try:
            async for _ in changes:
                await file.look()
        except OSError as problem:
            _log.error("%s can't be watched: %s", path.parent, problem)
            await asyncio.sleep(LOOK_MS / 1000)


class _Followed:
    """The file, and what was made of it."""

    def __init__(
        self, path: Path, content: bytes | None, apply: Callable[[GatewayConfig], Awaitable[None]]
    ) -> None:
        self._path = path
        self._content = content
        self._apply = apply
        self._waits_for = ""

    async def look(self) -> None:
        """Take the file up if it is not as it was."""
        changed = read(self._path)
        if changed is None or changed == self._content:
            return
        await asyncio.sleep(SETTLE_SECONDS)
        if read(self._path) != changed:  # it is still being written, and the end of that is a change too
            return
        try:
            config = await asyncio.to_thread(load_config, self._path)
            await self._apply(config)
        except (Unavailable, Conflict) as waits:  # for what may change without the file
            if self._waits_for != waits.message:
                self._waits_for = waits.message
                _log.error("the changed configuration waits, the one before stays in force:\n%s", waits)
            return
        except GatewayError as wrong:
            _log.error("the changed configuration is ignored, the one before stays in force:\n%s", wrong)
        except Exception:  # noqa: BLE001 - whatever a file makes go wrong, the next change of it must be seen
            _log.exception("the changed configuration is ignored, the one before stays in force")
        else:
            _log.info("took up the changed configuration: %d routes from %s", len(config.routes), self._path)
        self._content, self._waits_for = changed, ""


def read(path: Path) -> bytes | None:
    """The file's content; None while there is none, as for a moment when it is replaced."""
    try:
        return path.read_bytes()
    except OSError:
        return None
