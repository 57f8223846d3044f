"""The configuration of a gateway, and what a client is told of it: routes, models, limits.

Names, fields and defaults are those of the documented `mlflow.gateway.config`. Reading a file, and saying which
line of it is wrong, is `config_file`'s.
"""

import re
from collections.abc import Iterable
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PositiveFloat,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gateway_async.base_models import ConfigModel, ResponseModel
from gateway_async.limit_config import Limit, LimitsConfig, check_limit
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
from gateway_async.provider_names import needed_settings, plain_name, provider_of, read_settings
from gateway_async.server_config import KeyConfig, ServerConfig, UpstreamConfig

__all__ = [
    "AI21LabsConfig",
    "AWSBaseConfig",
    "AWSIdAndKey",
    "AWSRole",
    "AliasedConfigModel",
    "AmazonBedrockConfig",
    "AnthropicConfig",
    "CohereConfig",
    "DatabricksConfig",
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


class RouteType(str, Enum):
    """What a route answers."""

    LLM_V1_COMPLETIONS = "llm/v1/completions"
    LLM_V1_CHAT = "llm/v1/chat"
    LLM_V1_EMBEDDINGS = "llm/v1/embeddings"


class ModelInfo(ResponseModel):
    """A model of one of the documented providers."""

    model_config = ConfigDict(extra="ignore")

    name: str | None = None
    provider: Provider


class Model(ConfigModel):
    """The model behind a route: whose it is, its name there, and the provider's settings."""

    name: str | None = None
    provider: str | Provider
    config: SerializeAsAny[ConfigModel] | None = None

    @field_validator("provider", mode="before")
    @classmethod
    def validate_provider(cls, value: Any) -> Any:
        """The provider: a `Provider` where it is a documented one, else its name.

        Raises:
            ValueError: There is no such provider.
        """
        return provider_of(value)

    @field_validator("config", mode="before")
    @classmethod
    def validate_config(cls, info: Any, values: ValidationInfo) -> Any:
        """The provider's settings, as the model that belongs to it.

        Raises:
            ValueError: They are another provider's.
        """
        provider = values.data.get("provider")
        if provider is None:  # which is an error of its own, and enough of one
            return None
        return read_settings(provider, info)


class AliasedConfigModel(ConfigModel):
    """Configuration whose fields may be written by their older names."""

    model_config = ConfigDict(populate_by_name=True)


class TimeoutsConfig(ConfigModel):
    """How long a call of a route may take, in seconds."""

    connect: PositiveFloat = 5.0
    """To reach the provider."""

    first_byte: PositiveFloat = 300.0
    """From the request to the first byte of the answer."""

    idle: PositiveFloat = 60.0
    """Between two pieces of a streamed answer."""

    total: PositiveFloat = 300.0
    """In all, for an answer that is not streamed."""


class RouteConfig(AliasedConfigModel):
    """A route as it is configured."""

    name: str
    route_type: RouteType = Field(alias="endpoint_type")
    model: Model
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

    @field_validator("model")
    @classmethod
    def validate_model(cls, model: Model) -> Model:
        """The model, once a provider that needs settings has them.

        Raises:
            ValueError: It has none.
        """
        if model.config is None and (needed := needed_settings(model.provider)):
            raise ValueError(
                f"the provider {plain_name(model.provider)!r} needs a config: with {', '.join(needed)}"
            )
        return model

    @classmethod
    def validate_route_type_and_model_name(cls, values: "RouteConfig") -> "RouteConfig":
        """The route, once its model can serve its type.

        Raises:
            ValueError: It can't.
        """
        provider, model = plain_name(values.model.provider), values.model.name or ""
        if (
            provider == "mosaicml"
            and values.route_type is RouteType.LLM_V1_CHAT
            and not model.lower().startswith("llama2")
        ):
            raise ValueError(
                f"mosaicml serves chat with models whose name starts with 'llama2', not {model!r}"
            )
        if provider == "ai21labs" and not (
            model in {"j2-ultra", "j2-mid", "j2-light"} or model.startswith("jamba")
        ):
            raise ValueError(
                f"ai21labs serves 'j2-ultra', 'j2-mid', 'j2-light' and the 'jamba' models, not {model!r}"
            )
        return values

    def model_post_init(self, context: Any, /) -> None:
        """Check what needs two fields at once."""
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

    def all_limits(self) -> list[Limit]:
        """Every limit that holds for the route, the single one first."""
        return [*([self.limit] if self.limit else []), *(self.limits or ())]

    def to_route(self) -> "Route":
        """What a client is told of this route."""
        return Route(
            name=self.name,
            route_type=self.route_type.value,
            model=RouteModelInfo(name=self.model.name, provider=plain_name(self.model.provider)),
            route_url=f"{ROUTE_BASE}{self.name}{QUERY_SUFFIX}",
            limit=next(iter(self.all_limits()), None),
        )


class RouteModelInfo(ResponseModel):
    """The model of a route, as a client is told. The provider may be one that the client does not know."""

    model_config = ConfigDict(extra="ignore")

    name: str | None = None
    provider: str


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

    def to_endpoint(self) -> "Endpoint":
        """The same under the newer names."""
        return Endpoint(
            name=self.name,
            endpoint_type=self.route_type,
            model=self.model,
            endpoint_url=self.route_url,
            limit=self.limit,
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
