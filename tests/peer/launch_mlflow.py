"""Serve mlflow's own gateway: `launch_mlflow.py CONFIG PORT`, run by the peer's Python, never imported by ours.

mlflow's command starts gunicorn and a file watcher around the same application; one uvicorn is enough here. Its
Anthropic provider knows no base address but the vendor's, so `PEER_ANTHROPIC_BASE` puts another in its place.
"""

# mypy: disable-error-code="import-not-found"
# mlflow is in the peer's environment only.

import os
import sys

import uvicorn
from mlflow.gateway.app import create_app_from_path
from mlflow.gateway.providers.anthropic import AnthropicProvider


def main(config_path: str, port: str) -> None:
    """Serve the routes of a configuration file until the process is told to stop."""
    if base := os.environ.get("PEER_ANTHROPIC_BASE"):
        AnthropicProvider.base_url = property(lambda _: base)
    uvicorn.run(create_app_from_path(config_path), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
