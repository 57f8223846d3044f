"""So many calls of models at once: a real server with more callers than it has places for."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway_async.config import ConcurrencyConfig
from gateway_server.middleware.pressure import Pressure, places_of
from tests.support.configs import ADMIN, AS_ADMIN, HELLO, Json, offline, upstream_route
from tests.support.raw import request
from tests.support.server import Server, running, wait_until, write_config
from tests.support.upstream import DONE, GATE, HOLD, MockUpstream, Reply, chat, delta, stream

LONG = 600
MOST, QUEUE = 5, 5

DOCUMENTED, NEWER, OPENAI = "/gateway/up/invocations", "/endpoints/up/invocations", "/v1/chat/completions"

dialects = pytest.mark.parametrize("path", [DOCUMENTED, NEWER, OPENAI])


def configuration(upstream: MockUpstream, **concurrency: Any) -> Json:
    """A server with so many places, and routes without a limit and with one of two."""
    two = {"max": 2, "queue": 1, "queue_seconds": LONG}
    return {
        "endpoints": [
            upstream_route("up", "chat", upstream.url),
            upstream_route("two", "chat", upstream.url, concurrency=two),
            offline("offline", "chat"),
        ],
        "server": {"concurrency": {"max": MOST, "queue": QUEUE, "queue_seconds": LONG, **concurrency}},
    }


@pytest.fixture(scope="module")
def server(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with five places and five who may wait; its log holds no surprise in the end."""
    folder, env = tmp_path_factory.mktemp("pressure"), {"GATEWAY_ADMIN_KEY": ADMIN}
    with running(folder, configuration(shared_upstream), env=env) as server:
        yield server
    assert "Traceback" not in server.log, server.log[-5000:]


class Crowd:
    """Callers at once, each with a connection of its own."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    def call(self, path: str, count: int = 1, **fields: Any) -> list[asyncio.Task[httpx.Response]]:
        """Call so many times at once."""
        body = {**HELLO, **({"model": "up"} if path == OPENAI else {}), **fields}
        tasks = [asyncio.create_task(self._client.post(path, json=body)) for _ in range(count)]
        self.tasks += tasks
        return tasks

    async def refused(self, count: int) -> list[httpx.Response]:
        """The answers of those who are refused, once there are so many, and no more."""
        coming = asyncio.as_completed(self.tasks, timeout=60)
        answers = [await each for each in islice(coming, count)]
        assert sum(task.done() for task in self.tasks) == count
        return answers

    async def statuses(self) -> list[int]:
        """What everybody was answered."""
        return sorted(answer.status_code for answer in await asyncio.gather(*self.tasks))


@asynccontextmanager
async def crowd_of(server: Server) -> AsyncIterator[Crowd]:
    """Callers of a server; they have left on leaving."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60, limits=limits) as client:
        crowd = Crowd(client)
        try:
            yield crowd
        finally:
            for task in crowd.tasks:
                task.cancel()
            await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def received(upstream: MockUpstream, count: int) -> None:
    """Wait until the upstream has so many requests, and check that it has no more."""
    await asyncio.to_thread(upstream.request, count - 1)
    assert len(upstream.received) == count


@dialects
async def test_of_fifty_at_once_ten_are_answered(server: Server, upstream: MockUpstream, path: str) -> None:
    """Five at a time; forty are told when to come back, in their dialect, by a sentence that says why."""
    upstream.reply(chat(before=GATE))
    before = upstream.connections
    async with crowd_of(server) as crowd:
        crowd.call(path, 50)
        refused = await crowd.refused(40)
        await received(upstream, MOST)

        upstream.open_gate()

        assert await crowd.statuses() == [200] * 10 + [503] * 40
    assert len(upstream.received) == MOST + QUEUE
    assert upstream.connections - before <= MOST
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        body = answer.json()["error"] if path == OPENAI else answer.json()
        assert body["message"].startswith(
            "the server is full: 5 under way and 5 waiting, which is all that its concurrency allows; call again in "
        )
        assert body["code" if path == OPENAI else "error_code"].upper() == "TEMPORARILY_UNAVAILABLE"


@dialects
async def test_a_full_server_still_serves_its_operator(
    server: Server, upstream: MockUpstream, path: str
) -> None:
    """Health, docs, lists and changes pass at any time."""
    upstream.reply(chat(before=GATE))
    async with crowd_of(server) as crowd, server.async_client() as http:
        crowd.call(path, MOST + QUEUE + 1)
        await crowd.refused(1)

        for open_to_all in ("/health", "/docs", "/v1/models", "/api/2.0/gateway/routes/"):
            assert (await http.get(open_to_all)).status_code == 200
        limits = {"route": "offline", "limits": [{"calls": 100, "renewal_period": "minute"}]}
        changed = await http.post("/api/2.0/gateway/limits/", json=limits, headers=AS_ADMIN)
        assert changed.status_code == 200, changed.text
        upstream.open_gate()
        assert (await crowd.statuses()).count(200) == MOST + QUEUE


async def test_a_route_has_fewer_places_than_the_server(server: Server, upstream: MockUpstream) -> None:
    """Those whom it refuses take no place of the server; it is the route that is named."""
    upstream.reply(chat(before=GATE))
    async with crowd_of(server) as crowd:
        crowd.call("/gateway/two/invocations", 5)
        refused = await crowd.refused(2)
        await received(upstream, 2)
        assert {answer.json()["message"].partition(":")[0] for answer in refused} == {
            "the route 'two' is full"
        }
        crowd.call(DOCUMENTED, 2)
        await received(upstream, 4)
        upstream.open_gate()
        assert await crowd.statuses() == [200] * 5 + [503] * 2


@dialects
async def test_streams_hold_their_places_until_their_end(
    server: Server, upstream: MockUpstream, path: str
) -> None:
    """Though their first words are long out."""
    upstream.reply(stream(delta("Hi"), GATE, delta(finish="stop"), DONE))
    async with crowd_of(server) as crowd:
        crowd.call(path, MOST, stream=True)
        await received(upstream, MOST)
        waiting = crowd.call(path, QUEUE + 3)
        await crowd.refused(3)
        assert len(upstream.received) == MOST
        upstream.answer_with(chat())

        upstream.open_gate()

        assert await crowd.statuses() == [200] * (MOST + QUEUE) + [503] * 3
        assert sum(task.result().status_code == 200 for task in waiting) == QUEUE


async def test_a_caller_who_leaves_frees_its_place(server: Server, upstream: MockUpstream) -> None:
    """Whoever waits longest gets it; in a stream, or before the answer."""
    upstream.reply(Reply(before=HOLD))
    async with crowd_of(server) as crowd:
        whole = crowd.call(DOCUMENTED, 3)
        await received(upstream, 3)
        upstream.answer_with(stream(delta("Hi"), HOLD))
        streams = crowd.call(OPENAI, 2, stream=True)
        await received(upstream, 5)
        upstream.answer_with(chat())
        waiting = crowd.call(DOCUMENTED, QUEUE)
        crowd.call(DOCUMENTED)
        await crowd.refused(1)

        for task in (whole[0], streams[0]):
            task.cancel()

        assert [(await task).status_code for task in waiting] == [200] * QUEUE


@pytest.mark.parametrize("path", [DOCUMENTED, OPENAI])
async def test_a_caller_who_leaves_the_queue_makes_room_in_it(
    server: Server, upstream: MockUpstream, path: str
) -> None:
    """Soon, not when its turn would have come; and the upstream never hears of it."""
    upstream.reply(chat(before=GATE))
    async with crowd_of(server) as crowd, server.async_client() as http:
        crowd.call(path, MOST)
        await received(upstream, MOST)
        waiting = crowd.call(path, QUEUE)
        crowd.call(path)
        await crowd.refused(1)

        for task in waiting:
            task.cancel()
            crowd.tasks.remove(task)

        hurried, told = {"x-request-timeout": "0.05"}, ""
        while "has waited" not in told:  # until it is seen that they left, and there is room to wait
            body = {**HELLO, "model": "up"} if path == OPENAI else HELLO
            told = (await http.post(path, json=body, headers=hurried)).text
        upstream.open_gate()
        assert await crowd.statuses() == [200] * MOST + [503]
    assert len(upstream.received) == MOST


async def test_what_was_sent_while_waiting_is_read_in_its_turn(
    server: Server, upstream: MockUpstream
) -> None:
    """A body that came at once, one too large for one reading, and one that comes bit by bit."""
    upstream.reply(chat(before=GATE))
    large = {"messages": [{"role": "user", "content": "é" * 2_000_000}]}
    body = json.dumps({"model": "up", **HELLO}).encode()
    async with crowd_of(server) as crowd:
        crowd.call(DOCUMENTED, MOST)
        await received(upstream, MOST)
        crowd.call(OPENAI, messages=large["messages"])
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(f"POST {OPENAI}", b"connection: close", body=body)[: -len(body)])
        for at in range(0, len(body), 20):
            writer.write(body[at : at + 20])
            await writer.drain()
            await asyncio.sleep(0.02)
        upstream.open_gate()

        assert await crowd.statuses() == [200] * (MOST + 1)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    sent = [json.loads(each.body)["messages"] for each in upstream.received]
    assert large["messages"] in sent
    assert len(upstream.received) == MOST + 2


async def test_a_caller_s_own_deadline_bounds_the_wait(server: Server, upstream: MockUpstream) -> None:
    """`X-Request-Timeout` counts from when the request came, not from when it has a place."""
    upstream.reply(chat(before=GATE))
    async with crowd_of(server) as crowd, server.async_client() as http:
        crowd.call(DOCUMENTED, MOST)
        await received(upstream, MOST)

        hurried = await http.post(DOCUMENTED, json=HELLO, headers={"x-request-timeout": "0.2"})
        unclear = await http.post(DOCUMENTED, json=HELLO, headers={"x-request-timeout": "soon"})

        assert hurried.status_code == 503
        assert "has waited for 0.2 s" in hurried.json()["message"]
        assert hurried.headers["retry-after"]
        assert unclear.status_code == 400
        patient = asyncio.create_task(http.post(DOCUMENTED, json=HELLO, headers={"x-request-timeout": "30"}))
        crowd.tasks.append(patient)
        crowd.call(DOCUMENTED, QUEUE)
        await crowd.refused(1)
        upstream.open_gate()
        assert (await patient).status_code == 200
    (told,) = [
        float(each.headers.get("x-request-timeout", 0))
        for each in upstream.received
        if "x-request-timeout" in each.headers
    ]
    assert 0 < told < 30


async def test_a_refused_caller_is_not_asked_for_its_body(server: Server, upstream: MockUpstream) -> None:
    """With `Expect: 100-continue` it learns that it need not send it."""
    upstream.reply(chat(before=GATE))
    async with crowd_of(server) as crowd:
        crowd.call(DOCUMENTED, MOST + QUEUE + 1)
        await crowd.refused(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            request(f"POST {OPENAI}", b"expect: 100-continue", b"content-length: 30000000", length=False)
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        writer.close()
        upstream.open_gate()
        await crowd.statuses()


@pytest.mark.parametrize("prefix", ["", "/ai"], ids=["alone", "mounted"])
@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ("POST /gateway/chat/invocations", True),
        ("POST /endpoints/chat/invocations", True),
        ("POST /v1/embeddings", True),
        ("GET /v1/models", False),
        ("POST /api/2.0/gateway/routes/", False),
        ("POST /gateway/chat", False),
        ("GET /health", False),
    ],
)
async def test_what_counts_is_a_call_of_a_model(prefix: str, call: str, counts: bool) -> None:
    """And nothing else, wherever the gateway is mounted."""
    places = places_of(ConcurrencyConfig(max=1))
    assert places is not None
    taken = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        taken.append(places.taken)

    async def nothing(*_: Any) -> Any:
        raise NotImplementedError

    method, _, path = call.partition(" ")
    scope = {"type": "http", "method": method, "path": prefix + path, "root_path": prefix, "headers": []}
    await Pressure(app, places=lambda: places)(scope, nothing, nothing)

    assert taken == [int(counts)]
    assert places.taken == 0


async def test_a_reload_counts_anew_and_forgets_nobody(tmp_path: Path, upstream: MockUpstream) -> None:
    """From any number to one, with the calls that came since counted on when it becomes three, and to any number again."""
    places: list[Json | None] = [None, {"max": 1, "queue": 0}, {"max": 3, "queue": 0}, None]
    configurations = [
        {**configuration(upstream), "server": {} if each is None else {"concurrency": each}}
        for each in places
    ]
    upstream.reply(chat(before=GATE))
    with running(tmp_path, configurations[0]) as server:
        await asyncio.to_thread(
            wait_until, lambda: len(server.watching()) == 1, 60, "the worker did not begin"
        )
        passes, refusals = [12, 1, 2, 12], [0, 11, 10, 0]
        async with crowd_of(server) as crowd:
            for turn, config in enumerate(configurations):
                if turn:
                    write_config(tmp_path / "gateway.yaml", config)
                    await asyncio.to_thread(
                        server.wait_for_log, "took up the changed configuration", times=turn
                    )
                crowd.call(DOCUMENTED, 12)
                await crowd.refused(sum(refusals[: turn + 1]))
                await received(upstream, sum(passes[: turn + 1]))
            upstream.open_gate()
            assert await crowd.statuses() == [200] * sum(passes) + [503] * sum(refusals)


@asynccontextmanager
async def one_at_a_time(
    folder: Path, upstream: MockUpstream, drain: float
) -> AsyncIterator[tuple[Server, Crowd]]:
    """A server with one place, which is taken, and three who wait."""
    upstream.reply(chat(before=GATE))
    config = configuration(upstream, max=1, queue=3)
    with running(folder, config, "--drain-seconds", str(drain)) as server:
        async with crowd_of(server) as crowd:
            crowd.call(DOCUMENTED)
            await received(upstream, 1)
            crowd.call(OPENAI, 4)
            await crowd.refused(1)
            yield server, crowd


async def test_those_who_wait_are_answered_when_the_server_ends(
    tmp_path: Path, upstream: MockUpstream
) -> None:
    """Their turn comes all the same."""
    async with one_at_a_time(tmp_path, upstream, 60) as (server, crowd):
        server.signal(signal.SIGTERM)
        upstream.open_gate()

        assert await crowd.statuses() == [200] * 4 + [503]
        assert await asyncio.to_thread(server.wait) == 0
        assert "Traceback" not in server.log


async def test_those_whose_turn_never_comes_are_told_so(tmp_path: Path, upstream: MockUpstream) -> None:
    """When the server waits no longer, in their dialect."""
    async with one_at_a_time(tmp_path, upstream, 1) as (server, crowd):
        began = time.monotonic()
        server.signal(signal.SIGTERM)

        assert await crowd.statuses() == [503] * 5
        assert time.monotonic() - began < 25
        told = [task.result().json() for task in crowd.tasks]
        assert sum("shutting down" in str(answer) for answer in told) == 4
        assert sum("error" in answer for answer in told) == 4
        assert await asyncio.to_thread(server.wait) == 0
        assert "Traceback" not in server.log
