"""Configuration files, and an environment that holds no key of this machine's user."""

import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from gateway_async.config import GatewayConfig
from gateway_async.config_file import load_config
from gateway_async.zero_config import USUAL_KEYS

_SET_BY_USERS = ("MLFLOW_", "GATEWAY_", "OPENAI_", "ANTHROPIC_", "AWS_", "DATABRICKS_")

Write = Callable[[str | bytes], Path]
Load = Callable[[str | bytes], GatewayConfig]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of this machine's user takes part."""
    for name in os.environ:
        if name.startswith(_SET_BY_USERS) or name in {usual.variable for usual in USUAL_KEYS}:
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "gateway.yaml"
        path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
        return path

    return write


@pytest.fixture
def load(write: Write) -> Load:
    """Loads a configuration that stands in a file."""
    return lambda content: load_config(write(content))
