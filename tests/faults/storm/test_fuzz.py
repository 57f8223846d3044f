"""Bytes changed at random, through the real server: an answer or an error in the caller's dialect comes of it."""

import os
from collections.abc import Iterator

import pytest

from tests.benchmarks.loop import run
from tests.faults.storm.fuzz import fuzz_bodies, fuzz_upstream, wrong
from tests.faults.storm.fuzz_wire import fuzz_wire
from tests.faults.storm.vitals import resident_mb
from tests.providers.through import recorded_gateway
from tests.support.configs import ADMIN, HELLO, Json, offline
from tests.support.server import Server, running
from tests.support.upstream import MockUpstream

SEED = int(os.environ.get("FUZZ_SEED", "5"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1500"))
"""More, and others: `FUZZ_EXAMPLES=100000 FUZZ_SEED=6 pytest tests/faults/storm/test_fuzz.py --timeout 0`."""

GROWTH_MB = 40
"""What memory may grow by meanwhile; an event or an answer that is kept would be more."""

TOOL: Json = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
CHAT: Json = {
    **HELLO, "temperature": 1.0, "max_tokens": 5, "n": 2, "stop": ["a"], "stream": False, "tools": [TOOL],
    "response_format": {"type": "json_object"}, "user": "Zoë", "logit_bias": {"5": 1},
}  # fmt: skip
PARTS: Json = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "漢字"},
    ],
    "stream": True,
}  # fmt: skip
COMPLETION: Json = {"prompt": ["a", "b"], "max_tokens": 3, "stream": True, "echo": True}
EMBEDDING: Json = {"input": [[1, 2], [3]], "dimensions": 8, "encoding_format": "base64"}
ROUTE: Json = {
    "name": "made",
    "route_type": "llm/v1/chat",
    "destinations": [
        {"model": {"provider": "offline", "name": "echo"}, "weight": 3},
        {"model": {"provider": "offline", "name": "words"}, "priority": 2},
    ],
    "balance": "latency",
    "fallback_on": ["failure", "timeout"],
    "retry": {"attempts": 3, "budget": 0.2},
    "timeouts": {"connect": 5, "first_byte": 60, "idle": 60, "total": 300},
    "breaker": {"failures": 5, "open_seconds": 10},
    "concurrency": {"max": 200, "queue": 400, "queue_seconds": 5},
    "limit": {"calls": 1000000, "renewal_period": "minute"},
}
"""Leads nowhere outside, whatever becomes of it."""

LIMITS: Json = {"route": "chat", "limits": [{"calls": 10**6, "renewal_period": "minute", "key": "user"}]}
KEY: Json = {"name": "made", "role": "caller", "routes": ["chat"], "expires_in": "90d"}

SEEDS = [
    *((f"/{prefix}/chat/invocations", body) for prefix in ("gateway", "endpoints") for body in (CHAT, PARTS)),
    *(("/v1/chat/completions", {**body, "model": "chat"}) for body in (CHAT, PARTS)),
    ("/gateway/completions/invocations", COMPLETION),
    ("/v1/completions", {**COMPLETION, "model": "completions"}),
    ("/gateway/embeddings/invocations", EMBEDDING),
    ("/v1/embeddings", {**EMBEDDING, "model": "embeddings"}),
    ("/api/2.0/gateway/routes/", ROUTE),
    ("/api/2.0/endpoints/", ROUTE),
    ("/api/2.0/gateway/limits/", LIMITS),
    ("/api/2.0/gateway/keys/", KEY),
]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway that answers by itself, and that an admin may change."""
    config = {"endpoints": [offline(kind, kind) for kind in ("chat", "completions", "embeddings")]}
    with running(tmp_path_factory.mktemp("fuzz"), config, env={"GATEWAY_ADMIN_KEY": ADMIN}) as server:
        yield server


def test_any_body_is_answered_or_refused(server: Server) -> None:
    """In the dialect of its path, admins' changes too; and the gateway stays as large as it was."""
    before = resident_mb(server.process.pid)

    tally = run(
        fuzz_bodies(server, SEEDS, examples=EXAMPLES, seed=SEED, headers=(f"Authorization: Bearer {ADMIN}",))
    )

    print(dict(tally.failed))
    assert not wrong(tally), "\n".join(wrong(tally))
    assert tally.count == EXAMPLES
    assert resident_mb(server.process.pid) < before + GROWTH_MB
    assert "Traceback" not in server.log, server.log[-3000:]


def test_any_bytes_on_a_connection_are_answered_or_end_it(server: Server) -> None:
    """Heads, lengths and chunks that are wrong: answers are whole, nothing stays open, and the next caller is served."""
    before = resident_mb(server.process.pid)

    found = run(fuzz_wire(server, examples=EXAMPLES // 2, seed=SEED))

    print(dict(found.statuses))
    assert not found.problems, "\n".join(found.problems[:5])
    assert resident_mb(server.process.pid) < before + GROWTH_MB
    assert "Traceback" not in server.log, server.log[-3000:]
    with server.client() as http:
        assert http.post("/gateway/chat/invocations", json=HELLO).status_code == 200


def test_any_bytes_of_a_provider_are_an_answer_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: MockUpstream
) -> None:
    """Of every provider, whole and streamed, in both dialects, wherever they are cut or changed."""
    with recorded_gateway(tmp_path_factory.mktemp("fuzz"), shared_upstream) as server:
        before = resident_mb(server.process.pid)

        tally = run(fuzz_upstream(server, shared_upstream, examples=EXAMPLES, seed=SEED))

        assert resident_mb(server.process.pid) < before + GROWTH_MB
    print(dict(tally.failed))
    assert not wrong(tally), "\n".join(wrong(tally))
    assert tally.count == EXAMPLES
