"""What is done to this project: `nox -l` lists it.

Every session installs what it needs into an environment of its own; only Python, pip and nox are needed.
"""

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["check", "tests"]
nox.options.reuse_existing_virtualenvs = True

PROJECT = nox.project.load_toml("pyproject.toml")
PEER = Path(".nox", "mlflow-peer")
PEER_VERSION = "2.22.5"


def install(session: nox.Session) -> None:
    """Install the project as it stands here, all extras, the example of a plugin, and what its development needs."""
    plugin = "tests/plugins/example_provider"
    session.install("-e", ".[all]", "-e", plugin, *nox.project.dependency_groups(PROJECT, "dev"))


def peer_python(session: nox.Session) -> str:
    """The interpreter of an environment that has the last mlflow with a gateway, which ours is compared to."""
    python = PEER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (PEER / "ready").exists():
        session.run(sys.executable, "-m", "venv", "--clear", str(PEER), external=True)
        session.run(
            str(python), "-m", "pip", "install", "-q", f"mlflow[gateway]=={PEER_VERSION}", external=True
        )
        (PEER / "ready").touch()
    return str(python.absolute())


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
        env["MLFLOW_PEER_PYTHON"] = peer_python(session)
    if os.environ.get("CI"):
        # Its machines are shared: what fails once more when it is tried again is broken; what passes then is listed.
        arguments += ["--reruns", "1", "-rfER"]
    session.run("pytest", *arguments, env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """What a request costs, beside mlflow's own gateway; `-- --quick` for a rough answer."""
    install(session)
    env = {"MLFLOW_PEER_PYTHON": peer_python(session), "PYTHONDONTWRITEBYTECODE": ""}
    session.run("python", "-m", "tests.benchmarks", *session.posargs, env=env)
