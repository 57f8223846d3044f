"""Databricks as a gateway: where it is and how to get in, the way Databricks' own tools find out.

The environment first, then the profile file; by the extra `databricks`.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from gateway_async.errors import ConfigError


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
        from databricks.sdk.core import Config
    except ImportError:
        raise ConfigError(
            f"the address {uri!r} needs Databricks' SDK: pip install 'ai-gateway-sdk[databricks]'"
        ) from None
    try:
        # Their tools ask the workspace about itself first, for 300 s where it can't be reached.
        config = Config(
            profile=urlsplit(uri).netloc or None, http_timeout_seconds=10, retry_timeout_seconds=1
        )
        return str(config.host).rstrip("/"), config.authenticate()
    except (ValueError, OSError) as problem:
        raise ConfigError(f"no Databricks credentials for {uri!r}: {problem}") from None
