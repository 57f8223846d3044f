"""Where a client finds its gateway: the argument, else what is set for the process, else the environment."""

from typing import Any

import pytest

import gateway_async
import gateway_sync
from gateway_async import AsyncGatewayClient, GatewayError, MlflowException, get_gateway_uri, set_gateway_uri
from gateway_async.address import resolve_route_url
from gateway_sync import MlflowGatewayClient

ARGUMENT, SET, ENVIRONMENT = "http://argument:1", "http://set:2", "http://environment:3"

CLIENTS = [AsyncGatewayClient, MlflowGatewayClient]


@pytest.mark.parametrize("make", CLIENTS)
def test_the_argument_comes_before_what_is_set_before_the_environment(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented order, step by step."""
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", ENVIRONMENT)
    assert make().gateway_uri == ENVIRONMENT

    set_gateway_uri(SET)
    assert make().gateway_uri == SET
    assert make(ARGUMENT).gateway_uri == ARGUMENT
    assert make(gateway_uri=ARGUMENT).gateway_uri == ARGUMENT


@pytest.mark.parametrize("call", [*CLIENTS, get_gateway_uri, gateway_sync.get_gateway_uri])
def test_without_an_address_the_error_says_how_to_set_one(call: Any) -> None:
    """All three ways are named."""
    with pytest.raises(MlflowException) as unset:
        call()

    assert "set_gateway_uri" in unset.value.message
    assert "MLFLOW_GATEWAY_URI" in unset.value.message
    assert "pass" in unset.value.message


def test_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`get_gateway_uri` gives what is set, as it was set; both packages share it."""
    monkeypatch.setenv("MLFLOW_GATEWAY_URI", ENVIRONMENT)
    assert get_gateway_uri() == ENVIRONMENT

    gateway_sync.set_gateway_uri("http://set:2/prefix/")
    assert get_gateway_uri() == gateway_sync.get_gateway_uri() == "http://set:2/prefix/"


@pytest.mark.parametrize(
    "uri", [SET, "https://gateway.example/ai", "databricks", "databricks://profile", "http://[::1]:5"]
)
def test_an_address_with_scheme_and_host_is_taken(uri: str) -> None:
    """Databricks' own addresses too."""
    set_gateway_uri(gateway_uri=uri)

    assert get_gateway_uri() == uri


@pytest.mark.parametrize(
    "uri", ["", "localhost", "localhost:5000", "/path", "http://", "http:///x", "//host", "http://[::1"]
)
@pytest.mark.parametrize("package", [gateway_async, gateway_sync])
def test_an_address_without_scheme_or_host_is_refused(package: Any, uri: str) -> None:
    """The message repeats it and shows how one looks; what was set stays."""
    set_gateway_uri(SET)

    with pytest.raises(GatewayError, match="http://localhost:5000") as refused:
        package.set_gateway_uri(uri)

    assert repr(uri) in refused.value.message
    assert get_gateway_uri() == SET


def test_a_password_in_an_address_is_not_repeated() -> None:
    """An address may hold a user and a password; an error message shows neither."""
    with pytest.raises(GatewayError) as refused:
        set_gateway_uri("somebody:canary@localhost")

    assert "canary" not in str(refused.value)
    assert "'localhost'" in str(refused.value)


@pytest.mark.parametrize(
    ("base", "route_url", "absolute"),
    [
        ("http://host:5000", "/gateway/chat/invocations", "http://host:5000/gateway/chat/invocations"),
        ("http://host:5000/", "/gateway/chat/invocations", "http://host:5000/gateway/chat/invocations"),
        ("https://host/ai", "/gateway/chat/invocations", "https://host/ai/gateway/chat/invocations"),
        ("https://host/ai/", "/ai/gateway/chat/invocations", "https://host/ai/gateway/chat/invocations"),
        (
            "https://host/gateway",
            "/gateway/chat/invocations",
            "https://host/gateway/gateway/chat/invocations",
        ),
        (
            "https://host/gateway",
            "/gateway/gateway/chat/invocations",
            "https://host/gateway/gateway/chat/invocations",
        ),
        ("https://host", "https://other/gateway/chat/invocations", "https://other/gateway/chat/invocations"),
        ("databricks", "https://other/gateway/chat/invocations", "https://other/gateway/chat/invocations"),
        ("databricks", "/gateway/chat/invocations", "/gateway/chat/invocations"),
        ("databricks://profile", "/gateway/chat/invocations", "/gateway/chat/invocations"),
        ("local", "/gateway/chat/invocations", "/gateway/chat/invocations"),
    ],
)
def test_a_route_s_address_is_made_absolute(base: str, route_url: str, absolute: str) -> None:
    """With the gateway's address before it, the prefix of a mount once; what is absolute stays."""
    assert resolve_route_url(base, route_url) == absolute
