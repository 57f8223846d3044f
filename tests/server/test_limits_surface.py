"""Limits on the HTTP surface: in every dialect, over all workers, and over several gateways."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.stores.redis_server import redis_server
from tests.support.configs import HELLO, offline, upstream_route
from tests.support.crowd import crowd
from tests.support.server import Server, running, wait_until
from tests.support.upstream import MockUpstream, chat, json_reply, words

Json = dict[str, Any]

ONCE = {"limit": {"calls": 1, "renewal_period": "hour"}}
HUNDRED = {"limit": {"calls": 100, "renewal_period": "minute"}}
ALICE, BOB = "alice-has-this-key", "bob-has-another-key"

SURFACES: list[tuple[str, str, Json]] = [
    ("/gateway/gateway/invocations", "gateway", HELLO),
    ("/endpoints/endpoints/invocations", "endpoints", HELLO),
    ("/v1/chat/completions", "openai", {**HELLO, "model": "openai"}),
    ("/v1/completions", "texts", {"prompt": "Hi", "model": "texts"}),
    ("/v1/embeddings", "rows", {"input": "Hi", "model": "rows"}),
]
"""Path, the route that is called there, and what is sent."""


@pytest.fixture(scope="module")
def limited(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway whose routes have limits; each is used up by one test."""
    kinds = {"texts": "completions", "rows": "embeddings"}
    several = {
        "limits": [
            {"calls": 3, "renewal_period": "hour"},
            {"calls": 1, "renewal_period": "hour", "key": "user"},
        ]
    }
    endpoints = [
        *(
            upstream_route(name, kinds.get(name, "chat"), shared_upstream.url, **ONCE)
            for name in (*(name for _, name, _ in SURFACES), "streams", "sdk", "patient")
        ),
        upstream_route("each", "chat", shared_upstream.url, **several),
        upstream_route("closed", "chat", shared_upstream.url, limit={"calls": 0, "renewal_period": "hour"}),
        upstream_route(
            "seconds", "chat", shared_upstream.url, limit={"calls": 1, "renewal_period": "2 seconds"}
        ),
        upstream_route(
            "tokens",
            "chat",
            shared_upstream.url,
            limit={"tokens": 5, "renewal_period": "hour", "key": "user"},
        ),
    ]
    with running(tmp_path_factory.mktemp("limited"), {"endpoints": endpoints}) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]


@pytest.fixture
def http(limited: Server, upstream: MockUpstream) -> Iterator[httpx.Client]:
    """A client of it."""
    with limited.client() as client:
        yield client


def answer_to(kind: str) -> Json:
    """What the upstream answers."""
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    if kind == "rows":
        rows = [{"index": 0, "object": "embedding", "embedding": [1.0]}]
        return {"object": "list", "model": "m", "data": rows, "usage": usage}
    choices = [{"index": 0, "text": "Hi", "finish_reason": "stop"}]
    return {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": choices}


@pytest.mark.parametrize(("path", "route", "body"), SURFACES)
def test_every_dialect_keeps_the_limit(
    path: str, route: str, body: Json, http: httpx.Client, upstream: MockUpstream
) -> None:
    """The answer tells of it, the refusal too and when to come back; what is refused never goes upstream."""
    upstream.reply(json_reply(answer_to(route)) if route in ("texts", "rows") else chat())

    passed = http.post(path, json=body)
    refused = http.post(path, json=body)

    assert (passed.status_code, refused.status_code) == (200, 429)
    assert [passed.headers[f"ratelimit-{name}"] for name in ("limit", "remaining")] == ["1", "0"]
    assert [refused.headers[f"ratelimit-{name}"] for name in ("limit", "remaining")] == ["1", "0"]
    assert 3500 < int(refused.headers["retry-after"]) == int(refused.headers["ratelimit-reset"])
    assert len(upstream.received) == 1
    told = refused.json()
    if path.startswith("/v1"):
        assert told["error"]["type"] == "rate_limit_error"
        assert told["error"]["code"] == "request_limit_exceeded"
        message = told["error"]["message"]
    else:
        assert told["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        message = told["message"]
    assert f"the route {route!r} takes no more calls now: its limit is 1 call per hour" in message


def test_one_count_for_a_route_whatever_it_is_called_by(http: httpx.Client, upstream: MockUpstream) -> None:
    """Who was refused here is refused there."""
    first = http.post("/gateway/patient/invocations", json=HELLO)
    others = [
        http.post("/v1/chat/completions", json={**HELLO, "model": "patient"}),
        http.post("/endpoints/patient/invocations", json=HELLO),
    ]

    assert [answer.status_code for answer in (first, *others)] == [200, 429, 429]
    assert len(upstream.received) == 1


def test_a_stream_keeps_the_limit(http: httpx.Client, upstream: MockUpstream) -> None:
    """It tells of it as an answer does, and the refusal is an answer and no stream."""
    upstream.reply(words("Hello"))
    with http.stream("POST", "/gateway/streams/invocations", json={**HELLO, "stream": True}) as passed:
        passed.read()
    refused = http.post("/gateway/streams/invocations", json={**HELLO, "stream": True})

    assert (passed.headers["ratelimit-limit"], passed.headers["ratelimit-remaining"]) == ("1", "0")
    assert refused.status_code == 429
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def test_a_closed_route_says_so(http: httpx.Client, upstream: MockUpstream) -> None:
    """With the status of a limit, which it is."""
    refused = http.post("/gateway/closed/invocations", json=HELLO)

    assert refused.status_code == 429
    assert refused.json()["message"] == "the route 'closed' is closed: its limit is 0 calls per hour"
    assert upstream.received == []


def test_openai_s_client_raises_its_own_error(limited: Server, upstream: MockUpstream) -> None:
    """With the headers for whoever looks at them."""
    with openai.OpenAI(base_url=f"{limited.url}/v1", api_key="any", max_retries=0) as client:
        client.chat.completions.create(model="sdk", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model="sdk", messages=[{"role": "user", "content": "Hi"}])

    assert int(refused.value.response.headers["retry-after"]) > 3500


def test_openai_s_client_comes_back_in_time(limited: Server, upstream: MockUpstream) -> None:
    """Its own retry waits for as long as it is told, and passes the first time it comes back."""
    statuses: list[int] = []
    seen = openai.DefaultHttpxClient(
        trust_env=False, event_hooks={"response": [lambda answer: statuses.append(answer.status_code)]}
    )
    with openai.OpenAI(
        base_url=f"{limited.url}/v1", api_key="any", max_retries=1, http_client=seen
    ) as client:
        for _ in range(2):
            client.chat.completions.create(model="seconds", messages=[{"role": "user", "content": "Hi"}])

    assert statuses == [200, 429, 200]


def test_each_caller_is_counted_by_its_address(limited: Server, upstream: MockUpstream) -> None:
    """Where there are no keys; the limit for all holds beside."""
    found = []
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4"):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=limited.url, transport=transport, timeout=20) as client:
            found.append(client.post("/gateway/each/invocations", json=HELLO).status_code)

    assert found == [200, 429, 200, 429, 200, 429]
    assert len(upstream.received) == 3


def test_tokens_are_settled_before_the_caller_is_back(http: httpx.Client, upstream: MockUpstream) -> None:
    """An answer uses five, which is all there is."""
    answers = [http.post("/gateway/tokens/invocations", json=HELLO) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert "its limit is 5 tokens per hour for each caller" in answers[1].json()["message"]
    assert len(upstream.received) == 1


# --- over all workers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway of four workers, all of them at work."""
    endpoints = [{**offline(name, "chat"), **HUNDRED} for name in ("storm", "killed", "keyed")]
    with running(tmp_path_factory.mktemp("four"), {"endpoints": endpoints}, workers=4) as server:
        wait_until(lambda: len(server.watching()) == 4, 90, "there were no four workers")
        yield server


async def test_a_hundred_of_a_thousand_pass_over_all_workers(four: Server) -> None:
    """Not a hundred for each worker, and not one less."""
    found = Counter(
        [status async for status in crowd([four], "/gateway/storm/invocations", HELLO, count=1000)]
    )

    assert found == {200: 100, 429: 900}


async def test_a_worker_that_is_killed_takes_no_count_with_it(four: Server) -> None:
    """What it let pass stays counted: whoever it did not answer may have passed, nobody passes in its place."""
    found = Counter[int | None]()
    async for status in crowd([four], "/gateway/killed/invocations", HELLO, count=1000):
        found[status] += 1
        if found[200] == 20 and status == 200:
            os.kill(four.workers()[0], signal.SIGKILL)
    broken = found[None]
    while found[None]:
        again, found[None] = found[None], 0
        found.update(
            [status async for status in crowd([four], "/gateway/killed/invocations", HELLO, count=again)]
        )

    assert found[200] + found[429] == 1000
    assert 100 - broken <= found[200] <= 100
    with four.client() as http:
        assert http.post("/gateway/killed/invocations", json=HELLO).status_code == 429
    wait_until(lambda: len(four.watching()) == 4, 90, "none took its place")


async def test_two_gateways_on_one_redis_count_together(tmp_path: Path) -> None:
    """A hundred pass through both, by the documented variable."""
    config = {"endpoints": [{**offline("storm", "chat"), **HUNDRED}]}
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    with redis_server(tmp_path) as redis:
        env = {"MLFLOW_GATEWAY_RATE_LIMITS_STORAGE_URI": redis.address}
        with (
            running(tmp_path / "first", config, env=env) as first,
            running(tmp_path / "second", config, env=env) as second,
        ):
            both = [first, second]
            found = Counter([s async for s in crowd(both, "/gateway/storm/invocations", HELLO, count=1000)])

    assert found == {200: 100, 429: 900}


def test_each_caller_is_counted_by_its_key(tmp_path: Path) -> None:
    """Wherever it calls from, and however its client sends it."""
    keys = [{"name": "alice", "key": ALICE}, {"name": "bob", "key": BOB}]
    limit = {"calls": 2, "renewal_period": "hour", "key": "user"}
    with running(
        tmp_path, {"endpoints": [{**offline("chat", "chat"), "limit": limit}], "keys": keys}
    ) as server:
        found = []
        for address, header, key in (
            ("127.0.0.1", "authorization", f"Bearer {ALICE}"),
            ("127.0.0.2", "x-api-key", ALICE),
            ("127.0.0.3", "api-key", ALICE),
            ("127.0.0.3", "api-key", BOB),
        ):
            transport = httpx.HTTPTransport(local_address=address)
            with httpx.Client(base_url=server.url, transport=transport, timeout=20) as client:
                answer = client.post("/gateway/chat/invocations", json=HELLO, headers={header: key})
            found.append(answer.status_code)

    assert found == [200, 200, 429, 200]
