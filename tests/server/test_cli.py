"""The command line, as a person and as a script use it."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway_server.cli.main import app
from tests.support.configs import KEY, offline, upstream_route
from tests.support.server import Server, command, end, environment, run_command, running, write_config
from tests.support.upstream import HOLD, MockUpstream, delta, stream

UNREACHABLE = "http://127.0.0.1:9"


@contextmanager
def started(folder: Path, *options: str, **env: str) -> Iterator[tuple[str, str]]:
    """A gateway that greets a person: its address and all that it said."""
    with (folder / "stdout").open("w") as output, (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command("start", "--port", "0", *options),
            env=environment(env),
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            said = (folder / "stdout").read_text()
            if "/docs" in said:
                break
            assert process.poll() is None, (folder / "stderr").read_text()
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        found = re.search(r"http://[\d.]+:\d+", said)
        assert found is not None, said
        yield found[0], said
    finally:
        end(process)


def run_here(*arguments: str) -> Result:
    """Run the command line within this process, which is sooner done; what is no orderly exit is raised."""
    result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# --- start ------------------------------------------------------------------------------------------------------


def test_start_greets_a_person_with_lines_to_copy(tmp_path: Path) -> None:
    """Without a configuration: the address, the routes, and lines for a shell and for Python that work as they stand."""
    with started(tmp_path, "--workers", "1") as (address, said):
        for word in ("chat", "llm/v1/embeddings", "offline", f"{address}/docs"):
            assert word in said
        shell = (
            next(line for line in said.splitlines() if line.startswith("curl")).removeprefix("curl").strip()
        )
        python = (
            next(line for line in said.splitlines() if line.startswith("python"))
            .removeprefix("python")
            .strip()
        )

        told = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=60)
        assert json.loads(told.stdout)["choices"][0]["message"]["content"] == "You said: Hello"
        done = subprocess.run(
            [*command()[:1], "-c", python], env=environment(), capture_output=True, text=True, timeout=60
        )
        assert "You said: Hello" in done.stdout, done.stderr


def test_start_serves_a_route_for_each_key_in_the_environment(tmp_path: Path) -> None:
    """And shows the key nowhere."""
    with running(tmp_path, env={"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": " "}) as server:
        names = [route["name"] for route in server.greeting["routes"]]
        assert names == ["chat", "completions", "embeddings", "openai"]
        with server.client() as http:
            assert KEY not in http.get("/api/2.0/gateway/routes/").text
        assert KEY not in server.log + json.dumps(server.greeting)


def test_start_tells_a_script_all_in_one_line(tmp_path: Path) -> None:
    """`--json`: the address, the process, the routes, and where the first key of an admin is."""
    with running(tmp_path, {"endpoints": [offline("only", "chat")]}) as server:
        assert set(server.greeting) == {"address", "pid", "routes", "admin_key_file"}
        assert server.greeting["pid"] == server.process.pid
        assert server.greeting["routes"][0]["name"] == "only"
        assert httpx.get(f"{server.greeting['address']}/health", trust_env=False).is_success


def test_start_takes_the_configuration_from_the_environment(tmp_path: Path) -> None:
    """`MLFLOW_GATEWAY_CONFIG`, as documented."""
    path = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("named", "chat")]})

    with running(tmp_path, env={"MLFLOW_GATEWAY_CONFIG": str(path)}) as server:
        assert server.greeting["routes"][0]["name"] == "named"


def test_start_runs_two_workers_unless_told_otherwise(tmp_path: Path) -> None:
    """As documented, and on another address family too."""
    with started(tmp_path, "--host", "127.0.0.1") as (address, _):
        assert httpx.get(f"{address}/health", trust_env=False).is_success


@pytest.mark.parametrize("log", ["--access-log", "--no-access-log"])
def test_start_logs_requests_unless_told_not_to(tmp_path: Path, log: str) -> None:
    """One line each, with nothing of bodies or headers."""
    with running(tmp_path, None, log) as server:
        with server.client() as http:
            body = {"messages": [{"role": "user", "content": "private words"}]}
            http.post("/gateway/chat/invocations", json=body, headers={"Authorization": "Bearer private-key"})
        server.signal(signal.SIGTERM)
        server.wait()  # what it has to log, it has logged then
    assert "private" not in server.log
    assert ("POST /gateway/chat/invocations 200" in server.log) == (log == "--access-log")
    assert ("POST" in server.log) == (log == "--access-log")


def test_start_with_older_keys_warns_and_runs(tmp_path: Path) -> None:
    """Without a traceback or a Python warning."""
    old = {"routes": [{"name": "old", "route_type": "llm/v1/chat", "model": {"provider": "offline"}}]}

    with running(tmp_path, old) as server:
        assert server.greeting["routes"][0]["name"] == "old"
        assert "older key" in server.log
        assert "FutureWarning" not in server.log


WRONG = """
endpoints:
  - name: good
    endpoint_type: llm/v1/chat
    model: {provider: offline}
  - name: bad
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: x
      config:
        openai_api_key: sk-canary-4f1c7e0b9a52
        openai_api_type: azur
  - name: wurst
    endpoint_type: llm/v1/chatt
    model: {provider: nobody}
"""


def test_start_with_a_wrong_configuration_says_what_and_where(tmp_path: Path) -> None:
    """Exit 2, every mistake on a line of its own, no key."""
    path = tmp_path / "gateway.yaml"
    path.write_text(WRONG)

    done = run_command("start", "--config-path", str(path))

    assert done.returncode == 2
    assert ":11: endpoint 'bad', model.config" in done.stderr
    assert ":15: endpoint 'wurst', endpoint_type" in done.stderr
    assert ":16: endpoint 'wurst', model.provider" in done.stderr
    assert KEY not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "x"),
        ("--port", "70000"),
        ("--port", "-1"),
        ("--workers", "0"),
        ("--drain-seconds", "-1"),
        ("--nonsense",),
    ],
    ids=" ".join,
)
def test_start_with_a_wrong_option_says_which(options: tuple[str, ...]) -> None:
    """Exit 2."""
    done = run_here("start", *options)

    assert done.exit_code == 2
    assert options[0] in done.stderr


# --- check ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"counters": "memcached://pass@host"}, {"store": "mysql://pass@host"}], ids=str
)
def test_a_place_where_nothing_can_be_kept_is_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    """By a check and by a start, before there are workers; the address is not repeated."""
    file = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("a", "chat")], **settings})

    checked = run_command("check", str(file))
    started = run_command("start", "--port", "0", "--config-path", str(file))

    assert (checked.returncode, started.returncode) == (2, 1)
    (key,) = settings
    for done in (checked, started):
        assert f"{key}: " in done.stderr
        assert "can't be kept at an address that begins with" in done.stderr
        assert "pass@" not in done.stderr


def test_check_accepts_a_right_file(tmp_path: Path) -> None:
    """Exit 0, and how many routes there are."""
    path = write_config(
        tmp_path / "gateway.yaml", {"endpoints": [offline("a", "chat"), offline("b", "chat")]}
    )

    done = run_command("check", str(path))

    assert done.returncode == 0
    assert "2 routes" in done.stdout


def test_check_names_line_endpoint_and_key(tmp_path: Path) -> None:
    """Exit 2; each mistake on a line of its own."""
    path = tmp_path / "gateway.yaml"
    path.write_text(WRONG)

    done = run_command("check", str(path))

    assert done.returncode == 2
    assert f"{path}:15: endpoint 'wurst', endpoint_type: " in done.stderr
    assert KEY not in done.stderr + done.stdout


def test_check_tells_a_script_the_same(tmp_path: Path) -> None:
    """`--json`: line, endpoint, key and problem of each."""
    path = tmp_path / "gateway.yaml"
    path.write_text(WRONG)

    done = run_here("check", str(path), "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 2
    assert told["ok"] is False
    assert {(found["line"], found["endpoint"], found["key"]) for found in told["problems"]} >= {
        (15, "wurst", "endpoint_type"),
        (16, "wurst", "model.provider"),
    }
    assert all(found["problem"] for found in told["problems"])
    assert KEY not in done.stdout


def test_check_warns_of_keys_that_mean_nothing(tmp_path: Path) -> None:
    """A misspelt one most likely; the file is right all the same."""
    path = write_config(
        tmp_path / "gateway.yaml", {"endpoints": [{**offline("a", "chat"), "limitt": 5}], "sever": {}}
    )

    done = run_here("check", str(path), "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 0
    assert {found["key"] for found in told["warnings"]} == {"limitt", "sever"}


ABSURD = {
    "nothing": b"",
    "a word": b"hello",
    "no text": b"\xff\xfe\x00\x01",
    "half a list": b"endpoints: [",
    "a tab": b"endpoints:\n\t- x",
    "a number": b"endpoints: 3",
    "odd endpoints": b"endpoints: [1, null, [], {}]",
    "two documents": b"---\na: 1\n---\nb: 2\n",
    "a program": b'!!python/object/apply:os.system ["echo run"]',
    "itself": b"endpoints: &a [*a]",
    "depth": b"endpoints: " + b"[" * 3000 + b"]" * 3000,
    "other types": b"endpoints:\n  - {name: 5, endpoint_type: llm/v1/chat, model: offline, timeouts: 5}\n2024-01-01: x\nnull: 5\n",
}


@pytest.mark.parametrize("content", ABSURD.values(), ids=ABSURD)
def test_check_refuses_an_absurd_file(tmp_path: Path, content: bytes) -> None:
    """Exit 2 and a sentence that names the file, never a traceback."""
    path = tmp_path / "gateway.yaml"
    path.write_bytes(content)

    done = run_here("check", str(path))

    assert done.exit_code == 2
    assert "gateway.yaml" in done.stderr


def test_check_of_no_file_says_so(tmp_path: Path) -> None:
    """Nor of a folder."""
    for path in (tmp_path / "nothing.yaml", tmp_path):
        done = run_here("check", str(path))
        assert done.exit_code == 2
        assert str(path) in done.stderr


def test_check_does_not_need_the_upstream(tmp_path: Path) -> None:
    """It reads; it calls nobody."""
    path = write_config(tmp_path / "gateway.yaml", {"endpoints": [upstream_route("a", "chat", UNREACHABLE)]})

    assert run_here("check", str(path)).exit_code == 0


# --- routes and query -------------------------------------------------------------------------------------------


def test_routes_lists_what_runs(server: Server) -> None:
    """As a table, and as JSON with absolute addresses."""
    shown = run_command("routes", "--uri", server.url)
    told = json.loads(run_command("routes", "--json", env={"MLFLOW_GATEWAY_URI": server.url}).stdout)

    assert re.search(r"up-chat +llm/v1/chat +openai +gpt-mock", shown.stdout)
    assert told[0]["route_url"] == f"{server.url}/gateway/chat/invocations"


def test_query_prints_the_answer_of_each_type_of_route(server: Server) -> None:
    """A chat and a completion as text, an embedding in short."""
    chat = run_here("query", "chat", "Hello there", "--uri", server.url)
    completion = run_here("query", "completions", "Once upon", "--uri", server.url)
    embedding = run_here("query", "embeddings", "Hello", "--uri", server.url)

    assert chat.stdout == "You said: Hello there\n"
    assert "from “Once upon”" in completion.stdout
    assert re.match(r"256 dimensions: -?[\d.]+, ", embedding.stdout)


def test_query_reads_standard_input(server: Server) -> None:
    """Where the text is a dash."""
    done = run_command("query", "chat", "-", "--uri", server.url, text="from a pipe")

    assert done.stdout == "You said: from a pipe\n"


def test_query_gives_a_script_the_whole_answer(server: Server) -> None:
    """`--json`."""
    done = run_here("query", "chat", "Hello", "--json", "--uri", server.url)

    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "You said: Hello"


def test_query_shows_words_as_they_come(server: Server, upstream: MockUpstream) -> None:
    """Not all of them at the end."""
    upstream.reply(stream(delta("first "), HOLD))
    process = subprocess.Popen(
        command("query", "up-chat", "Hello", "--uri", server.url),
        env=environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        with process.stdout as output:
            assert output.read(6) == b"first "
    finally:
        end(process)


@pytest.mark.parametrize(
    "arguments", [("routes",), ("query", "chat", "Hello"), ("routes", "--json")], ids=" ".join
)
def test_without_a_gateway_the_error_says_so(arguments: tuple[str, ...]) -> None:
    """Its address, exit 1, no traceback."""
    done = run_here(*arguments, "--uri", UNREACHABLE)

    assert done.exit_code == 1
    assert "127.0.0.1:9" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("uri", ["nonsense", "ftp://elsewhere", "http://[::", "http://"])
def test_an_address_that_is_none_is_said_so(uri: str) -> None:
    """Exit 1, no traceback."""
    done = run_here("routes", "--uri", uri)

    assert done.exit_code == 1
    assert "address" in done.stderr


def test_an_unknown_route_is_said_so(server: Server) -> None:
    """With its name."""
    done = run_here("query", "nobody", "Hello", "--uri", server.url)

    assert done.exit_code == 1
    assert "'nobody'" in done.stderr


def test_without_a_command_the_commands_are_shown() -> None:
    """A person who tries it sees what there is."""
    done = run_here()

    assert all(word in done.output for word in ("start", "check", "routes", "query"))
