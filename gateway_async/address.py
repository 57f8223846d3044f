"""Where the gateway is: the address that is set for the process, and addresses of routes.

The one piece of state that the documented API keeps per process.
"""

import os
import re
from urllib.parse import urlsplit

from gateway_async.errors import ConfigError

_address: str | None = None


def set_gateway_uri(gateway_uri: str) -> None:
    """Set the address of the gateway for every client and function that is not given one.

    Args:
        gateway_uri: Such as `http://localhost:5000`; `databricks` or `databricks://profile` for Databricks.

    Raises:
        ConfigError: It has no scheme or no host.
    """
    if not _is_address(gateway_uri):
        raise ConfigError(
            f"{without_credentials(gateway_uri)!r} is no address of a gateway: scheme and host are needed, such as "
            "http://localhost:5000"
        )
    global _address
    _address = gateway_uri


def get_gateway_uri() -> str:
    """The address of the gateway: the one given to `set_gateway_uri()`, else `MLFLOW_GATEWAY_URI`.

    Raises:
        ConfigError: There is neither.
    """
    if address := _address or os.environ.get("MLFLOW_GATEWAY_URI"):
        return address
    raise ConfigError(
        "no address of a gateway is set: pass one, call set_gateway_uri('http://localhost:5000'), or set the "
        "environment variable MLFLOW_GATEWAY_URI"
    )


def resolve_route_url(base: str, route_url: str) -> str:
    """The absolute address of a route; one that is absolute already (as Databricks gives) stays.

    So does one whose gateway has no address of its own: `local`, or `databricks`, which stands for several. A gateway
    that is mounted under a path gives addresses that begin with that path, as `base` ends with it: it is not written
    twice.
    """
    parts, address = urlsplit(route_url), urlsplit(base)
    if (parts.scheme and parts.netloc) or address.scheme not in ("http", "https"):
        return route_url
    prefix = address.path.rstrip("/")
    # Its own path begins with /gateway/, so that a mount at /gateway can be told from none.
    whole = prefix and route_url.startswith(f"{prefix}/gateway/")
    path = route_url if whole else f"{prefix}/{route_url.lstrip('/')}"
    return f"{address.scheme}://{address.netloc}{path}"


def without_credentials(uri: str) -> str:
    """The address as a message may show it: a user and a password in it are left out."""
    return re.sub(r"(?<![^/])[^/@]*@", "", uri)


def _is_address(uri: str) -> bool:
    if uri == "databricks":
        return True
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme == "databricks" or bool(parts.scheme and parts.netloc)
