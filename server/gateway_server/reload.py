"""Taking up a changed configuration file."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

from gateway_async.config import GatewayConfig
from gateway_async.config_file import load_config
from gateway_async.errors import GatewayError

_log = logging.getLogger("gateway_server")


async def watch(path: Path, apply: Callable[[GatewayConfig], None]) -> None:
    """Apply the file's configuration whenever it changes; one that is wrong is logged and changes nothing.

    Runs until it is cancelled.

    Args:
        path: The configuration file.
        apply: Takes the new configuration, or raises `GatewayError` and changes nothing.
    """
    content = _read(path)
    # The folder is watched, not the file: editors and deployments replace a file by renaming another over it.
    async for _ in awatch(path.parent, recursive=False, step=50, debounce=400):
        changed = _read(path)
        if changed is None or changed == content:
            continue
        content = changed
        try:
            config = await asyncio.to_thread(load_config, path)
            apply(config)
        except GatewayError as wrong:
            _log.error("the changed configuration is ignored, the one before stays in force:\n%s", wrong)
        else:
            _log.info("took up the changed configuration: %d routes from %s", len(config.routes), path)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # it may be gone for a moment while it is replaced
        return None
