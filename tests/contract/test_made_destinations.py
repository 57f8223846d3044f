"""Routes with several destinations are made, changed and exported, by every way to a gateway alike."""

from typing import Any

import pytest

from gateway_async import Route
from gateway_async.errors import InvalidRequest, RouteNotFound
from tests.contract.ways import all_of
from tests.support.configs import HELLO

Json = dict[str, Any]

CANARY, SECOND = "sk-canary-of-one", "sk-canary-of-two"
ECHO: Json = {"model": {"provider": "offline", "name": "echo"}}
OTHER: Json = {"model": {"provider": "offline", "name": "other"}, "priority": 2}
OPENAI: Json = {
    "model": {"provider": "openai", "name": "gpt", "openai_config": {"openai_api_key": CANARY}},
    "weight": 3,
}
MISTRAL: Json = {
    "model": {"provider": "mistral", "name": "small", "config": {"mistral_api_key": SECOND}},
    "weight": 1,
}


def several(name: str, *destinations: Json, **more: Any) -> Json:
    """A route, as it is made."""
    return {"name": name, "endpoint_type": "llm/v1/chat", "destinations": list(destinations), **more}


def told(route: Route) -> list[str]:
    """Where a route's calls may go, as its caller is told."""
    return [f"{each.provider}/{each.name}" for each in route.destinations or []]


async def test_a_route_with_destinations_is_served(admin: Any, name: str) -> None:
    """It answers, whole and streamed; its model is that of the first, and what else may answer is told too."""
    created = await admin.create_route_from(several(name, OTHER, ECHO, balance="least_pending"))

    assert (created.model.provider, created.model.name) == ("offline", "echo")
    assert told(created) == ["offline/other", "offline/echo"]
    assert await admin.get_route(name) == created
    answer = await admin.query(name, HELLO)
    assert answer["model"] == "echo"
    assert {chunk["model"] for chunk in await all_of(admin.stream(name, HELLO))} == {"echo"}


async def test_who_takes_the_first_destination_away_moves_its_calls(admin: Any, name: str) -> None:
    """Destinations are replaced as one whole, from the next call on."""
    await admin.create_route_from(several(name, ECHO, OTHER))

    changed = await admin.update_route(name, {"destinations": [OTHER]})

    assert told(changed) == ["offline/other"]
    assert (await admin.query(name, HELLO))["model"] == "other"


async def test_a_model_and_destinations_take_each_other_s_place(admin: Any, name: str) -> None:
    """And nothing of the one stays with the other."""
    await admin.create_route(name, "llm/v1/chat", OPENAI["model"])

    both = await admin.update_route(name, {"destinations": [ECHO, OTHER]})
    back = await admin.update_route(name, {"model": OTHER["model"]})
    exported = await admin.export_route(name)

    assert (told(both), told(back), back.model.name) == (["offline/echo", "offline/other"], [], "other")
    assert exported == {"name": name, "endpoint_type": "llm/v1/chat", "model": OTHER["model"]}
    assert (await admin.query(name, HELLO))["model"] == "other"


async def test_a_part_of_the_destinations_is_no_change(admin: Any, name: str) -> None:
    """Who does not give a key does not keep it either; what is refused changes nothing."""
    await admin.create_route_from(several(name, OPENAI, MISTRAL))
    before = await admin.export_route(name)

    for changes, field in (
        ({"destinations": [{**OPENAI, "model": {"name": "gpt-other"}}]}, "destinations.0.model.provider"),
        ({"destinations": [{**OPENAI, "model": {"provider": "openai"}}]}, "destinations.0.model"),
        ({"destinations": []}, "destinations"),
        ({"model": {"name": "gpt-other"}}, "model.provider"),
        ({"model": ECHO["model"], "destinations": [ECHO]}, "destinations"),
        ({"destinations": None}, "model"),
        ({"destinations": [ECHO] * 33}, "destinations"),
    ):
        with pytest.raises(InvalidRequest) as wrong:
            await admin.update_route(name, changes)
        assert f"{field}: " in wrong.value.message
        assert "canary" not in f"{wrong.value!r} {wrong.value.detail}"
    assert await admin.export_route(name) == before


async def test_other_keys_change_around_destinations(admin: Any, name: str) -> None:
    """They stay, settings and all."""
    await admin.create_route_from(several(name, OPENAI, MISTRAL, retry={"attempts": 2}))
    before = await admin.export_route(name)

    changed = await admin.update_route(name, {"balance": "latency", "retry": None, "timeouts": {"total": 9}})

    assert told(changed) == ["openai/gpt", "mistral/small"]
    del before["retry"]
    assert await admin.export_route(name) == {**before, "balance": "latency", "timeouts": {"total": 9}}


async def test_destinations_are_exported_without_their_keys(admin: Any, name: str) -> None:
    """As an endpoint of the file; each key under a variable of its own, whatever the settings are called."""
    await admin.create_route_from(several(name, OPENAI, MISTRAL, OPENAI, OTHER))

    exported = await admin.export_route(name)

    start = f"$ROUTE_{name.upper().replace('-', '_')}_DESTINATION"
    assert "canary" not in str(exported)
    assert [each["model"].get("config") for each in exported["destinations"]] == [
        {"openai_api_key": f"{start}_1_OPENAI_API_KEY"},
        {"mistral_api_key": f"{start}_2_MISTRAL_API_KEY"},
        {"openai_api_key": f"{start}_3_OPENAI_API_KEY"},
        None,
    ]
    assert exported["destinations"][0]["weight"] == 3
    assert exported["destinations"][3] == OTHER


@pytest.mark.parametrize(
    ("destinations", "field"),
    [
        ([], "destinations"),
        ([{}], "destinations.0.model"),
        ([ECHO, {"model": {"provider": "nobody"}}], "destinations.1.model.provider"),
        ([ECHO, {**OPENAI, "colour": "red"}], "destinations.1.colour"),
        ([ECHO, {**ECHO, "weight": "much"}], "destinations.1.weight"),
        ([{**ECHO, "weight": 0}], "destinations"),
        ([ECHO] * 33, "destinations"),
        ("offline", "destinations"),
    ],
)
async def test_destinations_that_are_wrong_are_refused(
    admin: Any, name: str, destinations: Any, field: str
) -> None:
    """422, by the number and the name of the field; no route is made."""
    with pytest.raises(InvalidRequest) as wrong:
        await admin.create_route_from({**several(name), "destinations": destinations})

    assert f"{field}: " in wrong.value.message
    assert "canary" not in f"{wrong.value!r} {wrong.value.detail}"
    with pytest.raises(RouteNotFound):
        await admin.get_route(name)


async def test_a_destination_whose_provider_has_no_such_type_is_named(admin: Any, name: str) -> None:
    """By its number, and by the provider."""
    anthropic = {"model": {"provider": "anthropic", "name": "m", "config": {"anthropic_api_key": CANARY}}}
    route = {**several(name, ECHO, anthropic), "endpoint_type": "llm/v1/embeddings"}

    with pytest.raises(
        InvalidRequest, match=r"destinations\.1\.model: the provider 'anthropic' has no llm/v1/embeddings"
    ):
        await admin.create_route_from(route)


async def test_a_route_with_one_model_is_told_as_it_was(admin: Any, name: str) -> None:
    """Without a word of destinations."""
    created = await admin.create_route(name, "llm/v1/chat", ECHO["model"])

    assert created.destinations is None
    assert "destinations" not in created.model_dump()
    assert "destinations" not in created.to_endpoint().model_dump()
