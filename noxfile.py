"""What is done to this project: `nox -l` lists it.

Every session installs what it needs into an environment of its own; only Python, pip and nox are needed.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["check", "tests"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
MLFLOW, LITELLM, PORTKEY = (Path(".nox", f"{name}-peer") for name in ("mlflow", "litellm", "portkey"))
MLFLOW_PACKAGE = "mlflow[gateway]==2.22.5"
LITELLM_PACKAGE = "litellm[proxy]==1.106.2"
PORTKEY_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    "overrides": {"@hono/node-server": "1.14.1"},  # with a later one it answers no streams
}


def install(session: nox.Session) -> None:
    """Install the project as it stands here, all extras, the example of a plugin, and what its development needs."""
    plugin = "tests/plugins/example_provider"
    session.install("-e", ".[all]", "-e", plugin, *nox.project.dependency_groups(PROJECT, "dev"))


def peer_python(session: nox.Session, folder: Path, package: str) -> str:
    """The interpreter of an environment that has another gateway, which ours is compared to."""
    python = interpreter(folder)
    if not (folder / "ready").exists():
        session.run(sys.executable, "-m", "venv", "--clear", str(folder), external=True)
        session.run(str(python), "-m", "pip", "install", "-q", package, external=True)
        (folder / "ready").touch()
    return str(python.absolute())


def interpreter(folder: Path) -> Path:
    """Where a virtual environment has its interpreter."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def portkey(session: nox.Session) -> None:
    """Portkey's gateway, where there is npm."""
    if shutil.which("npm") and not (PORTKEY / "ready").exists():
        PORTKEY.mkdir(parents=True, exist_ok=True)
        (PORTKEY / "package.json").write_text(json.dumps(PORTKEY_PACKAGE))
        session.run("npm", "install", "--silent", "--prefix", str(PORTKEY), external=True)
        (PORTKEY / "ready").touch()


@nox.session
def generate(session: nox.Session) -> None:
    """Write gateway_sync anew from gateway_async."""
    install(session)
    session.run("python", "-m", "gateway_sync._generate")


@nox.session
def check(session: nox.Session) -> None:
    """Lint, types, generated code in step, who imports whom, the changelog."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("python", "-m", "gateway_sync._generate", "--check")
    session.run("pytest", "-q", "tests/architecture")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests. In CI, or with `-- --peer`, also those that compare us to mlflow's own gateway."""
    install(session)
    arguments = [argument for argument in session.posargs if argument != "--peer"]
    env = {}
    if "--peer" in session.posargs or os.environ.get("CI"):
        env["MLFLOW_PEER_PYTHON"] = peer_python(session, MLFLOW, MLFLOW_PACKAGE)
    if os.environ.get("CI"):
        # Its machines are shared: what fails once more when it is tried again is broken; what passes then is listed.
        # Most tests wait for something: several at a time take half as long.
        arguments += ["--reruns", "1", "-rfER", "--numprocesses", "4", "--dist", "loadfile"]
    session.run("pytest", *arguments, env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """What a request costs, beside other gateways. `-- --quick`: roughly; `-- --soak`: whether the gateway grows."""
    install(session)
    if "--soak" in session.posargs:
        arguments = [argument for argument in session.posargs if argument != "--soak"]
        session.run("python", "-m", "tests.benchmarks.soak", *arguments)
        return
    if "--quick" not in session.posargs:  # which makes do with those that are there
        peer_python(session, MLFLOW, MLFLOW_PACKAGE)
        peer_python(session, LITELLM, LITELLM_PACKAGE)
        portkey(session)
    env = {
        "MLFLOW_PEER_PYTHON": str(interpreter(MLFLOW).absolute()),
        "LITELLM_PEER_PYTHON": str(interpreter(LITELLM).absolute()),
        "PORTKEY_PEER": str(PORTKEY.absolute()),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    session.run("python", "-m", "tests.benchmarks", *session.posargs, env=env)
