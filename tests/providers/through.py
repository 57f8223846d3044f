"""A running gateway with a route for each recorded case, and the recorded upstream behind all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.providers.cases import CASES, KEYS, Case
from tests.support.server import Server, running
from tests.support.upstream import MockUpstream, Reply

CREDENTIALS = {"DATABRICKS_HOST": "https://example.cloud.databricks.com", "DATABRICKS_TOKEN": "key-recorded"}
"""What providers without a key in their configuration find in the environment."""


def route(case: Case) -> str:
    """The name of a case's route."""
    return case.name.replace("/", "--")


def replay(upstream: MockUpstream, case: Case) -> None:
    """Answer as recorded from now on."""
    if case.streams:
        whole = case.stream_bytes()
        pieces = [whole[at : at + 200] for at in range(0, len(whole), 200)]
        upstream.reply(Reply(content_type=case.stream_type, script=pieces))
    else:
        upstream.reply(Reply(case.upstream_body, case.upstream_status, headers=case.upstream_headers))


@contextmanager
def recorded_gateway(folder: Path, upstream: MockUpstream) -> Iterator[Server]:
    """The gateway, whose log holds no key when it has ended, and no traceback."""
    endpoints = [
        {"name": route(case), "endpoint_type": case.kind, "model": case.model} for case in CASES.values()
    ]
    env = {"RECORDED_UPSTREAM": upstream.url, **CREDENTIALS}
    program = ["-m", "tests.providers.launch_redirected"]
    with running(folder, {"endpoints": endpoints}, env=env, program=program) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]
    assert [key for key in KEYS if key in server.log] == []
