"""How the traffic of a route is led: how long it may take, how often it is tried, when it waits, when it is refused."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from gateway_async.base_models import ConfigModel

__all__ = [
    "Balance",
    "BreakerConfig",
    "ConcurrencyConfig",
    "FallbackReason",
    "RetryConfig",
    "TimeoutsConfig",
]

Balance = Literal["weighted", "least_pending", "latency"]
"""How calls are spread over the destinations of a route: by their weights; to the one with the fewest calls under way
for its weight; or to the quicker of two taken at random, slow answers counting at once and good ones slowly."""

FallbackReason = Literal["failure", "timeout", "rate_limit", "context_length", "content_policy"]
"""Why a call that one destination did not answer goes to the next."""


class TimeoutsConfig(ConfigModel):
    """How long a call of a route may take, in seconds."""

    connect: PositiveFloat = 5.0
    """To reach the provider."""

    first_byte: PositiveFloat = 300.0
    """From the request to the first byte of the answer, of a stream to its first chunk."""

    idle: PositiveFloat = 60.0
    """Between two pieces of a streamed answer."""

    total: PositiveFloat = 300.0
    """In all, tries and waits between them included, for an answer that is not streamed."""


class RetryConfig(ConfigModel):
    """How often a call is tried again that failed in a way that may pass, before anything of an answer came."""

    attempts: int = Field(default=3, ge=1, le=10)
    """Attempts in all on one destination."""

    budget: float = Field(default=0.2, ge=0, le=10)
    """Retries per call, averaged over the route's traffic; five may be made at once at any time."""


class BreakerConfig(ConfigModel):
    """When a destination is left alone for a while."""

    failures: PositiveInt = 5
    """So many failures, one after another, open it."""

    failure_rate: float = Field(default=0.5, gt=0, le=1)
    """Or this share of the calls of the last ten seconds, once there were twenty."""

    open_seconds: PositiveFloat = 10.0
    """How long it is left alone then; after that one call tries it, and if that is answered two, four and so on."""


class ConcurrencyConfig(ConfigModel):
    """How many calls may be under way at once, in each process of a server, and how many may wait."""

    max: PositiveInt
    """Calls under way. A stream is until its end."""

    queue: NonNegativeInt | None = None
    """Calls that may wait for their turn; absent: twice `max`. Those beyond are refused with 503."""

    queue_seconds: PositiveFloat = 5.0
    """How long one may wait; then it is refused with 503."""

    adaptive: bool = False
    """`max` is only the most: fewer are let through while the provider says that it is overloaded."""
