"""Configuration as a typed program makes and reads it. Checked, not run."""

from typing import assert_type

from starlette.applications import Starlette
from starlette.routing import Mount

from gateway_async.base_models import ConfigModel
from gateway_async.config import (
    GatewayConfig,
    Limit,
    Model,
    OpenAIAPIType,
    OpenAIConfig,
    Provider,
    Route,
    RouteType,
)
from gateway_server import GatewayApp, create_app, lifespan


def read(config: GatewayConfig) -> None:
    """What a loaded configuration holds."""
    route = config.routes[0]
    assert_type(route.route_type, RouteType)
    assert_type(route.model, Model)
    assert_type(route.model.provider, str | Provider)
    assert_type(route.model.config, ConfigModel | None)
    assert_type(route.limit, Limit | None)
    assert_type(route.to_route(), Route)
    assert_type(route.to_route().to_endpoint().endpoint_url, str)
    assert_type(Provider.values(), set[str])


def write() -> None:
    """Settings made in Python."""
    settings = OpenAIConfig(openai_api_key="$OPENAI_API_KEY", openai_api_type=OpenAIAPIType.OPENAI)
    assert_type(settings.openai_api_key, str)
    Model(name="gpt", provider="openai", config=settings)
    Limit(calls=5, renewal_period="minute", key="user")


def mount(config: GatewayConfig) -> Starlette:
    """The app in somebody's service."""
    gateway = create_app(config)
    assert_type(gateway, GatewayApp)
    create_app("gateway.yaml", access_log=True)
    return Starlette(routes=[Mount("/ai", app=gateway)], lifespan=lifespan(gateway))


def wrong() -> None:
    """What a type checker must find."""
    OpenAIConfig()  # type: ignore[call-arg]
    Limit(calls=5)  # type: ignore[call-arg]
    create_app(5)  # type: ignore[arg-type]
