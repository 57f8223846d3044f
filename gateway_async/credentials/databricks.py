"""Databricks: where a workspace is and how to get in, the way Databricks' own tools find out.

The environment first, then the profile file; by the extra `databricks`, but for an address and a token in the
environment, which need no SDK.
"""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway_async.credentials.held import Held, Holder
from gateway_async.errors import ConfigError

if TYPE_CHECKING:
    from databricks.sdk.core import Config

HOLD_SECONDS = 30.0
"""So long headers are used again. The SDK gives out no token that ends sooner."""

WORKSPACE = "X-Databricks-Workspace-Id"
"""The header that names the workspace, where a host serves several."""


def is_databricks(uri: str) -> bool:
    """Whether the address is `databricks` or `databricks://profile`."""
    return uri == "databricks" or uri.startswith("databricks://")


def resolve(uri: str) -> tuple[str, Mapping[str, str]]:
    """The workspace's address and the headers that let us in. Blocks: it may read files and ask for a token.

    Args:
        uri: `databricks`, or `databricks://` and the name of a profile.

    Raises:
        ConfigError: The extra is not installed, or no credentials are found.
    """
    try:
        config = _config(profile=urlsplit(uri).netloc or None)
        return str(config.host).rstrip("/"), config.authenticate()
    except ImportError:
        raise ConfigError(
            f"the address {uri!r} needs Databricks' SDK: pip install 'ai-gateway-sdk[databricks]'"
        ) from None
    except (ValueError, OSError) as problem:
        raise ConfigError(f"no Databricks credentials for {uri!r}: {problem}") from None


class Workspace:
    """The workspace that the environment or the profile file names, and the headers that let us in.

    Args:
        host: The workspace's address, if it is known already.
    """

    def __init__(self, host: str | None = None) -> None:
        self._host = host
        self._config: Config | None = None
        self._holder = Holder(self._fetch)

    async def get(self) -> tuple[str, Mapping[str, str]]:
        """The workspace's address, without a slash at its end, and the headers.

        Raises:
            ConfigError: There are no credentials; the message says how to give some.
        """
        return _from_environment(self._host) or await self._holder.get()

    def _fetch(self) -> Held[tuple[str, Mapping[str, str]]]:
        """The same, as Databricks' SDK finds it; this blocks."""
        try:
            if self._config is None:
                self._config = _config(host=self._host)
            headers = self._config.authenticate()
        except ImportError:
            raise ConfigError(
                "Databricks' credentials are expected in DATABRICKS_HOST and DATABRICKS_TOKEN; to find them in other"
                " ways its SDK is needed: pip install 'ai-gateway-sdk[databricks]'"
            ) from None
        except (ValueError, OSError, LookupError, TypeError) as problem:
            raise ConfigError(
                "no Databricks credentials are found; set DATABRICKS_HOST and DATABRICKS_TOKEN, or name a profile of"
                f" ~/.databrickscfg in DATABRICKS_CONFIG_PROFILE: {problem}"
            ) from None
        if self._config.workspace_id:
            headers = {**headers, WORKSPACE: str(self._config.workspace_id)}
        now = time.time()
        return Held((str(self._config.host).rstrip("/"), headers), now + HOLD_SECONDS, now + HOLD_SECONDS)


def _config(**known: Any) -> "Config":
    """What Databricks' SDK finds out. Blocks.

    Raises:
        ImportError: The extra is not installed.
        ValueError: There is nothing to be found.
    """
    from databricks.sdk.core import Config

    # It asks the workspace about itself first, for 300 s where it can't be reached.
    return Config(**known, http_timeout_seconds=10, retry_timeout_seconds=1)


def _from_environment(host: str | None) -> tuple[str, Mapping[str, str]] | None:
    """The address and the token that stand in the environment, unless it asks for another way to get in."""
    names = ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE", "DATABRICKS_AUTH_TYPE")
    named, token, profile, kind = (os.environ.get(name, "").strip() for name in names)
    host = host or named
    if not host or not token or profile or kind not in ("", "pat"):
        return None
    headers = {"Authorization": f"Bearer {token}"}
    if workspace := os.environ.get("DATABRICKS_WORKSPACE_ID"):
        headers[WORKSPACE] = workspace
    return (host if "://" in host else f"https://{host}").rstrip("/"), headers
