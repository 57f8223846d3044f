"""The package: its names, what importing it costs, and the documented modules."""

import importlib
import subprocess
import sys

import pytest

import gateway_async
import gateway_sync
from tests.sync.scripts import ROOT

HEAVY = (
    "httpx",
    "tenacity",
    "starlette",
    "uvicorn",
    "aiohttp",
    "orjson",
    "yaml",
    "asyncio",
    "gateway_server",
)


def test_the_package_has_the_documented_names() -> None:
    """Those of `mlflow.gateway`, and the client also by a name that is no vendor's."""
    documented = {
        *("MlflowGatewayClient", "get_route", "search_routes", "create_route", "delete_route", "set_limits"),
        *("get_limits", "query", "set_gateway_uri", "get_gateway_uri"),
    }

    assert documented <= set(gateway_sync.__all__)
    assert gateway_sync.GatewayClient is gateway_sync.MlflowGatewayClient
    assert sorted(set(gateway_sync.__all__)) == sorted(gateway_sync.__all__)
    assert all(hasattr(gateway_sync, name) for name in gateway_sync.__all__)


def test_the_package_has_what_the_async_one_has() -> None:
    """Whoever changes from one to the other finds every name."""
    renamed = {"AsyncGatewayClient": "GatewayClient", "AsyncStream": "SyncStream"}

    assert {renamed.get(name, name) for name in gateway_async.__all__} <= set(gateway_sync.__all__)


@pytest.mark.parametrize("name", ["config", "base_models", "errors", "schemas"])
def test_modules_are_defined_once(name: str) -> None:
    """`gateway_sync.config.Route` is `gateway_async.config.Route`: an `except` or an `isinstance` works with either."""
    there = importlib.import_module(f"gateway_async.{name}")
    here = importlib.import_module(f"gateway_sync.{name}")
    names = getattr(there, "__all__", None) or [
        name for name, thing in vars(there).items() if getattr(thing, "__module__", "") == there.__name__
    ]

    assert [
        name for name in names if not name.startswith("_") and getattr(here, name) is not getattr(there, name)
    ] == []
    assert here.__doc__


def test_importing_loads_nothing_heavy() -> None:
    """No HTTP library, no event loop and no server package before the first client is made."""
    code = f"import sys, gateway_sync; print([name for name in {HEAVY!r} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert (printed.stdout, printed.stderr) == ("[]\n", "")
