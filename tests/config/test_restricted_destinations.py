"""Routes that come over the API with several destinations: to each applies what applies to a route's only model."""

from pathlib import Path
from typing import Any

import pytest

from gateway_async.call import Caller
from gateway_async.config import GatewayConfig
from gateway_async.live.hosting import host
from gateway_async.live.restricted import MOST_DESTINATIONS, written_plainly
from gateway_async.live.stored_routes import StoredRoutes, Unsealed
from gateway_async.secrets import secrets_in
from gateway_async.server_config import UpstreamConfig
from tests.config.restricted import problems, read

KEY, OTHER = "sk-of-the-route", "sk-of-the-route-too"
SERVERS, NAME = "sk-of-the-server", "A_KEY_OF_THE_SERVER"
ECHO = {"model": {"provider": "offline", "name": "echo"}}

Json = dict[str, Any]


def to(provider: str, config: Json | None = None, **more: Any) -> Json:
    """A destination."""
    model: Json = {"name": "some-model", "provider": provider}
    return {"model": model if config is None else {**model, "config": config}, **more}


def route(*destinations: Any, **more: Any) -> Json:
    """A route as it comes over the API."""
    return {"name": "mine", "route_type": "llm/v1/chat", "destinations": list(destinations), **more}


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server has a key in a variable, `$A_KEY_OF_THE_SERVER`, and another in this file."""
    monkeypatch.setenv(NAME, SERVERS)
    file = tmp_path / "key.txt"
    file.write_text(SERVERS)
    return file


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("written", [f"${NAME}", "$NOT_SET", "{file}", "/etc/passwd", "./key.txt"])
def test_no_destination_reads_a_key_of_the_server(servers: Path, at: int, written: str) -> None:
    """Wherever it stands among others, and whether there is such a key or not."""
    several = [ECHO, ECHO]
    several.insert(at, to("openai", {"openai_api_key": written.format(file=servers)}))

    said = problems(route(*several))

    assert list(said) == [f"destinations.{at}.model.config.openai_api_key"]
    assert "upstream.allow_secrets" in said.popitem()[1]


@pytest.mark.parametrize(
    ("listed", "provider", "config", "base"),
    [
        ("aws", "bedrock", {"aws_config": {"aws_region": "us-east-1"}}, "bedrock_api_base"),
        ("google", "vertex-ai", {"project": "p", "location": "us"}, "api_base"),
        ("databricks", "databricks", {}, "databricks_api_base"),
    ],
)
def test_no_destination_uses_credentials_that_are_not_listed(
    listed: str, provider: str, config: Json, base: str
) -> None:
    """Those that stand in no setting; listed, they go to the provider's own address only."""
    elsewhere = {**config, base: "https://evil.example"}

    assert (
        "upstream.allow_secrets" in problems(route(ECHO, to(provider, config)))["destinations.1.model.config"]
    )
    read(route(ECHO, to(provider, config)), listed)
    assert list(problems(route(ECHO, to(provider, elsewhere)), listed)) == [
        f"destinations.1.model.config.{base}"
    ]


def test_a_listed_key_goes_nowhere_else_though_another_destination_does(servers: Path) -> None:
    """Each destination is held against the keys that it uses itself."""
    listed = {"openai_api_key": f"${NAME}"}
    own = {"openai_api_key": KEY, "openai_api_base": "https://mine.example"}

    made = read(route(to("openai", listed), to("openai", own)), f"${NAME}")
    said = problems(route(to("openai", own), to("openai", {**own, **listed})), f"${NAME}")

    assert [str(key) for model in made.models() for key in secrets_in(model.config)] == [SERVERS, KEY]
    assert list(said) == ["destinations.1.model.config.openai_api_base"]
    assert "own address" in said.popitem()[1]


def test_a_key_in_a_file_that_goes_away_meanwhile_stays_listed(
    servers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it can't be read any more does not free its destination."""
    config = {"openai_api_key": str(servers), "openai_api_base": "https://evil.example"}
    own, looks = Path.read_text, [True, False]

    def once(path: Path, *arguments: Any) -> str:
        if path == servers and not looks.pop(0):
            raise PermissionError(13, "no more")
        return own(path, *arguments)

    monkeypatch.setattr(Path, "read_text", once)

    assert list(problems(route(ECHO, to("openai", config)), str(servers))) == [
        "destinations.1.model.config.openai_api_base"
    ]
    assert looks == []


def test_settings_of_destinations_may_stand_under_the_provider_s_name() -> None:
    """As those of a route's only model; whatever else comes stays as it is, to be refused."""
    openai = {"provider": "openai", "name": "m", "openai_config": {"openai_api_key": KEY}}

    made = read(route({"model": openai, "weight": 2}, ECHO))

    assert [str(key) for key in secrets_in(made.model.config)] == [KEY]
    assert written_plainly({"destinations": [7, {"model": 7}, {}]}) == {"destinations": [7, {"model": 7}, {}]}
    assert openai["openai_config"] == {"openai_api_key": KEY}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (route(), "destinations"),
        (route(7), "destinations.0"),
        (route(ECHO, {}), "destinations.1.model"),
        (route(ECHO, {**ECHO, "wieght": 3}), "destinations.1.wieght"),
        (route(ECHO, {**ECHO, "weight": -1}), "destinations.1.weight"),
        (route({**ECHO, "weight": 0}), "destinations"),
        (route(ECHO, {**ECHO, "priority": 0}), "destinations.1.priority"),
        (route(ECHO, to("openai", {"openai_api_key": KEY, "more": 1})), "destinations.1.model.config.more"),
        (route(ECHO, to("openai", {"openai_api_key": 7})), "destinations.1.model.config.openai_api_key"),
        (route(ECHO, to("openai")), "destinations.1.model"),
        (route(ECHO, to("nobody", {})), "destinations.1.model.provider"),
        (
            route(ECHO, {"model": {"provider": "openai", "anthropic_config": {}}}),
            "destinations.1.model.anthropic_config",
        ),
        (route(ECHO, **ECHO), "destinations"),
        ({**route(), "destinations": {"0": ECHO}}, "destinations"),
        ({**route(), "destinations": "offline"}, "destinations"),
        ({**route(), "destinations": None}, "model"),
        (route(ECHO, balance="fair"), "balance"),
        (route(ECHO, retry={"atempts": 3}), "retry.atempts"),
        (route(ECHO, breaker={"failures": 0}), "breaker.failures"),
        (route(ECHO, fallback_on=["failure", "boredom"]), "fallback_on.1"),
        (route(*[ECHO] * (MOST_DESTINATIONS + 1)), "destinations"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(document: Json, where: str) -> None:
    """The destination by its number. No value is repeated."""
    said = problems(document)

    assert where in said
    assert KEY not in str(said)


def test_a_model_that_can_t_serve_is_named_by_its_place() -> None:
    """Also where the problem is one of the whole route."""
    said = problems(route(ECHO, to("mosaicml", {"mosaicml_api_key": KEY})))

    assert "destinations.1.model: mosaicml serves chat" in said[""]


def test_a_route_may_have_so_many_destinations() -> None:
    """And each is one."""
    made = read(route(*[ECHO] * MOST_DESTINATIONS))

    assert len(made.models()) == MOST_DESTINATIONS


# --- in the store -----------------------------------------------------------------------------------------------------

STORED = StoredRoutes(Unsealed(), lambda: UpstreamConfig())
SEVERAL = route(
    to("openai", {"openai_api_key": KEY}, weight=3),
    {"model": {"provider": "anthropic", "name": "m", "anthropic_config": {"anthropic_api_key": OTHER}}},
    {**ECHO, "priority": 2},
    balance="latency",
)


def test_settings_of_every_destination_are_sealed() -> None:
    """What is kept in the clear has none; opened, it is the same route."""
    document = {key: value for key, value in SEVERAL.items() if key != "name"}

    kept = STORED.store("mine", document)

    assert KEY not in str(kept.document)
    assert OTHER not in str(kept.document)
    assert "config" not in str(kept.document)
    assert KEY.encode() in kept.sealed
    assert STORED.read(kept) == read(SEVERAL)


def test_each_destination_is_exported_with_variables_of_its_own() -> None:
    """Though two have the same setting; those without a key have none."""
    model = {"provider": "openai", "name": "m", "config": {"openai_api_key": KEY}}
    document = {"endpoint_type": "llm/v1/chat", "destinations": [{"model": model}, ECHO, {"model": model}]}

    exported = STORED.export(STORED.store("my-route", document))

    assert KEY not in str(exported)
    configs = [each["model"].get("config") for each in exported["destinations"]]
    assert configs == [
        {"openai_api_key": "$ROUTE_MY_ROUTE_DESTINATION_1_OPENAI_API_KEY"},
        None,
        {"openai_api_key": "$ROUTE_MY_ROUTE_DESTINATION_3_OPENAI_API_KEY"},
    ]
    assert exported["name"] == "my-route"


MODEL = {"provider": "openai", "name": "m", "config": {"openai_api_key": KEY}}
ONE: Json = {"endpoint_type": "llm/v1/chat", "model": MODEL}
TWO: Json = {"endpoint_type": "llm/v1/chat", "destinations": [{"model": MODEL}, ECHO]}


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (TWO, {"balance": "latency"}, {**TWO, "balance": "latency"}),
        (TWO, {"destinations": [ECHO]}, {**ONE, "model": None, "destinations": [ECHO]}),
        (TWO, {"destinations": [{"model": {"name": "x"}}]}, {**TWO, "destinations": [{"model": {"name": "x"}}]}),
        (TWO, {"model": ECHO["model"]}, {**ONE, **ECHO}),
        (TWO, {"model": {"name": "x"}}, {**ONE, "model": {"name": "x"}}),
        (TWO, {"model": {"name": "x"}, "destinations": None}, {**ONE, "model": {"name": "x"}}),
        (TWO, {"model": None}, TWO),
        (TWO, {"destinations": None}, {**TWO, "destinations": None}),
        (ONE, {"destinations": [ECHO]}, {**TWO, "destinations": [ECHO]}),
        (ONE, {"destinations": [ECHO], "model": None}, {**TWO, "destinations": [ECHO]}),
        (ONE, {"destinations": [ECHO], "model": {"name": "x"}}, {**ONE, "model": {"name": "x"}, "destinations": [ECHO]}),
        (ONE, {"destinations": None}, ONE),
        (ONE, {"destinations": None, "model": {"name": "x"}}, {**ONE, "model": {**MODEL, "name": "x"}}),
        (ONE, {"destinations": []}, {**ONE, "model": None, "destinations": []}),
    ],
)  # fmt: skip
def test_destinations_are_changed_as_one_whole(before: Json, changes: Json, after: Json) -> None:
    """They take the place of a model, and a model takes theirs; no settings pass from the one to the other."""
    merged = STORED.merged(STORED.store("mine", before), changes)

    assert merged == {key: value for key, value in after.items() if value is not None}


async def test_the_audit_log_names_every_destination() -> None:
    """What the route's calls may reach from now on; no setting of it."""
    live, changes = host(GatewayConfig(routes=[]), store=None, path=None, trusted=True)
    try:
        await changes.create_route(SEVERAL, Caller(admin=True))
        await changes.update_route("mine", {"destinations": [ECHO]}, Caller(admin=True))
        updated, created = await live.store.audit.read()
    finally:
        await live.aclose()

    assert created.detail == "llm/v1/chat, openai/some-model, anthropic/m, offline/echo"
    assert updated.detail == "destinations; llm/v1/chat, offline/echo"
