"""Providers, and the settings of each: what stands under `model.config` of a route.

Names, fields and defaults are those of the documented `mlflow.gateway.config`, which is where users import them
from. A key (`*_api_key`) is `$NAME` of an environment variable, the path of a file that holds it, or the key
itself; it never shows in a `repr`, a dump or an error. A base address (`*_api_base`) is all that stands before the
operation's own path.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Discriminator,
    Tag,
    field_validator,
    model_validator,
)

from gateway_async.base_models import ConfigModel
from gateway_async.provider_table import ROWS, Row
from gateway_async.secrets import resolve_secret
from gateway_async.setting_types import Address, ApiKey, CloudName, PlaceName, ResolvedApiKey


class Provider(str, Enum):
    """The providers of the documented pages. Others are named by a plain string."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    COHERE = "cohere"
    AI21LABS = "ai21labs"
    MLFLOW_MODEL_SERVING = "mlflow-model-serving"
    MOSAICML = "mosaicml"
    HUGGINGFACE_TEXT_GENERATION_INFERENCE = "huggingface-text-generation-inference"
    PALM = "palm"
    GEMINI = "gemini"
    BEDROCK = "bedrock"
    AMAZON_BEDROCK = "amazon-bedrock"
    DATABRICKS_MODEL_SERVING = "databricks-model-serving"
    DATABRICKS = "databricks"
    MISTRAL = "mistral"
    TOGETHERAI = "togetherai"

    @classmethod
    def values(cls) -> set[str]:
        """Every provider's name."""
        return {provider.value for provider in cls}


class OpenAIAPIType(str, Enum):
    """Where an OpenAI model is served; written in any case."""

    OPENAI = "openai"
    AZURE = "azure"
    AZUREAD = "azuread"

    @classmethod
    def _missing_(cls, value: object) -> "OpenAIAPIType | None":
        return next((kind for kind in cls if isinstance(value, str) and kind.value == value.lower()), None)


OPENAI_BASE = "https://api.openai.com/v1"
"""Where OpenAI's own servers are."""


class TogetherAIConfig(ConfigModel):
    """Settings of `togetherai`."""

    togetherai_api_key: ApiKey
    togetherai_api_base: Address | None = None

    @field_validator("togetherai_api_key", mode="before")
    @classmethod
    def validate_togetherai_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class CohereConfig(ConfigModel):
    """Settings of `cohere`."""

    cohere_api_key: ApiKey
    cohere_api_base: Address | None = None

    @field_validator("cohere_api_key", mode="before")
    @classmethod
    def validate_cohere_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class AI21LabsConfig(ConfigModel):
    """Settings of `ai21labs`."""

    ai21labs_api_key: ApiKey
    ai21labs_api_base: Address | None = None

    @field_validator("ai21labs_api_key", mode="before")
    @classmethod
    def validate_ai21labs_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class MosaicMLConfig(ConfigModel):
    """Settings of `mosaicml`."""

    mosaicml_api_key: ApiKey
    mosaicml_api_base: Address | None = None

    @field_validator("mosaicml_api_key", mode="before")
    @classmethod
    def validate_mosaicml_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class OpenAIConfig(ConfigModel):
    """Settings of `openai`, on OpenAI's own servers or on Azure (key or Entra ID token)."""

    openai_api_key: ApiKey
    openai_api_type: OpenAIAPIType = OpenAIAPIType.OPENAI
    openai_api_base: Address | None = None
    openai_api_version: str | None = None
    openai_deployment_name: str | None = None
    openai_organization: str | None = None

    @field_validator("openai_api_key", mode="before")
    @classmethod
    def validate_openai_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)

    @model_validator(mode="before")
    @classmethod
    def validate_field_compatibility(cls, info: dict[str, Any]) -> dict[str, Any]:
        """The settings, once those of OpenAI and those of Azure are not mixed.

        Raises:
            ValueError: A setting is missing, or belongs to another `openai_api_type`.
        """
        if not isinstance(info, dict):
            return info
        kind = info.get("openai_api_type") or OpenAIAPIType.OPENAI
        try:
            kind = OpenAIAPIType(kind)
        except ValueError:
            kinds = ", ".join(repr(known.value) for known in OpenAIAPIType)
            shown = f" {kind!r}" if isinstance(kind, str) else ""  # what else it is may hold a key
            raise ValueError(f"openai_api_type{shown} is not known; it is one of {kinds}") from None
        if kind is OpenAIAPIType.OPENAI:
            if info.get("openai_deployment_name") is not None:
                raise ValueError(
                    "openai_deployment_name goes with openai_api_type 'azure' or 'azuread', not 'openai'"
                )
            if info.get("openai_api_base") is None:
                info = {**info, "openai_api_base": OPENAI_BASE}
            return info
        if info.get("openai_organization") is not None:
            raise ValueError(f"openai_organization goes with openai_api_type 'openai', not {kind.value!r}")
        needed = ("openai_api_base", "openai_deployment_name", "openai_api_version")
        if missing := [name for name in needed if info.get(name) is None]:
            raise ValueError(f"openai_api_type {kind.value!r} needs {', '.join(missing)} too")
        return info


class AnthropicConfig(ConfigModel):
    """Settings of `anthropic`."""

    anthropic_api_key: ApiKey
    anthropic_version: str = "2023-06-01"
    anthropic_api_base: Address | None = None

    @field_validator("anthropic_api_key", mode="before")
    @classmethod
    def validate_anthropic_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class PaLMConfig(ConfigModel):
    """Settings of `palm`."""

    palm_api_key: ApiKey
    palm_api_base: Address | None = None

    @field_validator("palm_api_key", mode="before")
    @classmethod
    def validate_palm_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class GeminiConfig(ConfigModel):
    """Settings of `gemini`."""

    gemini_api_key: ApiKey
    gemini_api_base: Address | None = None

    @field_validator("gemini_api_key", mode="before")
    @classmethod
    def validate_gemini_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class MistralConfig(ConfigModel):
    """Settings of `mistral`."""

    mistral_api_key: ApiKey
    mistral_api_base: Address | None = None

    @field_validator("mistral_api_key", mode="before")
    @classmethod
    def validate_mistral_api_key(cls, value: Any) -> Any:
        """The key, read from where it stands."""
        return resolve_secret(value)


class MlflowModelServingConfig(ConfigModel):
    """Settings of `mlflow-model-serving`."""

    model_config = ConfigDict(protected_namespaces=())

    model_server_url: Address


class HuggingFaceTextGenerationInferenceConfig(ConfigModel):
    """Settings of `huggingface-text-generation-inference`."""

    hf_server_url: Address


class AWSBaseConfig(ConfigModel):
    """Credentials that AWS's own environment gives."""

    aws_region: str | None = None


class AWSRole(AWSBaseConfig):
    """Credentials of a role that is assumed."""

    aws_role_arn: str
    session_length_seconds: int = 15 * 60


class AWSIdAndKey(AWSBaseConfig):
    """Credentials given as a pair, with a session token where they are temporary."""

    aws_access_key_id: ResolvedApiKey
    aws_secret_access_key: ResolvedApiKey
    aws_session_token: ResolvedApiKey | None = None


def _aws_kind(given: Any) -> str:
    """Which credentials these are, by what stands there: a pair with a mistake in it is no call for the environment's."""
    names = set(
        given
        if isinstance(given, Mapping)
        else type(given).model_fields
        if isinstance(given, AWSBaseConfig)
        else ()
    )
    if names & AWSRole.model_fields.keys() - AWSBaseConfig.model_fields.keys():
        return "role"
    return (
        "pair"
        if names & AWSIdAndKey.model_fields.keys() - AWSBaseConfig.model_fields.keys()
        else "environment"
    )


class AmazonBedrockConfig(ConfigModel):
    """Settings of `bedrock` and `amazon-bedrock`."""

    aws_config: Annotated[
        Annotated[AWSRole, Tag("role")]
        | Annotated[AWSIdAndKey, Tag("pair")]
        | Annotated[AWSBaseConfig, Tag("environment")],
        Discriminator(_aws_kind),
    ]
    bedrock_api_base: Address | None = None

    def server_credentials(self) -> str | None:
        """Whose credentials of the server's they use: AWS's, also to take on a role."""
        return None if isinstance(self.aws_config, AWSIdAndKey) else "aws"


class DatabricksConfig(ConfigModel):
    """Settings of `databricks` and `databricks-model-serving`; what is absent comes from Databricks' environment."""

    databricks_api_base: Address | None = None

    def server_credentials(self) -> str | None:
        """Whose credentials of the server's they use: Databricks' always."""
        return "databricks"


class OpenAICompatibleConfig(ConfigModel):
    """Settings of the providers in `provider_table`: those of a server of one's own, which may want no key."""

    api_key: ResolvedApiKey | None = None
    api_base: Address | None = None
    """Another address than the usual one."""


class HostedConfig(OpenAICompatibleConfig):
    """Settings of a vendor's own servers."""

    api_key: ResolvedApiKey


class AddressedConfig(OpenAICompatibleConfig):
    """Settings of a server whose address only the user knows."""

    api_base: Address


class AddressedHostedConfig(AddressedConfig):
    """Settings of a vendor's server that has an address for each user."""

    api_key: ResolvedApiKey


def _settings_of(row: Row) -> type[OpenAICompatibleConfig]:
    if row.base is None:
        return AddressedConfig if row.local else AddressedHostedConfig
    return OpenAICompatibleConfig if row.local else HostedConfig


class VertexAIConfig(ConfigModel):
    """Settings of `vertex-ai`.

    Without an `api_key`, which is an access token or an API key, Google's credentials let us in: those in the file
    `credentials`, or without it the application-default ones. `api_base` takes the place of `project` and `location`.
    """

    api_key: ResolvedApiKey | None = None
    api_base: Address | None = None
    project: CloudName | None = None
    location: PlaceName | None = None
    credentials: str | None = None

    def server_credentials(self) -> str | None:
        """Whose credentials of the server's they use: a file's that is named, else Google's where there is no key."""
        return self.credentials or (None if self.api_key else "google")

    @model_validator(mode="after")
    def validate_place(self) -> "VertexAIConfig":
        """The settings, once it is known where the models are.

        Raises:
            ValueError: It is not.
        """
        if self.api_base is None and (self.project is None or self.location is None):
            raise ValueError(
                "vertex-ai needs project and location, such as 'us-central1' or 'global', or api_base"
            )
        return self


class OfflineConfig(ConfigModel):
    """`offline` takes no settings."""


PROVIDER_CONFIGS: Mapping[str, type[ConfigModel]] = {
    "openai": OpenAIConfig,
    "anthropic": AnthropicConfig,
    "cohere": CohereConfig,
    "ai21labs": AI21LabsConfig,
    "mlflow-model-serving": MlflowModelServingConfig,
    "mosaicml": MosaicMLConfig,
    "huggingface-text-generation-inference": HuggingFaceTextGenerationInferenceConfig,
    "palm": PaLMConfig,
    "gemini": GeminiConfig,
    "bedrock": AmazonBedrockConfig,
    "amazon-bedrock": AmazonBedrockConfig,
    "databricks-model-serving": DatabricksConfig,
    "databricks": DatabricksConfig,
    "mistral": MistralConfig,
    "togetherai": TogetherAIConfig,
    "vertex-ai": VertexAIConfig,
    "offline": OfflineConfig,
    **{name: _settings_of(row) for name, row in ROWS.items()},
}
"""Provider's name → the model of its settings."""

WITHOUT_CONFIG = frozenset(
    name
    for name, settings in PROVIDER_CONFIGS.items()
    if not any(field.is_required() for field in settings.model_fields.values())
)
"""Providers that need no `config:`."""
