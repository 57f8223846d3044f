"""Serve mlflow's own gateway: `launch_mlflow.py CONFIG PORT`, run by the peer's Python, never imported by ours.

mlflow's command starts gunicorn and a file watcher around the same application; one uvicorn is enough here. Most of
its providers know no base address but the vendor's, so every request that would leave this machine goes to
`PEER_UPSTREAM` instead, with its path and all else as it was; boto3's go there by `AWS_ENDPOINT_URL`.
"""

# mypy: disable-error-code="import-not-found"
# mlflow is in the peer's environment only.

import os
import sys
from typing import Any

import aiohttp
import uvicorn
from mlflow.gateway.app import create_app_from_path
from yarl import URL

UPSTREAM = URL(os.environ["PEER_UPSTREAM"])
os.environ["AWS_ENDPOINT_URL"] = str(UPSTREAM)

_request = aiohttp.ClientSession._request


async def _to_the_upstream(self: Any, method: str, url: Any, **more: Any) -> Any:
    wanted = URL(url)
    if wanted.host != UPSTREAM.host:
        wanted = wanted.with_scheme(UPSTREAM.scheme).with_host(UPSTREAM.host or "").with_port(UPSTREAM.port)
    return await _request(self, method, wanted, **more)


def main(config_path: str, port: str) -> None:
    """Serve the routes of a configuration file until the process is told to stop."""
    setattr(aiohttp.ClientSession, "_request", _to_the_upstream)  # noqa: B010 - to a type checker it is no variable
    uvicorn.run(create_app_from_path(config_path), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
