"""What the README says works as it stands."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A gateway without a configuration, as the README's first command starts it."""
    command = [sys.executable, "-m", "gateway_server", "start", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
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


def test_the_readme_has_the_two_set_up_commands() -> None:
    """One command installs and starts, one passes the tests; CI runs the second as it stands."""
    commands = re.findall(r"```console\n(.*?)```", README.read_text("utf-8"), re.DOTALL)

    assert len(commands) == 2
    assert commands[0].strip().endswith("gateway start")
    assert commands[1].strip().endswith("nox -s tests")
