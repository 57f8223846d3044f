"""Nobody but who configures a route says where its requests go: not a caller, and not the name of a model."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from gateway_async.config import AWSBaseConfig, Model, RouteType, VertexAIConfig
from gateway_async.credentials.aws import Signer
from gateway_async.errors import ConfigError, GatewayError
from gateway_async.http1 import Origin, head
from gateway_async.provider_config import PROVIDER_CONFIGS
from gateway_async.providers import get_provider
from gateway_async.providers._base import Responder
from tests.providers.cases import CASES, Case
from tests.support.configs import Json

HOSTILE = (
    "../../admin",
    "..",
    ".",
    "x/../../admin",
    "..%2f..%2fadmin",
    "%2e%2e",
    "x?key=1",
    "x#",
    "x\\..\\admin",
    "@evil.example",
    ":80@evil.example/",
    "//evil.example/",
    "https://evil.example/",
    "x\r\nHost: evil.example",
    "x HTTP/1.1\r\n\r\nGET /admin",
    "x\x00",
    "．．／admin",
)
"""Names of models that would lead elsewhere."""

NAMES = (
    *(
        "api_base",
        "base_url",
        "endpoint",
        "host",
        "url",
        "path",
        "proxy",
        "query",
        "extra_query",
        "extra_headers",
    ),
    *(
        "headers",
        "extra_body",
        "organization",
        "api_version",
        "anthropic_version",
        "anthropic_beta",
        "deployment",
    ),
    *(
        "region",
        "aws_region",
        "project",
        "location",
        "workspace",
        "api_key",
        "model_id",
        "engine",
        "guardrailConfig",
    ),
)
"""Parameters that other gateways and clients take for a part of the address or of the headers."""

VALUES: tuple[Any, ...] = (
    "https://evil.example/\r\nx-evil: 1",
    {"x-evil": "1\r\nx: 2", "Host": "evil.example", "Authorization": "Bearer stolen"},
)


def of_each_provider_and_kind() -> Iterator[Case]:
    """A case of each form of each provider's requests."""
    seen = set()
    for case in CASES.values():
        form = (case.provider, case.kind, case.streams, case.model.get("name"))
        if form not in seen and not case.fails:
            seen.add(form)
            yield case


OF_EACH_FORM = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in of_each_provider_and_kind()]
)


@OF_EACH_FORM
def test_a_callers_parameters_reach_neither_address_nor_headers(case: Case) -> None:
    """Whatever a request holds, it goes where it would go without, with the same headers; or it is refused."""
    adapter, data = case.adapter(), case.data()
    own = adapter.request(data, stream=case.streams)
    texts = dict.fromkeys(("user", "stop", "suffix", "service_tier", "prompt_cache_key"), VALUES[0])

    for name, value in [*((name, value) for name in NAMES for value in VALUES), *texts.items()]:
        with suppress(GatewayError):
            made = adapter.request({**data, name: value}, stream=case.streams)
            assert made.url == own.url, name
            assert made.headers == own.headers, name
            assert made.method == own.method


def sent(case: Case, model: Mapping[str, Any]) -> tuple[Origin, str, list[str]]:
    """Where the request of a case's route with another model goes, its path, and the names of its headers."""
    bound = get_provider(case.provider).bind(Model.model_validate(model), case.route_type)
    assert not isinstance(bound, Responder)
    request = bound.request(case.data(), stream=case.streams)
    url = request.url if "://" in request.url else f"https://workspace.example{request.url}"
    origin, lines = head(request.method, url, tuple(request.headers.items()))
    first, *headers = lines.decode("latin-1").split("\r\n")
    return origin, first.split(" ")[1], [line.partition(":")[0] for line in headers]


def with_name(case: Case, name: str) -> Json:
    """The model of a case by another name, which is its deployment's too."""
    config = case.model.get("config") or {}
    deployment = {"openai_deployment_name": name} if "openai_deployment_name" in config else {}
    return {**case.model, "name": name, "config": {**config, **deployment}}


def tried(case: Case, names: Iterable[str]) -> Iterator[tuple[str, tuple[Origin, str, list[str]]]]:
    """What is sent for models of these names, as far as there can be such."""
    for name in names:
        with suppress(GatewayError):
            yield name, sent(case, with_name(case, name))


def parts_of(path: str) -> list[str]:
    """The parts of a path, and last its query."""
    before, _, query = path.partition("?")
    return [*before.split("/"), query]


@OF_EACH_FORM
def test_a_models_name_is_one_part_of_the_path(case: Case) -> None:
    """Host, the other parts of the path, query and headers are those of harmless names; or the route is refused."""
    harmless = {str(each.model.get("name")) for each in CASES.values() if each.provider == case.provider} | {
        "x"
    }
    own = [known for _, known in tried(case, harmless)]

    for name, (origin, path, headers) in tried(case, [a + b for a in ("", *harmless) for b in HOSTILE]):
        parts = parts_of(path)
        assert not {".", ".."} & set(parts), name
        assert any(
            origin == known[0]
            and headers == known[2]
            and len(parts) == len(parts_of(known[1]))
            and sum(one != other for one, other in zip(parts, parts_of(known[1]), strict=True)) <= 1
            for known in own
        ), (name, path)


@pytest.mark.parametrize("version", ["x&key=1", "x#", "x/../", "x\r\nx-evil: 1", "é"])
def test_azures_version_is_one_value_of_the_query(version: str) -> None:
    """Whatever stands in it."""
    case = CASES["openai/chat_azure"]
    config = {**case.model["config"], "openai_api_version": version}

    _, path, headers = sent(case, {**case.model, "config": config})

    assert urlsplit(path).query.count("&") == urlsplit(path).query.count("#") == 0
    assert "x-evil" not in headers
    assert "/openai/deployments/" in path


@pytest.mark.parametrize(
    "setting",
    [
        *(
            {"project": "p", "location": place}
            for place in ("evil.example/", "x@evil.example", "a:80", "..", "", "é", "x\n")
        ),
        *(
            {"location": "us", "project": name}
            for name in ("..", ".", "p/../x", "p?x", "p#", "", "é", "x\n", "a/b")
        ),
    ],
)
def test_vertex_takes_no_place_that_is_another_address(setting: dict[str, str]) -> None:
    """Project and location stand in the address."""
    with pytest.raises(ValidationError):
        VertexAIConfig.model_validate({"api_key": "x", **setting})


@pytest.mark.parametrize(
    "region",
    [
        *(
            "us-east-1",
            "cn-north-1",
            "evil",
            "evil.example/",
            "x@evil.example",
            "a:80",
            "..",
            "é",
            "x\n",
            "x#",
        ),
        *("-a", "//evil.example", "us-east-1.evil.example?", "us-east-1\r\nHost: evil.example"),
    ],
)
def test_bedrock_asks_hosts_of_aws_only(region: str) -> None:
    """Whatever region is named, which stands in the name of the host; or the route is refused."""
    with suppress(ConfigError):
        base = Signer("bedrock", AWSBaseConfig(aws_region=region)).endpoint("bedrock-runtime")
        origin, _ = head("POST", base, ())
        assert origin.host.startswith("bedrock-runtime.")
        assert origin.host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


@pytest.mark.parametrize("setting", ["openai_organization", "anthropic_version"])
def test_a_setting_in_a_header_is_one_line(setting: str) -> None:
    """The request is not sent."""
    case = CASES["openai/chat" if setting.startswith("openai") else "anthropic/chat"]
    config = {**case.model["config"], setting: "x\r\nx-evil: 1"}

    with pytest.raises(ValueError, match="line end"):
        sent(case, {**case.model, "config": config})


def test_every_provider_is_tried_here() -> None:
    """But for the one that answers by itself."""
    tried = {case.provider for case in of_each_provider_and_kind()}

    assert PROVIDER_CONFIGS.keys() - {"offline"} == tried
    assert {RouteType(case.kind) for case in of_each_provider_and_kind()} == set(RouteType)
