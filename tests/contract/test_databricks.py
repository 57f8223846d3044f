"""Databricks as the gateway: address and token are found the way its own tools find them, anew at every call."""

import builtins
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_async import GatewayError, set_gateway_uri
from gateway_async.errors import ConfigError, RequestTimeout
from tests.contract.conftest import Connect
from tests.contract.fake import FakeGateway, refused
from tests.contract.ways import all_of, make
from tests.support.upstream import Received, chat, json_reply, words

pytest.importorskip("databricks.sdk", reason="the extra databricks is not installed")

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
ROUTE = {
    "name": "chat",
    "route_type": "llm/v1/chat",
    "model": {"name": "gpt-4o", "provider": "openai"},
    "route_url": "https://workspace.example/gateway/chat/invocations",
}


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own profile takes part."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "profiles"))


@pytest.fixture
def profiles(tmp_path: Path) -> Callable[..., None]:
    """Writes the file of profiles; each is its host and its token."""

    def write(**profiles: tuple[str, str]) -> None:
        text = "".join(
            f"[{name}]\nhost = {host}\ntoken = {token}\n\n" for name, (host, token) in profiles.items()
        )
        (tmp_path / "profiles").write_text(text)

    return write


def calls(fake: FakeGateway) -> list[Received]:
    """The requests for a gateway; Databricks' SDK asks for more, about the workspace."""
    return [request for request in fake.received if "gateway" in request.path]


def tokens(fake: FakeGateway) -> list[str | None]:
    """The tokens of the requests."""
    return [request.headers.get("authorization") for request in calls(fake)]


async def test_the_environment_names_the_workspace(
    connect: Connect, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host and token; the paths are those of any gateway."""
    monkeypatch.setenv("DATABRICKS_HOST", fake.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-1")
    fake.answer(chat())

    answer = await connect("databricks").query("chat", HELLO)

    assert answer["object"] == "chat.completion"
    assert [request.path for request in calls(fake)] == ["/gateway/chat/invocations"]
    assert tokens(fake) == ["Bearer dapi-1"]


async def test_a_profile_is_chosen_by_the_address(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """`databricks://profile`, from Databricks' file of profiles; `databricks` takes the default one."""
    profiles(DEFAULT=(fake.url, "dapi-default"), staging=(fake.url, "dapi-staging"))
    fake.answer(json_reply(ROUTE))

    for uri in ("databricks", "databricks://staging"):
        route = await connect(uri).get_route("chat")
        assert route.route_url == ROUTE["route_url"]

    assert tokens(fake) == ["Bearer dapi-default", "Bearer dapi-staging"]


async def test_credentials_are_resolved_afresh_at_every_call(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """A token that was renewed in the file is used from the next call on, also by a stream."""
    client = connect("databricks://p")
    for token in ("first", "second"):
        profiles(p=(fake.url, token))
        fake.answer(chat())
        await client.query("chat", HELLO)
        assert tokens(fake) == [f"Bearer {token}"]

    profiles(p=(fake.url, "third"))
    fake.answer(words("Hello"))
    assert await all_of(client.stream("chat", HELLO))
    assert tokens(fake) == ["Bearer third"]


async def test_a_pickled_client_works_where_it_is_unpickled(
    fake: FakeGateway, profiles: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it takes the credentials of there."""
    from gateway_async import AsyncGatewayClient

    profiles(p=("http://127.0.0.1:9", "of-here"))
    sent = pickle.dumps(AsyncGatewayClient("databricks://p"))
    assert b"of-here" not in sent

    profiles(p=(fake.url, "of-there"))
    fake.answer(chat())
    async with pickle.loads(sent) as client:
        await client.query("chat", HELLO)
    assert tokens(fake) == ["Bearer of-there"]


async def test_the_documented_example_creates_a_route(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """With `set_gateway_uri("databricks")`, as on the page."""
    profiles(DEFAULT=(fake.url, "t"))
    set_gateway_uri(gateway_uri="databricks")
    fake.answer(json_reply(ROUTE))
    model = {"name": "bot", "provider": "openai", "openai_config": {"openai_api_key": "sk"}}

    route = await connect().create_route(name="my-route", route_type="llm/v1/completions", model=model)

    assert route.name == "chat"
    (request,) = calls(fake)
    assert request.json == {"name": "my-route", "route_type": "llm/v1/completions", "model": model}


async def test_limits_are_set_and_read(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """As documented for Databricks."""
    profiles(DEFAULT=(fake.url, "t"))
    limit = {"calls": 50, "key": "user", "renewal_period": "minute"}
    fake.answer(json_reply({"limits": [limit]}))
    client = connect("databricks")

    for limits in (await client.set_limits("r", [limit]), await client.get_limits("r")):
        assert [found.model_dump() for found in limits.limits] == [limit]


async def test_a_refusal_of_databricks_is_told(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """In its words: it names errors as we do."""
    profiles(DEFAULT=(fake.url, "t"))
    fake.answer(json_reply({"error_code": "PERMISSION_DENIED", "message": "You may not."}, status=403))

    with pytest.raises(GatewayError, match="You may not") as failed:
        await connect("databricks").create_route("r")

    assert (failed.value.status, failed.value.error_code) == (403, "PERMISSION_DENIED")


async def test_a_failure_of_databricks_that_may_pass_is_tried_again(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """As with any gateway."""
    profiles(DEFAULT=(fake.url, "t"))
    metadata = refused(404)  # the SDK asks the workspace about itself before each attempt
    fake.answer(metadata, refused(503, retry_after="0"), metadata, chat())

    assert await connect("databricks").query("chat", HELLO)
    assert len(calls(fake)) == 2


@pytest.mark.parametrize("uri", ["databricks", "databricks://absent"])
async def test_without_credentials_the_error_says_so(connect: Connect, uri: str) -> None:
    """It names the address; Databricks' SDK says where it looked."""
    with pytest.raises(ConfigError, match=f"no Databricks credentials for '{uri}'"):
        await connect(uri).health()


@pytest.mark.parametrize("call", ["query", "stream"])
async def test_the_timeout_holds_while_credentials_are_sought(
    connect: Connect, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Databricks' SDK may ask others, and wait for them."""
    go_on, found = threading.Event(), threading.Event()

    def resolve(uri: str) -> None:
        go_on.wait(30)
        found.set()

    monkeypatch.setattr("gateway_async.transport.resolve", resolve)

    with pytest.raises(RequestTimeout, match=r"0\.2 seconds"):
        await make(connect("databricks", timeout=0.2), call, "chat", HELLO)

    assert not found.is_set()
    go_on.set()


async def test_without_the_extra_the_error_names_it(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the call, since the address may be Databricks' only at run time."""
    for name in [name for name in sys.modules if name.split(".")[0] == "databricks"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "databricks":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)

    with pytest.raises(ConfigError, match=r"pip install 'ai-gateway-sdk\[databricks\]'"):
        await connect("databricks").query("chat", HELLO)


async def test_a_token_does_not_show_in_an_error(
    connect: Connect, fake: FakeGateway, profiles: Callable[..., None]
) -> None:
    """Whatever the workspace answers."""
    profiles(DEFAULT=(fake.url, "dapi-canary"))
    for status in (302, 401, 404, 422):
        fake.answer(refused(status))
        with pytest.raises(GatewayError) as failed:
            await connect("databricks", max_retries=0).query("chat", HELLO)
        assert "canary" not in f"{failed.value} {failed.value.detail}"
