"""Routes and limits are made, changed, exported and deleted, over HTTP, blocking, and within the process alike."""

from typing import Any

import pytest

import gateway_async
import gateway_sync
from gateway_async import GatewayError, Limit, LimitsConfig, MlflowException, Route
from gateway_async.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    InvalidRequest,
    RateLimited,
    RouteNotFound,
    Unauthenticated,
)
from tests.contract import documented
from tests.contract.ways import all_of
from tests.support.configs import ADMIN, HELLO
from tests.support.server import Server

OFFLINE = {"provider": "offline", "name": "echo"}
CANARY = "sk-canary-of-changes"
OPENAI: dict[str, Any] = {
    "name": "gpt-mock",
    "provider": "openai",
    "openai_config": {"openai_api_key": CANARY},
}
FIFTY: dict[str, Any] = {"key": "user", "renewal_period": "minute", "calls": 50}


async def test_a_created_route_is_served(admin: Any, name: str) -> None:
    """It is told as any other, and answers, whole and streamed, from this moment on."""
    created = await admin.create_route(name, "llm/v1/chat", OFFLINE)

    assert isinstance(created, Route)
    assert (created.name, created.route_type, created.limit) == (name, "llm/v1/chat", None)
    assert created.model.model_dump() == {"name": "echo", "provider": "offline"}
    base = "" if admin.gateway_uri == "local" else admin.gateway_uri
    assert created.route_url == f"{base}/gateway/{name}/invocations"
    assert await admin.get_route(name) == created
    said = (await admin.query(name, HELLO))["choices"][0]["message"]["content"]
    chunks = await all_of(admin.stream(name, HELLO))
    assert said == "You said: Hello there"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == said


async def test_created_routes_are_listed_behind_the_configuration_s(admin: Any, name: str) -> None:
    """In the order in which they were made."""
    await admin.create_route(name, "llm/v1/embeddings", OFFLINE)

    second = await admin.search_routes((await admin.search_routes()).token)
    assert second[-1].name == name


async def test_a_route_may_come_with_all_that_an_endpoint_may_have(admin: Any, name: str) -> None:
    """Limits and timeouts, in the words of the configuration file."""
    endpoint = {
        "name": name,
        "endpoint_type": "llm/v1/chat",
        "model": OFFLINE,
        "limit": {"calls": 1, "renewal_period": "hour"},
        "timeouts": {"total": 5},
    }

    created = await admin.create_route_from(endpoint)

    assert created.limit == Limit(calls=1, renewal_period="hour")
    await admin.query(name, HELLO)
    with pytest.raises(RateLimited):
        await admin.query(name, HELLO)


async def test_a_name_is_taken_once(admin: Any, name: str) -> None:
    """By a route of the configuration, or by one that was created; the error names it."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)

    for taken in (name, "chat"):
        with pytest.raises(AlreadyExists, match=f"'{taken}'") as refused:
            await admin.create_route(taken, "llm/v1/completions", OFFLINE)
        assert (refused.value.status, refused.value.error_code) == (409, "RESOURCE_ALREADY_EXISTS")
    assert (await admin.get_route(name)).route_type == "llm/v1/chat"


@pytest.mark.parametrize(
    ("route_type", "model", "field"),
    [
        ("llm/v1/chatt", OFFLINE, "route_type"),
        (None, OFFLINE, "route_type"),
        ("llm/v1/chat", None, "model"),
        ("llm/v1/chat", {}, "model.provider"),
        ("llm/v1/chat", {"provider": "nobody", "name": "x"}, "model.provider"),
        ("llm/v1/chat", {"provider": "openai", "name": "x"}, "model"),
        ("llm/v1/chat", {**OPENAI, "openai_config": {"openai_key": CANARY}}, "openai_key"),
        ("llm/v1/chat", {**OPENAI, "anthropic_config": {"anthropic_api_key": CANARY}}, "anthropic_config"),
        ("llm/v1/chat", {**OFFLINE, "colour": "red"}, "colour"),
        (
            "llm/v1/embeddings",
            {"provider": "anthropic", "name": "x", "config": {"anthropic_api_key": CANARY}},
            None,
        ),
    ],
)
async def test_a_route_that_is_wrong_is_refused(
    admin: Any, name: str, route_type: Any, model: Any, field: str | None
) -> None:
    """422, by the name of the field; there is no such route afterwards, and no key in the error."""
    with pytest.raises(InvalidRequest) as wrong:
        await admin.create_route(name, route_type, model)

    assert (wrong.value.status, wrong.value.error_code) == (422, "INVALID_PARAMETER_VALUE")
    assert (field or "'anthropic' has no llm/v1/embeddings") in wrong.value.message
    assert CANARY not in wrong.value.serialize_as_json() + wrong.value.message
    with pytest.raises(RouteNotFound):
        await admin.get_route(name)


@pytest.mark.parametrize("wrong", ["x" * 201, "", "a/b", "a b", "ü?", "..", "x\n"])
async def test_a_name_that_is_none_is_refused(admin: Any, wrong: str) -> None:
    """As in the configuration file."""
    with pytest.raises(GatewayError) as refused:
        await admin.create_route(wrong, "llm/v1/chat", OFFLINE)

    assert refused.value.status in (400, 422)


async def test_a_route_is_changed(admin: Any, name: str) -> None:
    """What is given takes the place of what was; the rest stays, and `None` takes a setting away."""
    await admin.create_route_from(
        {"name": name, "endpoint_type": "llm/v1/chat", "model": OFFLINE, "limit": {**FIFTY}}
    )

    renamed = await admin.update_route(name, {"model": {"name": "other"}})
    unlimited = await admin.update_route(name, {"limit": None})

    assert (renamed.model.name, renamed.model.provider) == ("other", "offline")
    assert (renamed.limit, unlimited.limit) == (Limit(**FIFTY), None)
    assert unlimited == await admin.get_route(name)
    assert (await admin.query(name, HELLO))["model"] == "other"


async def test_a_change_that_is_wrong_changes_nothing(admin: Any, name: str) -> None:
    """Neither does an empty one, one of the name, one of a route of the configuration, or one of nothing."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)

    for changes, error in (
        ({}, BadRequest),
        ({"name": "other"}, InvalidRequest),
        ({"model": {"provider": "nobody"}}, InvalidRequest),
        ({"model": None}, InvalidRequest),
        ({"colour": "red"}, InvalidRequest),
    ):
        with pytest.raises(error):
            await admin.update_route(name, changes)
    with pytest.raises(Conflict, match="configuration file") as refused:
        await admin.update_route("chat", {"model": {"name": "other"}})
    assert refused.value.error_code == "RESOURCE_CONFLICT"
    with pytest.raises(RouteNotFound, match="nothing"):
        await admin.update_route("nothing", {"model": {"name": "other"}})

    assert (await admin.get_route(name)).model.name == "echo"


async def test_a_route_is_exported_without_its_key(admin: Any, name: str) -> None:
    """As an endpoint of the file; where the key was, the name of a variable."""
    await admin.create_route(name, "llm/v1/chat", OPENAI)

    variable = f"$ROUTE_{name.upper().replace('-', '_')}_OPENAI_API_KEY"
    assert await admin.export_route(name) == {
        "name": name,
        "endpoint_type": "llm/v1/chat",
        "model": {"name": "gpt-mock", "provider": "openai", "config": {"openai_api_key": variable}},
    }
    for absent in ("chat", "nothing"):
        with pytest.raises(GatewayError, match=absent):
            await admin.export_route(absent)


async def test_an_exported_route_has_the_limits_that_were_set(admin: Any, name: str) -> None:
    """Those in force, not those that it was made with."""
    await admin.create_route_from(
        {"name": name, "endpoint_type": "llm/v1/chat", "model": OFFLINE, "limit": {**FIFTY, "calls": 1}}
    )

    await admin.set_limits(name, [FIFTY])

    exported = await admin.export_route(name)
    assert (exported["limits"], "limit" in exported) == ([FIFTY], False)


async def test_a_deleted_route_is_gone(admin: Any, name: str) -> None:
    """404 from now on; its name is free, and the limits that were set for it are forgotten."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)
    await admin.set_limits(name, [{"calls": 0, "renewal_period": "minute"}])

    assert await admin.delete_route(name) is None

    for call in (admin.get_route(name), admin.query(name, HELLO), admin.delete_route(name)):
        with pytest.raises(RouteNotFound):
            await call
    await admin.create_route(name, "llm/v1/completions", OFFLINE)
    assert await admin.get_limits(name) == LimitsConfig(limits=[])
    assert (await admin.query(name, {"prompt": "Once"}))["object"] == "text_completion"


async def test_a_route_of_the_configuration_is_not_deleted(admin: Any) -> None:
    """The error says where it is."""
    with pytest.raises(Conflict, match="configuration file") as refused:
        await admin.delete_route("chat")
    assert refused.value.error_code == "RESOURCE_CONFLICT"

    assert (await admin.get_route("chat")).name == "chat"


async def test_limits_are_set_and_told(admin: Any, name: str) -> None:
    """They replace those before; the documented fields come back, of several limits too."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)
    several = [{"calls": 1, "renewal_period": "hour"}, {"tokens": 10**6, "renewal_period": "day"}]

    assert await admin.get_limits(name) == LimitsConfig(limits=[])
    assert await admin.set_limits(name, [FIFTY]) == LimitsConfig(limits=[Limit(**FIFTY)])
    assert (await admin.get_route(name)).limit == Limit(**FIFTY)
    assert await admin.set_limits(name, several) == await admin.get_limits(name)
    assert [limit.renewal_period for limit in (await admin.get_limits(name)).limits] == ["hour", "day"]
    await admin.query(name, HELLO)
    with pytest.raises(RateLimited):
        await admin.query(name, HELLO)
    assert await admin.set_limits(name, []) == LimitsConfig(limits=[])
    await admin.query(name, HELLO)


async def test_no_calls_close_a_route(admin: Any, name: str) -> None:
    """`calls: 0`, until other limits are set."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)

    await admin.set_limits(name, [{"calls": 0, "renewal_period": "minute"}])

    with pytest.raises(RateLimited):
        await admin.query(name, HELLO)
    await admin.set_limits(name, [FIFTY])
    await admin.query(name, HELLO)


async def test_limits_that_were_set_are_not_changed_elsewhere(admin: Any, name: str) -> None:
    """They come before a route's own: who changes these then is told, instead of changing nothing."""
    await admin.create_route(name, "llm/v1/chat", OFFLINE)
    await admin.set_limits(name, [FIFTY])

    with pytest.raises(Conflict, match="set_limits"):
        await admin.update_route(name, {"limit": {**FIFTY, "calls": 10}})

    assert (await admin.update_route(name, {"model": {"name": "other"}})).limit == Limit(**FIFTY)


async def test_a_route_of_the_configuration_gets_other_limits(admin: Any) -> None:
    """They come before its own."""
    await admin.set_limits("embeddings", [{"calls": 0, "renewal_period": "minute"}])

    with pytest.raises(RateLimited):
        await admin.query("embeddings", {"input": "Hi"})
    await admin.set_limits("embeddings", [])
    await admin.query("embeddings", {"input": "Hi"})


async def test_limits_that_were_set_can_be_forgotten(admin: Any, name: str) -> None:
    """The route's own hold again."""
    await admin.create_route_from(
        {"name": name, "endpoint_type": "llm/v1/chat", "model": OFFLINE, "limits": [FIFTY]}
    )
    await admin.set_limits(name, [{"calls": 0, "renewal_period": "minute"}])

    assert await admin.reset_limits(name) == LimitsConfig(limits=[Limit(**FIFTY)])
    await admin.query(name, HELLO)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ([{"calls": 5}], "limits.0.renewal_period"),
        ([{"renewal_period": "minute"}], "limits.0"),
        ([{"calls": -1, "renewal_period": "minute"}], "limits.0"),
        ([{"calls": "5", "renewal_period": "minute"}], "limits.0.calls"),
        ([{"calls": 5, "renewal_period": "moment"}], "limits.0"),
        ([FIFTY, {**FIFTY, "key": "team"}], "limits.1"),
        ([{**FIFTY, "colour": "red"}], "limits.0.colour"),
        ([FIFTY] * 101, "limits"),
        ("fifty", "limits"),
        (None, "limits"),
        (["fifty"], "limits.0"),
    ],
)
async def test_limits_that_are_wrong_are_refused(admin: Any, limits: Any, field: str) -> None:
    """422, by the name of the field; those before stay."""
    with pytest.raises(InvalidRequest) as wrong:
        await admin.set_limits("completions", limits)

    assert field in wrong.value.message
    assert await admin.get_limits("completions") == LimitsConfig(limits=[])


async def test_limits_of_no_route_are_refused(admin: Any) -> None:
    """Nobody's limits are set, and the error names the route."""
    for call in (admin.set_limits("nothing", [FIFTY]), admin.get_limits("nothing")):
        with pytest.raises(RouteNotFound, match="nothing"):
            await call


async def test_a_change_over_http_needs_an_admin_s_key(connect: Any, server: Server) -> None:
    """401, and where a key goes; nothing is changed."""
    client = connect(server.url)
    for call in (
        client.create_route("unkeyed", "llm/v1/chat", OFFLINE),
        client.update_route("chat", {"model": {"name": "other"}}),
        client.export_route("chat"),
        client.delete_route("chat"),
        client.set_limits("chat", []),
    ):
        with pytest.raises(Unauthenticated, match="Authorization") as refused:
            await call
        assert (refused.value.status, refused.value.error_code) == (401, "UNAUTHENTICATED")

    assert (await client.get_limits("chat")).limits != []
    with pytest.raises(RouteNotFound):
        await client.get_route("unkeyed")


async def test_the_functions_change_things_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """As coroutines; their key is in the environment."""
    monkeypatch.setenv("GATEWAY_API_KEY", ADMIN)
    gateway_async.set_gateway_uri(server.url)

    await gateway_async.create_route("fluent", "llm/v1/chat", OFFLINE)
    changed = await gateway_async.update_route("fluent", {"model": {"name": "other"}})
    limits = await gateway_async.set_limits("fluent", [FIFTY])

    assert (changed.name, changed.model.name) == ("fluent", "other")
    assert limits == await gateway_async.get_limits("fluent")
    await gateway_async.delete_route("fluent")
    with pytest.raises(RouteNotFound):
        await gateway_async.get_route("fluent")


CALLS = ("create_route", "delete_route", "set_limits", "get_limits")


@pytest.mark.skipif(
    not documented.REFERENCE.exists(), reason="the documented pages are not beside this checkout"
)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("by", ["client", "functions"])
def test_the_documented_examples_run_as_written(
    call: str, by: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against our own server, with an admin's key in the environment; but for the address, the package, and the key."""
    monkeypatch.setenv("GATEWAY_API_KEY", ADMIN)
    client = gateway_sync.MlflowGatewayClient(server.url)
    before = {"delete_route": ["my-existing-route", "my-new-route"], "create_route": []}
    for name in before.get(call, ["my-new-route"]):
        client.create_route(name, "llm/v1/chat", OFFLINE)
    try:
        for example in documented.examples(call, fluent=by == "functions"):
            written = (
                example.replace("from mlflow.gateway import", "from gateway_sync import")
                .replace('"databricks"', repr(server.url))
                .replace("openai_api_key = ...", f"openai_api_key = {CANARY!r}")
            )
            exec(written, {})
        _hold(call, by, client)
    finally:
        for name in ("my-route", "my-new-route", "my-existing-route"):
            try:
                client.delete_route(name)
            except MlflowException:
                pass
        client.close()


def _hold(call: str, by: str, client: Any) -> None:
    """What holds after an example."""
    if call == "create_route":
        made = client.get_route("my-route")
        assert (made.route_type, made.model.name) == ("llm/v1/completions", "question-answering-bot")
    elif call == "delete_route":
        gone = "my-existing-route" if by == "client" else "my-new-route"
        with pytest.raises(RouteNotFound):
            client.get_route(gone)
    elif call == "set_limits":
        assert client.get_limits("my-new-route") == LimitsConfig(limits=[Limit(**FIFTY)])
