"""What is installed, and what works where only a client is: no engine, no server, nothing that they need."""

import subprocess
import sys
import textwrap
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from tests.architecture.modules import PACKAGES, ROOT
from tests.support.server import Server, environment, running

pytest.importorskip("hatchling", reason="the wheel is built with hatchling")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Server":  # type: ignore[misc] # a generator, for pytest
    """A gateway to call."""
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def run(wheel: Path, code: str, **env: str) -> str:
    """What code prints where the wheel is installed, and beside it only what a client needs."""
    installed = Path(__file__).with_name("installed.py")
    ended = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(installed), textwrap.dedent(code)],
        env={**environment(), "PYTHONPATH": str(wheel), **env},
        cwd=wheel.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    """Every module and data file of theirs, but the generator; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert held == wanted - {"gateway_sync/_generate.py"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert "gateway_server/api/docs.html" in held


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Name, version, license, the command, and the extras of the design."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert (metadata["Name"], metadata["Version"]) == ("ai-gateway-sdk", project["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra") or ()) >= {"local", "server", "databricks", "all"}
    assert "gateway = gateway_server.__main__:main" in entry_points
    base = [line.split(">")[0] for line in metadata.get_all("Requires-Dist") or () if "extra ==" not in line]
    assert set(base) == {"anyio", "httpx", "pydantic", "tenacity"}


@pytest.mark.parametrize("package", ["gateway_async", "gateway_sync"])
def test_a_client_package_can_be_imported_alone(wheel: Path, package: str) -> None:
    """With every optional dependency absent; nothing of the server comes with it, and no HTTP library before it is used."""
    printed = run(
        wheel,
        f"""
        import sys, {package}
        assert {package}.__file__.startswith({str(wheel)!r}), {package}.__file__
        print(sorted({{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - {{"__main__"}}))
        """,
    )
    names = set(printed.strip("[]").replace("'", "").split(", "))

    assert package in names
    assert names.isdisjoint(
        {"gateway_server", "httpx", "starlette", "aiohttp", "orjson", "yaml", "limits", "httptools"}
    )


def test_every_public_name_is_there_without_extras(wheel: Path) -> None:
    """Also the documented modules."""
    run(
        wheel,
        """
        import importlib
        for package in ("gateway_async", "gateway_sync"):
            module = importlib.import_module(package)
            for name in module.__all__:
                getattr(module, name)
            for name in ("config", "base_models", "client", "errors", "fluent", "schemas"):
                importlib.import_module(f"{package}.{name}")
        """,
    )


def test_a_client_calls_a_gateway_without_extras(wheel: Path, server: Server) -> None:
    """Async and blocking, whole and streamed."""
    printed = run(
        wheel,
        f"""
        import asyncio
        from gateway_async import AsyncGatewayClient
        from gateway_sync import GatewayClient

        HELLO = {{"messages": [{{"role": "user", "content": "Hello"}}]}}

        async def main():
            async with AsyncGatewayClient({server.url!r}) as client:
                print((await client.chat("chat", HELLO)).choices[0].message.content)
                print(len([chunk async for chunk in client.stream("chat", HELLO)]))

        asyncio.run(main())
        with GatewayClient({server.url!r}) as client:
            print(client.query("chat", HELLO)["choices"][0]["message"]["content"])
            print(len(list(client.stream("chat", HELLO))))
        """,
    )

    assert printed.split("\n") == ["You said: Hello", "6", "You said: Hello", "6"]


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import gateway_async; gateway_async.AsyncGatewayClient.local()", "local"),
        ("import gateway_sync; gateway_sync.GatewayClient.local({'endpoints': []})", "local"),
        ("import gateway_sync; gateway_sync.GatewayClient('databricks').health()", "databricks"),
        ("import gateway_server", "server"),
        ("import runpy; runpy.run_module('gateway_server', run_name='__main__')", "server"),
    ],
)
def test_what_needs_an_extra_names_it(wheel: Path, code: str, extra: str) -> None:
    """In the error, as the command that installs it."""
    printed = run(wheel, f"try:\n    {code}\nexcept (Exception, SystemExit) as error:\n    print(error)")

    assert f"pip install 'ai-gateway-sdk[{extra}]'" in printed


def test_a_configuration_can_be_made_without_extras(wheel: Path) -> None:
    """The documented classes are a client's too."""
    printed = run(
        wheel,
        """
        from gateway_async.config import GatewayConfig, LimitsConfig, Route
        model = {"provider": "openai", "name": "gpt", "config": {"openai_api_key": "sk"}}
        config = GatewayConfig.model_validate({"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chat", "model": model}]})
        limits = LimitsConfig.model_validate({"limits": [{"calls": 5, "renewal_period": "minute"}]})
        print(config.routes[0].to_route().route_url, limits.limits[0].calls)
        """,
    )

    assert printed == "/gateway/a/invocations 5"
