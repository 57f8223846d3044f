"""The harness measures what it says, so that a number in its table can be trusted."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.children import DidNotStart, Service, environment, serve
from tests.benchmarks.gateways import running
from tests.benchmarks.load import Job, apply
from tests.benchmarks.loop import run
from tests.benchmarks.page import write
from tests.benchmarks.policies import POLICIES
from tests.benchmarks.policy_costs import rows
from tests.benchmarks.report import Column, Table, aligned, piped
from tests.benchmarks.soak import soak
from tests.benchmarks.soak_calls import GATEWAY, KINDS


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


ROWS = {"ours": {"cpu": [120.4, 110.2, 130.0]}, "peer": {"cpu": [700.0, 650.0, 720.0], "p99": [90.5]}}
TABLE = Table(
    "gateways",
    "gateway",
    (
        Column("CPU µs", "cpu"),
        Column("best round", "cpu", min),
        Column("more", "cpu", beyond="ours"),
        Column("p99 ms", "p99"),
    ),
)


def test_a_table_lines_up_and_shows_what_is_missing() -> None:
    """Columns end at the same place; a measurement that was not made is a dash; differences are of the same round."""
    assert aligned(TABLE, ROWS).splitlines() == [
        "gateway  CPU µs  best round  more  p99 ms",
        "ours        120         110     –       –",
        "peer        700         650   580    90.5",
    ]


def test_a_table_goes_between_the_marks_of_a_page(tmp_path: Path) -> None:
    """What people wrote around it stays; a page without marks is refused."""
    page = tmp_path / "performance.md"
    page.write_text("Method\n<!-- benchmarks -->\nold\n<!-- end of benchmarks -->\nMeaning\n")

    write(page, "benchmarks", piped(TABLE, {"ours": ROWS["ours"]}))

    assert page.read_text().splitlines() == [
        *("Method", "<!-- benchmarks -->"),
        "| gateway | CPU µs | best round | more |",
        "| --- | ---: | ---: | ---: |",
        "| ours | 120 | 110 | – |",
        *("<!-- end of benchmarks -->", "Meaning"),
    ]
    with pytest.raises(ValueError, match="<!-- soak -->"):
        write(page, "soak", "")


def test_every_policy_is_measured_on_a_route_that_answers(upstream: Service, tmp_path: Path) -> None:
    """A row of the table is the mock upstream's answer, given with that policy on. Those of one process will do here."""
    skipped: dict[str, str] = {}
    policies = tuple(policy for policy in POLICIES if policy.process() == POLICIES[0].process())

    with rows(policies, upstream.port, tmp_path, skipped) as found:
        costs = [apply(row.job(8, warmup=0, connections=2)).cpu_us for row in found]

    assert not skipped
    assert len(costs) == len(policies)
    assert min(costs) > 0


def test_a_soak_reads_memory_in_every_tenth(upstream: Service, tmp_path: Path) -> None:
    """All kinds of call end as expected, also those whose caller leaves."""
    with running(GATEWAY, upstream.port, tmp_path) as up:
        found = run(soak(up.service, 400))

    assert not found.wrong
    assert found.answers.total() == 400
    assert {name.partition(":")[0] for name in found.answers} == {kind.name for kind in KINDS}
    assert [len(samples["mb"]) for samples in found.rows.values()] == [10] * 10
    assert found.growth() > 0
