"""Refusals on their way into the audit log: no request waits for it, and none fails with it."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette._utils import get_route_path

from gateway_async.errors import InvalidRequest, PermissionDenied, RouteNotFound, Unauthenticated
from gateway_async.stores.base import AuditEntry
from gateway_async.stores.memory import MemoryStore
from gateway_server import audit
from gateway_server.audit import Refusals, subject
from gateway_server.mount import path_within


class Log:
    """An audit log that a test can break.

    Attributes:
        lines: What was written.
        problem: What writing raises.
    """

    def __init__(self) -> None:
        self.lines: list[AuditEntry] = []
        self.problem: Exception | None = None

    async def record(self, entries: Sequence[AuditEntry]) -> None:
        if self.problem is not None:
            raise self.problem
        self.lines += entries

    async def read(self, *, limit: int = 100) -> list[AuditEntry]:
        return self.lines[:limit]


def scope(path: str = "/gateway/chat/invocations", method: str = "POST", **more: Any) -> dict[str, Any]:
    """A request."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("10.0.0.7", 5),
        "request_id": b"r1",
        **more,
    }


async def test_what_is_the_same_within_a_moment_is_one_line_with_a_count() -> None:
    """With the id of the first request; what differs has a line of its own."""
    log = Log()
    refusals = Refusals(lambda: log)

    for number in range(5):
        refusals.note(scope(request_id=b"r%d" % number), Unauthenticated("no key"))
    refusals.note(scope(client=("10.0.0.8", 5)), Unauthenticated("no key"))
    await refusals.aclose()

    assert [(line.address, line.count, line.request_id) for line in log.lines] == [
        ("10.0.0.7", 5, "r0"),
        ("10.0.0.8", 1, "r1"),
    ]
    assert all(line.at > 0 and line.outcome == "refused" for line in log.lines)


async def test_only_refusals_are_noted() -> None:
    """Who may not come in, and changes that are not made; not every mistake of a call."""
    log = Log()
    refusals = Refusals(lambda: log)

    refusals.note(scope(), RouteNotFound("no such route"))
    refusals.note(scope("/api/2.0/gateway/routes/", "GET"), RouteNotFound("no such route"))
    refusals.note(scope("/api/2.0/gateway/routes/"), InvalidRequest("a field is wrong"))
    refusals.note(scope("/gateway/other/invocations"), PermissionDenied("not yours"))
    await refusals.aclose()

    assert [(line.action, line.target) for line in log.lines] == [("route.create", ""), ("call", "other")]


@pytest.mark.parametrize(
    ("path", "prefix", "within"),
    [
        ("/api/2.0/gateway/keys/", "", "/api/2.0/gateway/keys/"),
        ("/ai/v1/embeddings", "/ai", "/v1/embeddings"),
        ("/ai/v1/embeddings", "/ai/", "/ai/v1/embeddings"),
        ("/api/2.0/gateway/keys/", "/a", "/api/2.0/gateway/keys/"),
        ("/ai", "/ai", ""),
    ],
)
def test_a_mount_s_prefix_is_whole_parts_of_the_path(path: str, prefix: str, within: str) -> None:
    """Else what a request wants would be read from the rest of a word. Starlette's router sees the same."""
    assert path_within({"path": path, "root_path": prefix}) == within
    assert get_route_path({"path": path, "root_path": prefix}) == within


async def test_lines_are_written_soon_by_themselves() -> None:
    """Nobody needs to end the gateway for it."""
    store = MemoryStore()
    refusals = Refusals(lambda: store.audit)

    refusals.note(scope(), Unauthenticated("no key"))
    async with asyncio.timeout(30):
        while not await store.audit.read():  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.01)
    refusals.note(scope(), Unauthenticated("no key"))
    async with asyncio.timeout(30):
        while len(await store.audit.read()) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_a_log_that_does_not_answer_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines are in the other log."""
    monkeypatch.setattr(audit, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 0.0)
    log, came = Log(), asyncio.Event()

    async def record(entries: Sequence[AuditEntry]) -> None:
        came.set()
        await asyncio.Event().wait()

    log.record = record  # type: ignore[method-assign] # it never answers
    refusals = Refusals(lambda: log)
    refusals.note(scope(), Unauthenticated("no key"))
    await came.wait()
    refusals.note(scope(), PermissionDenied("not yours"))

    async with asyncio.timeout(30):
        await refusals.aclose()

    assert all(said in caplog.text for said in ("no key", "not yours", "does not answer"))


async def test_a_log_that_can_t_be_written_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, the refusals are in the ordinary log, and it goes on when the store is back."""
    log = Log()
    log.problem = OSError("the disk is full")
    refusals = Refusals(lambda: log)

    for number in range(3):
        refusals.note(scope(f"/gateway/r{number}/invocations"), Unauthenticated("no key"))
        await refusals.aclose()
    assert caplog.text.count("the disk is full") == 1
    assert all(f"refused call r{number} by nobody from 10.0.0.7" in caplog.text for number in range(3))

    log.problem = None
    refusals.note(scope("/gateway/back/invocations"), Unauthenticated("no key"))
    await refusals.aclose()
    assert [line.target for line in log.lines] == ["back"]


async def test_whoever_tries_names_by_the_thousand_fills_neither_memory_nor_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is counted."""
    monkeypatch.setattr(audit, "MOST_WAITING", 50)
    caplog.set_level(logging.WARNING, "gateway_server.audit")
    log = Log()
    refusals = Refusals(lambda: log)

    for number in range(200):
        refusals.note(scope(f"/gateway/r{number}/invocations"), Unauthenticated("no key"))
    await refusals.aclose()

    assert len(log.lines) == 50
    assert len(caplog.records) == audit.MOST_LOGGED + 1
    assert "refused 180 more, of which 150 are in no log" in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        ("POST /gateway/chat/invocations", ("call", "chat")),
        ("POST /endpoints/chat/invocations", ("call", "chat")),
        ("POST /v1/chat/completions", ("call", "")),
        ("GET /v1/models", ("read", "")),
        ("POST /api/2.0/gateway/routes/", ("route.create", "")),
        ("PATCH /api/2.0/gateway/routes/chat", ("route.update", "chat")),
        ("DELETE /api/2.0/endpoints/chat", ("route.delete", "chat")),
        ("POST /api/2.0/endpoints/", ("route.create", "")),
        ("POST /api/2.0/endpoints/limits/", ("limits.set", "")),
        ("GET /api/2.0/endpoints/limits/chat", ("read", "chat")),
        ("DELETE /api/2.0/gateway/limits/chat", ("limits.reset", "chat")),
        ("GET /api/2.0/gateway/keys/", ("key.list", "")),
        ("POST /api/2.0/gateway/keys/", ("key.create", "")),
        ("POST /api/2.0/gateway/keys/app/rotate", ("key.rotate", "app")),
        ("DELETE /api/2.0/gateway/keys/app", ("key.revoke", "app")),
        ("PUT /api/9/x", ("change", "")),
        ("POST /api", ("change", "")),
        ("GET /", ("read", "")),
        ("POST /gateway/a\nb\x1b[31m/invocations", ("call", "a\\nb\\x1b[31m")),
    ],
)
def test_a_line_says_what_was_wanted(request_line: str, expected: tuple[str, str]) -> None:
    """In the words of the changes themselves, with the name it was wanted of."""
    assert subject(*request_line.split(" ", 1)) == expected
