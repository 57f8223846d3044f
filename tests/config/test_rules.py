"""What a configuration may say, and what it is told when it says something else: line, endpoint, key, way out."""

import json
from pathlib import Path
from typing import Any

import limits
import pytest
from pydantic import ValidationError

from gateway_async.config import (
    AmazonBedrockConfig,
    AnthropicConfig,
    AWSBaseConfig,
    AWSIdAndKey,
    AWSRole,
    GatewayConfig,
    Limit,
    Model,
    OpenAIAPIType,
    OpenAIConfig,
    Provider,
    RouteConfig,
    RouteType,
)
from gateway_async.config_file import Document, load_config
from gateway_async.errors import ConfigError
from gateway_async.limit_config import period_seconds
from gateway_async.provider_config import PROVIDER_CONFIGS, WITHOUT_CONFIG
from tests.config.conftest import Load, Write

CHAT = """\
endpoints:
  - name: chat
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: gpt-4o-mini
      config:
        openai_api_key: sk-1
"""


def endpoint(**changes: Any) -> dict[str, Any]:
    """A configuration of one endpoint, which needs nothing."""
    entry = {"name": "chat", "endpoint_type": "llm/v1/chat", "model": {"provider": "offline"}, **changes}
    return {"endpoints": [entry]}


def model(provider: str, name: str | None = "m", **config: Any) -> dict[str, Any]:
    """A model."""
    return {"provider": provider, "name": name, "config": config}


def wrong(data: Any) -> ConfigError:
    """The error of a configuration."""
    with pytest.raises(ConfigError) as error:
        load_config(data)
    return error.value


def test_a_file_is_loaded(load: Load) -> None:
    """The documented form."""
    (route,) = load(CHAT + "    limit: {calls: 10, renewal_period: minute}\n").routes

    assert (route.name, route.route_type) == ("chat", RouteType.LLM_V1_CHAT)
    assert (route.model.provider, route.model.name) == (Provider.OPENAI, "gpt-4o-mini")
    assert isinstance(route.model.config, OpenAIConfig)
    assert route.limit == Limit(calls=10, renewal_period="minute")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("routes", "endpoints", CHAT.replace("endpoints:", "routes:")),
        ("route_type", "endpoint_type", CHAT.replace("endpoint_type:", "route_type:")),
    ],
)
def test_an_older_key_loads_and_warns(write: Write, old: str, new: str, text: str) -> None:
    """The warning names the file, the key, and what to write now."""
    path = write(text)
    with pytest.warns(FutureWarning, match=rf"gateway\.yaml: '{old}' is an older key; write '{new}'"):
        config = load_config(path)

    assert config == load_config(write(CHAT))


def test_older_keys_load_from_a_mapping() -> None:
    """Both at once."""
    entry = {"name": "chat", "route_type": "llm/v1/chat", "model": {"provider": "offline"}}
    with pytest.warns(FutureWarning) as caught:
        config = load_config({"routes": [entry]})

    assert len(caught) == 2
    assert config.routes[0].route_type is RouteType.LLM_V1_CHAT


def test_a_configuration_can_be_made_in_python() -> None:
    """By field name or alias; it is taken as it is."""
    route = RouteConfig(name="a", route_type=RouteType.LLM_V1_CHAT, model=Model(provider="offline"))
    config = GatewayConfig(routes=[route])

    assert GatewayConfig.model_validate({"endpoints": [route.model_dump(by_alias=True)]}) == config
    assert load_config(config) is config


@pytest.mark.parametrize("kind", list(RouteType))
def test_every_type_is_known(kind: RouteType) -> None:
    """By its name."""
    assert load_config(endpoint(endpoint_type=kind.value)).routes[0].route_type is kind


@pytest.mark.parametrize("name", ["a", "my-chat.v2_x", "UPPER", "0", "ünïcode", "a" * 200, "..a"])
def test_a_name_that_can_stand_in_an_address_is_taken(name: str) -> None:
    """Letters, digits, '-', '_' and '.'."""
    assert load_config(endpoint(name=name)).routes[0].name == name


@pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "a?", "a#", "a%20", "a\n", "a:b", ".", "..", "é!"])
def test_another_name_is_refused(name: str) -> None:
    """With the name and what may stand there."""
    error = wrong(endpoint(name=name))

    assert error.problems[0]["key"] == "name"
    assert "letters, digits, '-', '_' and '.'" in error.message
    assert repr(name) in error.message


def test_a_name_that_stands_twice_is_refused(write: Write) -> None:
    """On the line of the second."""
    second = CHAT.removeprefix("endpoints:\n")
    error = wrong(write(CHAT + second))

    assert error.problems == [
        {
            "line": 9,
            "endpoint": "chat",
            "key": "name",
            "problem": "two endpoints are named 'chat'; rename or remove one",
        }
    ]


def test_a_name_that_stands_twice_is_refused_in_python_too() -> None:
    """Where there are no lines."""
    route = RouteConfig(name="a", route_type=RouteType.LLM_V1_CHAT, model=Model(provider="offline"))
    with pytest.raises(ValidationError, match="two endpoints are named 'a'"):
        GatewayConfig(routes=[route, route])


@pytest.mark.parametrize(
    ("text", "line", "name", "key", "said"),
    [
        (CHAT.replace("openai\n", "opnai\n"), 5, "chat", "model.provider", "'opnai' is not supported; did you mean 'openai'? there are ai21labs, "),
        (CHAT.replace("v1/chat", "v2/chat"), 3, "chat", "endpoint_type", "'llm/v2/chat' is not supported"),
        (CHAT.replace("v1/chat", "v2/chat"), 3, "chat", "endpoint_type", "'llm/v1/embeddings'"),
        (CHAT.replace("        openai_api_key: sk-1\n", "        {}\n"), 7, "chat", "model.config.openai_api_key", "missing"),
        (CHAT.replace("sk-1", "$NO_SUCH_KEY"), 8, "chat", "model.config.openai_api_key", "'NO_SUCH_KEY' is not set"),
        (CHAT.replace("sk-1", ""), 8, "chat", "model.config.openai_api_key", "a key is a string"),
        (CHAT[: CHAT.index("      config")], 4, "chat", "model", "needs a config: with openai_api_key"),
        (CHAT.replace("name: chat\n", "x: y\n"), 2, "number 1", "name", "missing"),
        (CHAT + "    limit: {calls: 5, renewal_period: fortnight}\n", 9, "chat", "limit", "write 'minute' or '5 minutes'"),
        (CHAT + "    limit:\n      calls: 5\n      renewal_period: 7\n", 11, "chat", "limit.renewal_period", "string"),
        (CHAT + "    limit:\n      calls: many\n      renewal_period: day\n", 10, "chat", "limit.calls", "integer"),
        (CHAT + "    limit:\n      calls: 5\n", 9, "chat", "limit.renewal_period", "missing"),
        (CHAT + "    timeouts:\n      total: 0\n", 10, "chat", "timeouts.total", "greater than 0"),
        (CHAT + "server:\n  max_body_mb: -1\n", 10, None, "server.max_body_mb", "greater than 0"),
        ("server: {}\n", 1, None, "endpoints", "missing"),
        (CHAT + "routes: []\n", 9, None, "routes", "the older name of 'endpoints'"),
        (CHAT + "    route_type: llm/v1/chat\n", 9, "chat", "route_type", "the older name of 'endpoint_type'"),
        (CHAT.replace("openai\n", "[openai]\n"), 5, "chat", "model.provider", "named by a text"),
        (CHAT.replace("llm/v1/chat", "{a: b}"), 3, "chat", "endpoint_type", "a route type is one of"),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_its_line_its_endpoint_and_its_key(
    write: Write, text: str, line: int, name: str | None, key: str, said: str
) -> None:
    """For a person in the message, for machines in `problems`."""
    path = write(text)
    error = wrong(path)

    (problem,) = error.problems
    assert (problem["line"], problem["endpoint"], problem["key"]) == (line, name, key)
    assert said in problem["problem"]
    assert f"{path}:{line}: " in error.message
    assert key in error.message
    assert name is None or f"endpoint {name!r}" in error.message
    assert (error.status, error.error_code) == (400, "INVALID_PARAMETER_VALUE")


def test_every_problem_is_told_at_once(write: Write) -> None:
    """One line each."""
    text = CHAT.replace("openai\n", "opnai\n").replace("v1/chat", "v2/chat").replace("chat\n", "cha t\n", 1)
    error = wrong(write(text))

    assert [problem["key"] for problem in error.problems] == ["name", "endpoint_type", "model.provider"]
    assert len(error.message.splitlines()) == 3


def test_a_mapping_has_no_lines() -> None:
    """Its problems are told without."""
    error = wrong(endpoint(endpoint_type="nonsense"))

    assert error.problems[0]["line"] is None
    assert error.message.startswith("configuration: endpoint 'chat', endpoint_type: ")


@pytest.mark.parametrize("source", [[], "text", 5, [endpoint()]])
def test_what_is_no_mapping_is_refused(source: Any) -> None:
    """Also where somebody does without types."""
    assert "a configuration is a mapping or a file's path" in wrong(source).message


@pytest.mark.parametrize(
    "period", ["minute", "5 minutes", "hour", "2 hours", "day", "SECOND", "12 months", "year"]
)
def test_a_period_in_the_notation_of_limits_is_taken(period: str) -> None:
    """A granularity, or several of it."""
    limit = load_config(endpoint(limit={"calls": 0, "renewal_period": period, "key": "user"})).routes[0].limit

    assert limit == Limit(calls=0, renewal_period=period, key="user")


@pytest.mark.parametrize("count", ["", "1", "2 ", "  30   ", "999999"])
@pytest.mark.parametrize("unit", ["second", "minute", "hour", "day", "month", "year"])
@pytest.mark.parametrize("written", ["{}", "{}s", "  {}  "])
def test_a_period_is_as_long_as_for_limits(count: str, unit: str, written: str) -> None:
    """Whose notation it is, and which counts in Redis."""
    period = count + written.format(unit)

    assert (
        period_seconds(period) == period_seconds(period.upper()) == limits.parse(f"1/{period}").get_expiry()
    )


@pytest.mark.parametrize(
    "limit",
    [
        {"calls": 5, "renewal_period": "fortnight"},
        {"calls": 5, "renewal_period": ""},
        {"calls": 5, "renewal_period": "0 minutes"},
        {"calls": 5, "renewal_period": "-1 minutes"},
        {"calls": 5, "renewal_period": "minute; 5/second"},
        {"calls": 5, "renewal_period": "9" * 5000 + " minutes"},
        {"calls": -1, "renewal_period": "minute"},
        {"calls": 1.5, "renewal_period": "minute"},
        {"calls": 5, "renewal_period": "minute", "key": "moon"},
        {"calls": 5},
        {"renewal_period": "minute"},
        {},
        [],
        "5/minute",
        5,
    ],
)  # fmt: skip
def test_a_limit_that_can_not_be_kept_is_refused(limit: Any) -> None:
    """Under its own key, in a message of a sane length."""
    error = wrong(endpoint(limit=limit))

    assert all(problem["key"].startswith("limit") for problem in error.problems)
    assert len(error.message) < 400


@pytest.mark.parametrize("written", ["openai", "OPENAI", "OpenAI", "Azure", "AZURE", "AzureAD", "azuread"])
def test_the_kind_of_openai_is_read_in_any_case(written: str) -> None:
    """As mlflow reads it."""
    azure = {"openai_api_base": "https://x", "openai_deployment_name": "d", "openai_api_version": "v"}
    more = {} if written.lower() == "openai" else azure
    settings = OpenAIConfig.model_validate({"openai_api_key": "k", "openai_api_type": written, **more})

    assert settings.openai_api_type is OpenAIAPIType(written.lower())


def test_openai_has_a_base_of_its_own() -> None:
    """Without one, OpenAI's."""
    assert OpenAIConfig(openai_api_key="k").openai_api_base == "https://api.openai.com/v1"
    assert OpenAIConfig(openai_api_key="k", openai_api_base="https://x").openai_api_base == "https://x"
    assert OpenAIConfig(openai_api_key="k", openai_organization="o").openai_organization == "o"


@pytest.mark.parametrize("kind", ["azure", "azuread"])
@pytest.mark.parametrize("absent", ["openai_api_base", "openai_deployment_name", "openai_api_version"])
def test_azure_needs_base_deployment_and_version(kind: str, absent: str) -> None:
    """Each is named when it is missing."""
    settings = {"openai_api_base": "https://x", "openai_deployment_name": "d", "openai_api_version": "v"}
    del settings[absent]
    error = wrong(endpoint(model=model("openai", openai_api_key="k", openai_api_type=kind, **settings)))

    assert f"openai_api_type '{kind}' needs {absent} too" in error.message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"openai_deployment_name": "d"}, "openai_deployment_name goes with openai_api_type 'azure' or 'azuread'"),
        (
            {
                "openai_api_type": "azure",
                "openai_api_base": "https://x",
                "openai_deployment_name": "d",
                "openai_api_version": "v",
                "openai_organization": "o",
            },
            "openai_organization goes with openai_api_type 'openai', not 'azure'",
        ),
        ({"openai_api_type": "bing"}, "openai_api_type 'bing' is not known; it is one of 'openai', 'azure', 'azuread'"),
    ],
)  # fmt: skip
def test_settings_of_openai_and_azure_are_not_mixed(settings: dict[str, str], said: str) -> None:
    """The message says which goes with which."""
    assert said in wrong(endpoint(model=model("openai", openai_api_key="k", **settings))).message


@pytest.mark.parametrize("name", ["llama2-70b-chat", "Llama2"])
def test_mosaicml_serves_chat_with_llama2(name: str) -> None:
    """In any case."""
    assert load_config(endpoint(model=model("mosaicml", name, mosaicml_api_key="k"))).routes


@pytest.mark.parametrize("name", ["mpt-7b", "", None])
def test_mosaicml_serves_chat_with_nothing_else(name: str | None) -> None:
    """Completions it does."""
    other = model("mosaicml", name, mosaicml_api_key="k")

    assert "llama2" in wrong(endpoint(model=other)).message
    assert load_config(endpoint(model=other, endpoint_type="llm/v1/completions")).routes


@pytest.mark.parametrize("name", ["j2-ultra", "j2-mid", "j2-light", "jamba-large", "jamba-1.5-mini"])
def test_ai21_serves_its_models(name: str) -> None:
    """The documented three, and today's."""
    settings = model("ai21labs", name, ai21labs_api_key="k")

    assert load_config(endpoint(model=settings, endpoint_type="llm/v1/completions")).routes


@pytest.mark.parametrize("name", ["j2-grande", "gpt-4o", "", None])
def test_ai21_serves_no_other_model(name: str | None) -> None:
    """The message names those that it does."""
    settings = model("ai21labs", name, ai21labs_api_key="k")

    assert "'j2-ultra', 'j2-mid', 'j2-light'" in wrong(endpoint(model=settings)).message


@pytest.mark.parametrize("provider", sorted(set(PROVIDER_CONFIGS) - WITHOUT_CONFIG))
@pytest.mark.parametrize("spelling", [str, str.upper, lambda name: name.replace("-", "_")])
def test_a_provider_without_its_settings_is_refused(provider: str, spelling: Any) -> None:
    """However its name is written; what it needs is named."""
    error = wrong(endpoint(model={"provider": spelling(provider), "name": "m"}))
    needed = [name for name, field in PROVIDER_CONFIGS[provider].model_fields.items() if field.is_required()]

    assert f"the provider '{provider}' needs a config: with {', '.join(needed)}" in error.message


@pytest.mark.parametrize("provider", sorted(WITHOUT_CONFIG))
def test_some_providers_need_no_settings(provider: str) -> None:
    """What they need comes from elsewhere."""
    assert load_config(endpoint(model={"provider": provider, "name": "m"})).routes


def test_settings_of_another_provider_are_refused() -> None:
    """Where they are given as an object."""
    with pytest.raises(ValidationError, match="'openai' takes OpenAIConfig, not AnthropicConfig"):
        Model(provider="openai", config=AnthropicConfig(anthropic_api_key="k"))


def test_a_provider_of_the_pages_is_a_member_and_another_a_name() -> None:
    """In any spelling."""
    assert Model.model_validate(
        {"provider": "TogetherAI", "config": {"togetherai_api_key": "k"}}
    ).provider is (Provider.TOGETHERAI)
    assert Model(provider="offline").provider == "offline"
    assert Provider.values() >= {"openai", "anthropic", "databricks-model-serving"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, AWSBaseConfig),
        ({"aws_region": "eu-west-1"}, AWSBaseConfig),
        ({"aws_role_arn": "arn"}, AWSRole),
        ({"aws_role_arn": "arn", "session_length_seconds": 60, "aws_region": "x"}, AWSRole),
        ({"aws_access_key_id": "i", "aws_secret_access_key": "s"}, AWSIdAndKey),
        ({"aws_access_key_id": "i", "aws_secret_access_key": "s", "aws_session_token": "t"}, AWSIdAndKey),
        (AWSRole(aws_role_arn="arn"), AWSRole),
        (AWSIdAndKey(aws_access_key_id="i", aws_secret_access_key="s"), AWSIdAndKey),
        (AWSBaseConfig(), AWSBaseConfig),
    ],
)  # fmt: skip
def test_aws_credentials_are_known_by_their_keys(given: Any, kind: type[AWSBaseConfig]) -> None:
    """A role, a pair, or whatever the environment has."""
    assert type(AmazonBedrockConfig(aws_config=given).aws_config) is kind


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"aws_access_key_id": "i"}, "aws_secret_access_key"),
        ({"aws_access_key_id": "i", "aws_secret_access_key": ["s"]}, "aws_secret_access_key"),
        ({"session_length_seconds": 60}, "aws_role_arn"),
        ({"aws_role_arn": 5}, "aws_role_arn"),
    ],
)  # fmt: skip
def test_aws_credentials_with_a_mistake_are_not_taken_for_others(given: dict[str, Any], key: str) -> None:
    """Half a pair does not fall back to the environment's credentials."""
    settings = model("bedrock", aws_config=given)
    (problem,) = wrong(endpoint(model=settings, endpoint_type="llm/v1/completions")).problems

    assert problem["key"] == f"model.config.aws_config.{key}"


def test_unknown_keys_are_reported_with_their_place(write: Write) -> None:
    """They are ignored, as documented, and most likely misspelt: each with what is known there."""
    text = """\
        endpoint: []
        endpoints:
          - name: chat
            limitz: []
            endpoint_type: llm/v1/chat
            model:
              provider: OpenAI
              nmae: gpt
              config:
                openai_api_key: sk-1
                openai_api_bse: x
            limit: {calls: 1, renewal_period: minute, keys: user}
            timeouts: {totl: 5}
          - name: bedrock
            endpoint_type: llm/v1/completions
            model: {provider: bedrock, name: x, config: {aws_config: {aws_regoin: y}}}
        server: {max_body: 5}
    """
    document = Document.read(write(text))
    document.config()
    found = document.unknown_keys()

    assert [(p["line"], p["endpoint"], p["key"]) for p in found] == [
        (1, None, "endpoint"),
        (4, "chat", "limitz"),
        (8, "chat", "model.nmae"),
        (11, "chat", "model.config.openai_api_bse"),
        (12, "chat", "limit.keys"),
        (13, "chat", "timeouts.totl"),
        (16, "bedrock", "model.config.aws_config.aws_regoin"),
        (17, None, "server.max_body"),
    ]
    assert "known are endpoints, server" in found[0]["problem"]
    assert "aws_secret_access_key" in found[6]["problem"]


def test_nothing_is_reported_where_all_is_known(write: Write) -> None:
    """Older keys are known; a provider that nobody knows has no known settings."""
    assert Document.read(write(CHAT)).unknown_keys() == []
    old = Document.read(write(CHAT.replace("endpoint_type", "route_type").replace("endpoints:", "routes:")))
    assert old.unknown_keys() == []
    assert old.old_keys() == ["routes", "route_type"]
    assert Document.read(write(CHAT.replace("openai\n", "opnai\n"))).unknown_keys() == []


def test_a_route_is_told_without_its_settings() -> None:
    """What a client sees of a configured route."""
    config = load_config(
        endpoint(model=model("openai", openai_api_key="canary"), limit={"calls": 1, "renewal_period": "day"})
    )
    route = config.routes[0].to_route()

    assert json.loads(route.model_dump_json()) == {
        "name": "chat",
        "route_type": "llm/v1/chat",
        "model": {"name": "m", "provider": "openai"},
        "route_url": "/gateway/chat/invocations",
        "limit": {"calls": 1, "key": None, "renewal_period": "day"},
    }
    assert json.loads(route.to_endpoint().model_dump_json()) == {
        "name": "chat",
        "endpoint_type": "llm/v1/chat",
        "model": {"name": "m", "provider": "openai"},
        "endpoint_url": "/gateway/chat/invocations",
        "limit": {"calls": 1, "key": None, "renewal_period": "day"},
    }


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And a folder, and a name that can be none."""
    assert str(tmp_path / "none.yaml") in wrong(tmp_path / "none.yaml").message
    assert str(tmp_path) in wrong(tmp_path).message
    assert "null" in wrong(Path("a\0b")).message
