"""What the README says works as it stands."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import environment

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


CONSOLES = re.findall(r"```console\n(.*?)```", README.read_text("utf-8"), re.DOTALL)

ROUTE = "{name: mine, endpoint_type: llm/v1/chat, model: {provider: offline, name: echo}}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of whoever follows the README."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """A gateway without a configuration, as the README's first command starts it."""
    command = [sys.executable, "-m", "gateway_server", "start", "--port", "0"]
    env = environment({"XDG_STATE_HOME": str(home / ".local" / "state")})
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as server:
        assert server.stdout is not None
        found = next(filter(None, (re.search(r"AI gateway.*:(\d+)", line) for line in server.stdout)))
        yield f"http://localhost:{found[1]}"
        server.terminate()
        server.stdout.read()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[text.strip().splitlines()[0][:60] for text in SNIPPETS])
def test_every_snippet_of_the_readme_runs(snippet: str, address: str) -> None:
    """Whoever copies a snippet gets an answer from the gateway that the first command starts."""
    code = snippet.replace("http://localhost:5000", address)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip() or "create_app" in snippet


def test_the_commands_for_what_changes_at_run_time_work(address: str, home: Path) -> None:
    """As they stand, in a home of their own."""
    (found,) = [console for console in CONSOLES if "gateway routes create" in console]
    (home / "route.yaml").write_text(ROUTE)
    script = f'set -eu; gateway() {{ "{sys.executable}" -m gateway_server "$@"; }}; {found}'
    env = environment({"HOME": str(home), "MLFLOW_GATEWAY_URI": address})
    env.pop("XDG_STATE_HOME", None)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=home, env=env
    )

    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    assert "gwk_" in done.stdout


def test_the_readme_has_the_two_set_up_commands() -> None:
    """One command installs and starts, one passes the tests; CI runs the second as it stands."""
    assert CONSOLES[0].strip().endswith("gateway start")
    assert CONSOLES[1].strip().endswith("nox -s tests")
