"""The models behind a route: whose they are, their names there, and their providers' settings."""

from enum import Enum
from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    PositiveInt,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
)

from gateway_async.base_models import ConfigModel, ResponseModel
from gateway_async.provider_config import Provider
from gateway_async.provider_names import needed_settings, plain_name, provider_of, read_settings

__all__ = [
    "UNKNOWN",
    "Destination",
    "Model",
    "ModelInfo",
    "RouteType",
    "check_model_name",
    "with_needed_settings",
]


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


class Destination(ConfigModel):
    """One of several models behind a route."""

    model: Model
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Its share of the calls, beside the others of its priority; 0: only when they can't answer."""

    priority: PositiveInt = 1
    """Those of a higher number are asked only when none of a lower one can answer."""

    @field_validator("model")
    @classmethod
    def validate_model(cls, model: Model) -> Model:
        """The model, once a provider that needs settings has them."""
        return with_needed_settings(model)


UNKNOWN = Model.model_construct(name=None, provider="offline", config=None)
"""Stands for the model of a route that is refused anyway."""


def with_needed_settings(model: Model) -> Model:
    """The model, once a provider that needs settings has them.

    Raises:
        ValueError: It has none.
    """
    if model.config is None and (needed := needed_settings(model.provider)):
        raise ValueError(
            f"the provider {plain_name(model.provider)!r} needs a config: with {', '.join(needed)}"
        )
    return model


def check_model_name(model: Model, kind: RouteType) -> None:
    """Accept a model whose name its provider takes for routes of this type.

    Raises:
        ValueError: It does not.
    """
    provider, name = plain_name(model.provider), model.name or ""
    if provider == "mosaicml" and kind is RouteType.LLM_V1_CHAT and not name.lower().startswith("llama2"):
        raise ValueError(f"mosaicml serves chat with models whose name starts with 'llama2', not {name!r}")
    if provider == "ai21labs" and not (
        name in {"j2-ultra", "j2-mid", "j2-light"} or name.startswith("jamba")
    ):
        raise ValueError(
            f"ai21labs serves 'j2-ultra', 'j2-mid', 'j2-light' and the 'jamba' models, not {name!r}"
        )
