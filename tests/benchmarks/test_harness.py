"""The harness measures what it says, so that a number in its table can be trusted."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.children import DidNotStart, Service, environment, serve
from tests.benchmarks.load import Job, apply
from tests.benchmarks.report import Column, table


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The mock upstream, which is a server like those under test."""
    command = [sys.executable, "-m", "tests.benchmarks.mock_upstream", "{port}"]
    with serve(command, health="/", log=tmp_path_factory.mktemp("bench") / "log") as service:
        yield service


@pytest.mark.parametrize("stream", [False, True])
def test_a_load_costs_the_server_some_cpu(upstream: Service, stream: bool) -> None:
    """Unary and streamed answers both pass the check of their content, and both cost something."""
    path = "/v1/chat/completions"
    found = apply(Job(upstream.port, upstream.pid, path, count=200, warmup=8, stream=stream, connections=8))

    assert 0 < found.cpu_us < 50_000
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.per_second > 0


def test_a_wrong_answer_ends_the_load(upstream: Service) -> None:
    """A gateway that answers something else fast does not win."""
    with pytest.raises(RuntimeError, match="/v1/embeddings answered 200"):
        apply(Job(upstream.port, upstream.pid, "/v1/embeddings", count=8, warmup=0, connections=1))


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The reason is its own last words."""
    command = [sys.executable, "-c", "raise SystemExit('no such option: --fast')"]
    with (
        pytest.raises(DidNotStart, match="no such option: --fast"),
        serve(command, health="/", log=tmp_path / "log"),
    ):
        pass


def test_children_compile_what_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """With this variable set, imports inside calls are compiled again each time and drown everything."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid")

    assert {"PYTHONDONTWRITEBYTECODE", "http_proxy"}.isdisjoint(environment())
    assert environment()["PATH"] == os.environ["PATH"]


def test_a_table_lines_up_and_shows_what_is_missing() -> None:
    """Columns end at the same place; a measurement that was not made is a dash."""
    columns = (Column("CPU µs", "cpu"), Column("best round", "cpu", min), Column("p99 ms", "p99"))
    text = table(
        "gateway", columns, {"ours": {"cpu": [120.4, 110.2, 130.0]}, "peer": {"cpu": [700.0], "p99": [90.5]}}
    )

    assert text.splitlines() == [
        "gateway  CPU µs  best round  p99 ms",
        "ours        120         110       –",
        "peer        700         700    90.5",
    ]
