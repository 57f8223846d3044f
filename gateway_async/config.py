"""The configuration of a gateway, and what a client is told of it: routes, models, limits.

Names, fields and defaults are those of the documented `mlflow.gateway.config`. Reading a file, and saying which
line of it is wrong, is `config_file`'s.
"""

import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from gateway_async.base_models import ConfigModel, ResponseModel
from gateway_async.limit_config import Limit, LimitsConfig, check_limit
from gateway_async.model_config import (
    UNKNOWN,
    Destination,
    Model,
    ModelInfo,
    RouteType,
    check_model_name,
    with_needed_settings,
)
from gateway_async.provider_config import (
    AI21LabsConfig,
    AmazonBedrockConfig,
    AnthropicConfig,
    AWSBaseConfig,
    AWSIdAndKey,
    AWSRole,
    CohereConfig,
    DatabricksConfig,
    GeminiConfig,
    HuggingFaceTextGenerationInferenceConfig,
    MistralConfig,
    MlflowModelServingConfig,
    MosaicMLConfig,
    OfflineConfig,
    OpenAIAPIType,
    OpenAICompatibleConfig,
    OpenAIConfig,
    PaLMConfig,
    Provider,
    TogetherAIConfig,
    VertexAIConfig,
)
from gateway_async.provider_names import plain_name
from gateway_async.server_config import KeyConfig, ServerConfig, UpstreamConfig
from gateway_async.traffic_config import (
    Balance,
    BreakerConfig,
    ConcurrencyConfig,
    FallbackReason,
    RetryConfig,
    TimeoutsConfig,
)

__all__ = [
    "AI21LabsConfig",
    "AWSBaseConfig",
    "AWSIdAndKey",
    "AWSRole",
    "AliasedConfigModel",
    "AmazonBedrockConfig",
    "AnthropicConfig",
    "BreakerConfig",
    "CohereConfig",
    "ConcurrencyConfig",
    "DatabricksConfig",
    "Destination",
    "Endpoint",
    "GatewayConfig",
    "GeminiConfig",
    "HuggingFaceTextGenerationInferenceConfig",
    "KeyConfig",
    "Limit",
    "LimitsConfig",
    "MistralConfig",
    "MlflowModelServingConfig",
    "Model",
    "ModelInfo",
    "MosaicMLConfig",
    "OfflineConfig",
    "OpenAIAPIType",
    "OpenAICompatibleConfig",
    "OpenAIConfig",
    "PaLMConfig",
    "Provider",
    "RetryConfig",
    "Route",
    "RouteConfig",
    "RouteModelInfo",
    "RouteType",
    "ServerConfig",
    "TimeoutsConfig",
    "TogetherAIConfig",
    "UpstreamConfig",
    "VertexAIConfig",
]

ROUTE_BASE = "/gateway/"
QUERY_SUFFIX = "/invocations"
"""A route is called at `/gateway/{name}/invocations`."""


class AliasedConfigModel(ConfigModel):
    """Configuration whose fields may be written by their older names."""

    model_config = ConfigDict(populate_by_name=True)


class RouteConfig(AliasedConfigModel):
    """A route as it is configured."""

    name: str
    route_type: RouteType = Field(alias="endpoint_type")
    model: Model
    """The model behind it; where there are several destinations, the first of those that are asked first."""

    destinations: list[Destination] | None = None
    """Several models that answer for each other, in the place of `model`."""

    balance: Balance = "weighted"
    """How calls are spread over destinations of one priority."""

    fallback_on: list[FallbackReason] = ["failure", "timeout", "rate_limit"]  # noqa: RUF012 - pydantic copies it
    """Why a call goes to the next destination."""

    retry: RetryConfig | None = None
    """Trying again on the same destination; absent: not done."""

    breaker: BreakerConfig | None = None
    """When a destination is left alone; absent: as by default where there are several, never where there is one."""

    concurrency: ConcurrencyConfig | None = None
    """How many calls may be under way at once; absent: any number."""

    limit: Limit | None = None
    limits: list[Limit] | None = None
    """Several limits; with `limit`, all of them hold."""

    on_store_failure: Literal["allow", "deny"] = "allow"
    """What becomes of a call whose limits can't be counted because the counters do not answer."""

    timeouts: TimeoutsConfig = TimeoutsConfig()
    drop_unsupported: bool = False
    """Leave out a parameter that the provider has nothing for, and say so in a header, instead of refusing it."""

    @field_validator("name")
    @classmethod
    def validate_endpoint_name(cls, route_name: str) -> str:
        r"""The name, once it can stand in an address: `[\w\-\.]+`."""
        if not re.fullmatch(r"[\w\-\.]+", route_name) or set(route_name) == {"."}:
            raise ValueError(f"{route_name!r} is no name for a route; use letters, digits, '-', '_' and '.'")
        return route_name

    @model_validator(mode="before")
    @classmethod
    def validate_model_or_destinations(cls, data: Any) -> Any:
        """The data with a model to be replaced, where there are destinations in its place."""
        if isinstance(data, dict) and data.get("destinations") is not None and data.get("model") is None:
            return {**data, "model": UNKNOWN}
        return data

    @field_validator("destinations")
    @classmethod
    def validate_destinations(
        cls, destinations: list[Destination] | None, values: ValidationInfo
    ) -> list[Destination] | None:
        """The destinations, once there is one to call, and no model beside them.

        Raises:
            ValueError: There is none; or there is a model.
        """
        if destinations is None:
            return None
        if not any(each.weight for each in destinations):
            raise ValueError("no call goes to any of these; name a destination, with a weight above 0")
        if values.data.get("model", UNKNOWN) is not UNKNOWN:
            raise ValueError("a route has a model or destinations, not both; remove one of them")
        return destinations

    @field_validator("model")
    @classmethod
    def validate_model(cls, model: Model) -> Model:
        """The model, once a provider that needs settings has them.

        Raises:
            ValueError: It has none.
        """
        return with_needed_settings(model)

    @classmethod
    def validate_route_type_and_model_name(cls, values: "RouteConfig") -> "RouteConfig":
        """The route, once its model can serve its type.

        Raises:
            ValueError: It can't.
        """
        for place, model in values.placed_models():
            try:
                check_model_name(model, values.route_type)
            except ValueError as problem:
                raise ValueError(f"{place}: {problem}") from None
        return values

    def model_post_init(self, context: Any, /) -> None:
        """Check what needs two fields at once."""
        if self.destinations:
            first = min((each for each in self.destinations if each.weight), key=lambda each: each.priority)
            self.model = first.model
        self.validate_route_type_and_model_name(self)

    @field_validator("route_type", mode="before")
    @classmethod
    def validate_route_type(cls, value: Any) -> Any:
        """The type, once it is one of the three."""
        kinds = ", ".join(repr(kind.value) for kind in RouteType)
        if not isinstance(value, str):
            raise ValueError(f"a route type is one of {kinds}")
        if value not in {kind.value for kind in RouteType}:
            raise ValueError(f"the route type {value!r} is not supported; it is one of {kinds}")
        return value

    @field_validator("limit", mode="before")
    @classmethod
    def validate_limit(cls, value: Any) -> Any:
        """The limit, once its period can be understood."""
        if value:
            check_limit(Limit.model_validate(value))
        return value

    @field_validator("limits")
    @classmethod
    def validate_limits(cls, limits: list[Limit] | None) -> list[Limit] | None:
        """The limits, once their periods can be understood."""
        for limit in limits or ():
            check_limit(limit)
        return limits

    def targets(self) -> list[Destination]:
        """Where its calls may go: its destinations, or its one model as the only one."""
        return self.destinations or [Destination.model_construct(model=self.model)]

    def models(self) -> list[Model]:
        """Every model behind it."""
        return [target.model for target in self.targets()]

    def placed_models(self) -> list[tuple[str, Model]]:
        """Every model behind it, each with where it stands: `model`, or `destinations.0.model`."""
        if not self.destinations:
            return [("model", self.model)]
        return [(f"destinations.{index}.model", each.model) for index, each in enumerate(self.destinations)]

    def all_limits(self) -> list[Limit]:
        """Every limit that holds for the route, the single one first."""
        return [*([self.limit] if self.limit else []), *(self.limits or ())]

    def to_route(self) -> "Route":
        """What a client is told of this route."""
        return Route(
            name=self.name,
            route_type=self.route_type.value,
            model=_told(self.model),
            route_url=f"{ROUTE_BASE}{self.name}{QUERY_SUFFIX}",
            limit=next(iter(self.all_limits()), None),
            destinations=[_told(each) for each in self.models()] if self.destinations else None,
        )


def _told(model: Model) -> "RouteModelInfo":
    return RouteModelInfo(name=model.name, provider=plain_name(model.provider))


class RouteModelInfo(ResponseModel):
    """The model of a route, as a client is told. The provider may be one that the client does not know."""

    model_config = ConfigDict(extra="ignore")

    name: str | None = None
    provider: str


def _where_there_are(self: BaseModel, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """What is told of a route, without `destinations` where it has one model: then it is as documented."""
    written: dict[str, Any] = write(self)
    return {key: value for key, value in written.items() if key != "destinations" or value is not None}


_ROUTE_EXAMPLE: dict[str, Any] = {
    "example": {
        "name": "openai-completions",
        "route_type": "llm/v1/completions",
        "model": {"name": "gpt-4o-mini", "provider": "openai"},
        "route_url": "/gateway/routes/completions/invocations",
    }
}


class Route(ConfigModel):
    """A route, as a client is told of it."""

    model_config = ConfigDict(json_schema_extra=_ROUTE_EXAMPLE)

    name: str
    route_type: str
    model: RouteModelInfo
    route_url: str
    limit: Limit | None = None
    destinations: list[RouteModelInfo] | None = None
    """The models that answer for each other, where there are several; `model` is one of them."""

    _write = model_serializer(mode="wrap")(_where_there_are)

    def to_endpoint(self) -> "Endpoint":
        """The same under the newer names."""
        return Endpoint(
            name=self.name,
            endpoint_type=self.route_type,
            model=self.model,
            endpoint_url=self.route_url,
            limit=self.limit,
            destinations=self.destinations,
        )


# The documented name of the schema's example. As a class in the body pydantic would take it for its old settings.
setattr(Route, "Config", SimpleNamespace(json_schema_extra=_ROUTE_EXAMPLE))  # noqa: B010 - mypy knows no such field


class Endpoint(ResponseModel):
    """A route under the newer names."""

    name: str
    endpoint_type: str
    model: RouteModelInfo
    endpoint_url: str
    limit: Limit | None = None
    destinations: list[RouteModelInfo] | None = None

    _write = model_serializer(mode="wrap")(_where_there_are)


class GatewayConfig(AliasedConfigModel):
    """All that a gateway is told by its file."""

    routes: list[RouteConfig] = Field(alias="endpoints")
    server: ServerConfig = ServerConfig()
    store: str | None = Field(default=None, repr=False)  # a password may stand in it
    """Where routes, limits and keys made at run time are kept: `sqlite:///file.db` or `postgresql://…`."""

    counters: str | None = Field(default=None, repr=False)  # here too
    """Where limits are counted: `redis://…`; without it in the memory of this machine."""

    api_keys: list[KeyConfig] = Field(alias="keys", default=[])
    """Keys that let callers in, beside those that the store holds."""

    upstream: UpstreamConfig = UpstreamConfig()

    @model_validator(mode="after")
    def validate_names(self) -> "GatewayConfig":
        """The configuration, once no two routes have one name, and no two keys."""
        _check_unique("endpoints", [route.name for route in self.routes])
        _check_unique("keys", [key.name for key in self.api_keys])
        return self


def _check_unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {kind} are named {name!r}; rename or remove one")
        seen.add(name)
