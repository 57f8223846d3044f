"""The parameters that chat and completions share."""

from typing import Annotated, Any

from pydantic import Field

from gateway_async.base_models import RequestModel, Several

PositiveInt64 = Annotated[int, Field(ge=1, le=2**63 - 1)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class StreamOptions(RequestModel):
    """What a stream tells beside its chunks."""

    include_usage: bool | None = None
    """Send a last chunk that holds the usage of the whole call."""


class SamplingParameters(RequestModel):
    """How an answer is drawn from the model. What is not given is left to the provider."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """0 (always the likeliest word) to 2; providers with another scale get it converted."""

    top_p: float | None = None
    n: PositiveInt64 | None = None
    """How many answers to draw."""

    stop: str | Several[str] | None = None
    """Texts at which the answer ends; they are not part of it."""

    max_tokens: PositiveInt64 | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: Int64 | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    model: str | None = None
    """The route's name under `/v1`; refused under `/gateway/…`, where the address names the route."""
