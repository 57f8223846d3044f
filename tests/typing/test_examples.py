"""What a user's type checker sees of the packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.modules import ROOT

pytestmark = pytest.mark.timeout(400)

EXAMPLES = Path(__file__).with_name("examples")


def checked(*files: Path) -> subprocess.CompletedProcess[str]:
    """What strict mypy says, as a user has it: no plugin, and errors of the installed packages are not shown."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--follow-imports=silent",
        "--no-error-summary",
    ]
    command += [
        "--explicit-package-bases",
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "users"),
        *map(str, files),
    ]
    env = {"MYPYPATH": f"{ROOT}:{ROOT / 'server'}", "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=380)


def test_the_examples_are_typed() -> None:
    """Every `assert_type` in them holds, and every mistake in them is found."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    ended = checked(*sorted(EXAMPLES.glob("*.py")))

    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    """Untyped packages would make everything right."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    path = tmp_path / "mistake.py"
    path.write_text(
        "from gateway_sync import GatewayClient\n\nanswer: int = GatewayClient().query('a', {})\n"
    )
    ended = checked(path)

    assert 'has type "dict[str, Any]"' in ended.stdout
