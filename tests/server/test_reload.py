"""A changed configuration file takes effect in every worker, and nobody who is being answered notices."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_async.call import Caller
from gateway_async.keys.changes import KeyChanges
from gateway_server import create_app
from tests.support.configs import HELLO, Json, offline, upstream_route
from tests.support.server import Server, running, wait_until, write_config
from tests.support.upstream import DONE, GATE, MockUpstream, delta, stream, words

TAKEN_UP = "took up the changed configuration"
IGNORED = "the changed configuration is ignored"
WORKERS = 2


class File:
    """The configuration file of a gateway that runs.

    Attributes:
        server: The gateway.
        path: The file.
    """

    def __init__(self, server: Server, path: Path, upstream_url: str) -> None:
        self.server = server
        self.path = path
        self._upstream_url = upstream_url

    def config(self, *names: str, **more: object) -> Json:
        """A configuration with offline routes of these names, and always the one to the mock upstream."""
        up = upstream_route("up", "chat", self._upstream_url)
        return {"endpoints": [up, *(offline(name, "chat") for name in names)], **more}

    def change(self, config: Json | str | bytes, *, rename: bool = False, says: str = TAKEN_UP) -> None:
        """Change the file, and wait until every worker has said something of it."""
        before = self.server.log.count(says)
        text = json.dumps(config) if isinstance(config, dict) else config
        target = self.path.with_suffix(".new") if rename else self.path
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        if rename:
            target.replace(self.path)
        self.server.wait_for_log(says, times=before + WORKERS)

    def names(self) -> set[str]:
        """The routes, as whichever worker takes the connection tells them."""
        with self.server.client() as http:
            return {route["name"] for route in http.get("/api/2.0/gateway/routes/").json()["routes"]} - {"up"}

    def everywhere(self) -> list[set[str]]:
        """The routes as ten new connections are told them, which are hardly all of one worker."""
        return [self.names() for _ in range(10)]


@pytest.fixture(scope="module")
def file(shared_upstream: MockUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[File]:
    """A gateway with two workers, whose file may be changed."""
    folder = tmp_path_factory.mktemp("reload")
    path = folder / "gateway.yaml"
    config = {"endpoints": [upstream_route("up", "chat", shared_upstream.url), offline("first", "chat")]}
    with running(folder, write_config(path, config), workers=WORKERS) as server:
        wait_until(lambda: len(server.watching()) == WORKERS, 60, "there were no two workers")
        yield File(server, path, shared_upstream.url)
    assert "Traceback" not in server.log


@pytest.mark.parametrize("rename", [False, True], ids=["written", "renamed over"])
def test_a_change_takes_effect_in_every_worker(file: File, rename: bool) -> None:
    """However an editor or a deployment writes it; what was there is gone."""
    file.change(file.config("second", "third"), rename=rename)
    assert file.everywhere() == [{"second", "third"}] * 10

    file.change(file.config("fourth"), rename=rename)
    assert file.everywhere() == [{"fourth"}] * 10


def test_a_change_by_a_symlink_takes_effect(file: File, tmp_path: Path) -> None:
    """As Kubernetes changes the files that it mounts."""
    before = file.server.log.count(TAKEN_UP)
    target = write_config(tmp_path / "elsewhere.yaml", file.config("linked"))
    link = file.path.with_suffix(".link")
    link.symlink_to(target)
    link.replace(file.path)
    file.server.wait_for_log(TAKEN_UP, times=before + WORKERS)
    assert file.everywhere() == [{"linked"}] * 10

    file.path.unlink()
    file.change(file.config("plain"))
    assert file.everywhere() == [{"plain"}] * 10


WRONG: dict[str, tuple[str | bytes, str]] = {
    "a mistake": (
        '{"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chatt", "model": {"provider": "offline"}}]}',
        "endpoint 'a', endpoint_type",
    ),
    "no YAML": ("endpoints: [\n", "this is not YAML"),
    "nothing": ("", "a mapping with 'endpoints:' is expected"),
    "no text": (b"\xff\xfe\x00", "can't be read"),
    "an unset key": (
        "endpoints: [{name: a, endpoint_type: llm/v1/chat, model: {provider: openai, name: x, config: "
        "{openai_api_key: $NOT_SET_ANYWHERE}}}]",
        "'NOT_SET_ANYWHERE' is not set",
    ),
    "two of one name": (
        "endpoints: [&a {name: a, endpoint_type: llm/v1/chat, model: {provider: offline}}, *a]",
        "two endpoints",
    ),
}


@pytest.mark.parametrize(("text", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_change_is_logged_with_its_reason_and_changes_nothing(
    file: File, text: str | bytes, reason: str
) -> None:
    """And the next right one takes effect."""
    file.change(file.config("kept"))

    file.change(text, says=reason)

    assert IGNORED in file.server.log
    assert file.everywhere() == [{"kept"}] * 10
    file.change(file.config("mended"))
    assert file.everywhere() == [{"mended"}] * 10


def test_a_file_that_goes_away_changes_nothing(file: File) -> None:
    """Until it is back."""
    file.change(file.config("kept"))

    file.path.unlink()

    assert file.everywhere() == [{"kept"}] * 10
    file.change(file.config("back"))
    assert file.everywhere() == [{"back"}] * 10


def test_a_type_that_its_provider_has_not_costs_only_its_route(file: File) -> None:
    """The others go on, and a call of it says why."""
    model = {"provider": "anthropic", "name": "x", "config": {"anthropic_api_key": "abcdefgh"}}
    config = file.config("fine")
    config["endpoints"].append({"name": "claude", "endpoint_type": "llm/v1/embeddings", "model": model})

    file.change(config)

    with file.server.client() as http:
        assert http.post("/gateway/fine/invocations", json=HELLO).status_code == 200
        refused = http.post("/gateway/claude/invocations", json={"input": "Hi"})
    assert refused.status_code == 501
    assert "'anthropic' has no llm/v1/embeddings" in refused.json()["message"]


def test_the_largest_body_follows_the_file(file: File) -> None:
    """Not only routes do."""
    with file.server.client() as http:
        large = {**HELLO, "vendor": "x" * 2**20}
        file.change(file.config("fine", server={"max_body_mb": 0.5}))
        assert http.post("/gateway/fine/invocations", json=large).status_code == 413
        file.change(file.config("fine"))
        assert http.post("/gateway/fine/invocations", json=large).status_code == 200


def test_a_stream_goes_on_when_its_route_is_gone(file: File, upstream: MockUpstream) -> None:
    """What is under way keeps the configuration that it began with."""
    upstream.reply(stream(delta("one"), GATE, delta("five", finish="stop"), DONE))
    with (
        file.server.client() as http,
        http.stream("POST", "/gateway/up/invocations", json={**HELLO, "stream": True}) as answer,
    ):
        upstream.request()
        without = {"endpoints": [offline("other", "chat")]}
        file.change(without)
        with file.server.client() as other:
            assert other.post("/gateway/up/invocations", json=HELLO).status_code == 404
        upstream.open_gate()
        text = "".join(answer.iter_text())

    assert "five" in text
    assert "error" not in text
    file.change(file.config("first"))


async def test_no_request_and_no_stream_is_lost_while_the_file_changes(
    file: File, upstream: MockUpstream
) -> None:
    """Twenty changes, written and renamed over, and during each of them answers and streams that end well."""
    upstream.reply(words("one ", "two ", "three ", "four", pace=0.05))
    file.change(file.config("steady"))
    done = asyncio.Event()
    counted = {"whole": 0, "stream": 0}

    async def ask(http: httpx.AsyncClient) -> None:
        while not done.is_set():
            answer = await http.post("/gateway/steady/invocations", json=HELLO)
            assert answer.status_code == 200
            assert answer.json()["object"] == "chat.completion"
            counted["whole"] += 1

    async def listen(http: httpx.AsyncClient) -> None:
        while not done.is_set():
            body = {**HELLO, "model": "up", "stream": True}
            answer = await http.post("/v1/chat/completions", json=body)
            assert answer.text.endswith("data: [DONE]\n\n")
            assert "four" in answer.text
            counted["stream"] += 1

    async with file.server.async_client() as http, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ask(http))
            group.create_task(listen(http))
        for number in range(20):
            config, before = file.config("steady", f"new-{number}"), dict(counted)
            await asyncio.to_thread(file.change, config, rename=bool(number % 2))
            while any(counted[kind] == before[kind] for kind in counted):  # noqa: ASYNC110 - no event counts
                await asyncio.sleep(0.01)
        done.set()

    print(f"{counted['whole']} answers and {counted['stream']} streams during 20 changes, none lost")
    assert file.everywhere() == [{"steady", "new-19"}] * 10


async def test_a_change_between_loading_and_watching_is_not_missed(tmp_path: Path) -> None:
    """A mounted app may wait for its first request for hours."""
    path = write_config(tmp_path / "gateway.yaml", {"endpoints": [offline("first", "chat")]})
    app = create_app(path)
    write_config(path, {"endpoints": [offline("second", "chat")]})

    await app.open()

    def taken_up() -> bool:
        return [route.name for route in app.gateway.routes()[0]] == ["second"]

    await asyncio.to_thread(wait_until, taken_up, 30, "the file was not taken up")
    await app.aclose()


async def test_what_a_running_gateway_does_not_take_up_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A key with the name of one in the store is refused; what waits for the next start is named."""
    config: Json = {"endpoints": [offline("chat", "chat")], "store": f"sqlite:///{tmp_path / 'gateway.db'}"}
    path = write_config(tmp_path / "gateway.yaml", config)
    app = create_app(path)
    await app.open()
    await KeyChanges(app.live.store, list, app.live.changed).create({"name": "ci"}, Caller())

    keys = [{"name": "ci", "key": "the-key-of-the-file-0123"}]
    write_config(path, {**config, "keys": keys})
    await asyncio.to_thread(wait_until, lambda: "gateway keys revoke ci" in caplog.text, 30, "not refused")
    assert app.keys.for_callers is None

    write_config(path, {**config, "server": {"max_body_mb": 1, "request_seconds": 5}})
    said = "server.request_seconds: changed, and in force from the next start on"
    await asyncio.to_thread(wait_until, lambda: said in caplog.text, 30, "not said")
    await app.aclose()
