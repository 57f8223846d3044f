"""What a configuration may say of a route's destinations, and what is said of those that are wrong: by line and number."""

import json
from typing import Any

import pytest

from gateway_async.config import Route, RouteConfig
from gateway_async.config_file import Document, load_config
from gateway_async.errors import ConfigError
from gateway_async.gateway import Gateway
from tests.config.conftest import Load, Write

SEVERAL = """\
endpoints:
  - name: chat
    endpoint_type: llm/v1/chat
    destinations:
      - {model: {provider: offline, name: echo}, priority: 2}
      - model:
          provider: openai
          name: gpt-4o-mini
          config:
            openai_api_key: sk-1
        weight: 3
      - model: {provider: mistral, name: small, config: {mistral_api_key: sk-2}}
    balance: weighted
"""


def problems(write: Write, text: str) -> list[tuple[int | None, str | None, str]]:
    """What is wrong with a file: line, key, what is said."""
    with pytest.raises(ConfigError) as wrong:
        load_config(write(text))
    assert wrong.value.problems is not None
    assert {problem["endpoint"] for problem in wrong.value.problems} == {"chat"}
    return [(each["line"], each["key"], each["problem"]) for each in wrong.value.problems]


def test_a_route_may_have_destinations_in_the_place_of_a_model(load: Load) -> None:
    """Its model is the one that is asked first: the first of the smallest priority."""
    (route,) = load(SEVERAL).routes

    assert [(each.weight, each.priority) for each in route.targets()] == [(1, 2), (3, 1), (1, 1)]
    assert [model.name for model in route.models()] == ["echo", "gpt-4o-mini", "small"]
    assert route.model is route.models()[1]
    assert [place for place, _ in route.placed_models()] == [
        *("destinations.0.model", "destinations.1.model", "destinations.2.model")
    ]


def test_a_model_is_the_only_destination(load: Load) -> None:
    """So that whoever leads calls knows but one form."""
    (route,) = load("endpoints: [{name: a, endpoint_type: llm/v1/chat, model: {provider: offline}}]").routes

    (only,) = route.targets()
    assert only.model is route.model
    assert route.placed_models() == [("model", route.model)]


def test_a_route_says_which_models_may_answer(load: Load) -> None:
    """By names and providers alone, under both its forms; one with a single model says nothing of it."""
    told = load(SEVERAL).routes[0].to_route()

    models = [
        {"name": "echo", "provider": "offline"},
        {"name": "gpt-4o-mini", "provider": "openai"},
        {"name": "small", "provider": "mistral"},
    ]
    for form in (told, told.to_endpoint()):
        assert json.loads(form.model_dump_json())["destinations"] == models
        assert json.loads(form.model_dump_json())["model"] == models[1]
        assert "sk-" not in f"{form!r} {form.model_dump_json()}"
    assert Route.model_validate(told.model_dump()) == told


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "said"),
    [
        ("provider: openai", "provider: opnai", 7, "destinations.1.model.provider", "did you mean 'openai'?"),
        ("openai_api_key: sk-1", "openai_api_key: $NOT", 10, "destinations.1.model.config.openai_api_key", "'NOT'"),
        ("weight: 3", "weight: -3", 11, "destinations.1.weight", "greater than or equal to 0"),
        ("weight: 3", "weight: .inf", 11, "destinations.1.weight", "finite number"),
        ("priority: 2", "priority: 0", 5, "destinations.0.priority", "greater than 0"),
        (", config: {mistral_api_key: sk-2}", "", 12, "destinations.2.model", "needs a config: with mistral_api_key"),
        ("{model: {provider: offline, name: echo}, priority: 2}", "offline", 5, "destinations.0", "dictionary"),
        ("model: {provider: offline, name: echo}, ", "", 5, "destinations.0.model", "this key is missing"),
        ("destinations:", "model: {provider: offline}\n    destinations:", 5, "destinations", "not both"),
        ("balance: weighted", "balance: fair", 13, "balance", "'weighted', 'least_pending' or 'latency'"),
        ("balance: weighted", "fallback_on: [timeout, luck]", 13, "fallback_on.1", "'failure'"),
        ("name: small", "name: j2", 2, None, "destinations.2.model: ai21labs serves"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_line_and_number(
    write: Write, old: str, new: str, line: int, key: str | None, said: str
) -> None:
    """The destination by its number from 0, as it is over the API."""
    text = SEVERAL.replace(old, new)
    if "j2" in new:
        text = text.replace("mistral", "ai21labs")

    (problem,) = problems(write, text)

    assert problem[:2] == (line, key)
    assert said in problem[2]


@pytest.mark.parametrize(
    "destinations",
    [[], [{"model": {"provider": "offline"}, "weight": 0}]],
)
def test_a_route_whose_calls_go_nowhere_is_refused(destinations: Any) -> None:
    """Without a word of a model, which is not what is missing."""
    with pytest.raises(ConfigError, match="destinations: no call goes to any of these") as wrong:
        load_config(
            {"endpoints": [{"name": "a", "endpoint_type": "llm/v1/chat", "destinations": destinations}]}
        )
    assert len(wrong.value.problems or ()) == 1


def test_no_destinations_are_those_of_a_model() -> None:
    """`null`, as elsewhere, is as if it were not there."""
    route = RouteConfig.model_validate(
        {"name": "a", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}, "destinations": None}
    )

    assert route.placed_models() == [("model", route.model)]


def test_unknown_keys_of_destinations_are_reported(write: Write) -> None:
    """In their settings too: each provider's own are known."""
    text = SEVERAL.replace("weight: 3", "wieght: 3").replace(
        "mistral_api_key: sk-2", "mistral_api_key: x, more: 1"
    )

    found = Document.read(write(text)).unknown_keys()

    assert [(each["line"], each["key"]) for each in found] == [
        (11, "destinations.1.wieght"),
        (12, "destinations.2.model.config.more"),
    ]
    assert "known are model, weight, priority" in found[0]["problem"]
    assert "mistral_api_key" in found[1]["problem"]


def test_a_destination_that_can_t_be_served_is_told_by_its_line(write: Write) -> None:
    """Each by the place of its provider; what concerns the whole route, by the route's."""
    anthropic = "provider: anthropic\n          name: m\n          config: {anthropic_api_key: sk}"
    openai = SEVERAL[SEVERAL.index("provider: openai") : SEVERAL.index("        weight")].rstrip()
    text = SEVERAL.replace("llm/v1/chat", "llm/v1/embeddings").replace(openai, anthropic)
    document = Document.read(write(text))
    config = document.config()
    gateway = Gateway(config)

    (place,) = gateway.misfits(config.routes[0])
    (found,) = document.unserved({"chat": {f"{place}.provider": gateway.unserved()["chat"]}})
    (whole,) = document.unserved({"chat": {"": "no room"}, "other": {"model": "x"}})

    assert (found["line"], found["endpoint"], found["key"]) == (7, "chat", "destinations.1.model.provider")
    assert "'anthropic' has no llm/v1/embeddings" in found["problem"]
    assert (whole["line"], whole["endpoint"], whole["key"]) == (2, "chat", None)
