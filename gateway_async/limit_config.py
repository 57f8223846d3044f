"""Limits: how many calls and tokens may pass through a route in each period."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from gateway_async.base_models import ConfigModel, LimitModel

_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "month": 30 * 86400,
    "year": 360 * 86400,
}
"""The lengths of periods, as the `limits` package has them: importing that would cost every process 2 MB."""

_PERIOD = re.compile(rf"\s*([1-9]\d{{0,5}})?\s*({'|'.join(_SECONDS)})s?\s*", re.IGNORECASE | re.ASCII)


UNLIMITED = 2**31 - 1
"""Calls of a limit that limits tokens alone."""


class Limit(LimitModel):
    """How many calls, or tokens, may pass through a route in each period."""

    calls: int
    """Calls that may pass in each period; 0 closes the route. `UNLIMITED` where only tokens are limited."""

    key: str | None = None
    """`user` counts each caller apart; `route`, or nothing, counts all of them together."""

    renewal_period: str
    """Length of the period in the notation of the `limits` package: `minute`, `5 minutes`, `hour`."""

    tokens: int | None = None
    """Tokens that may be used in each period, as the providers count them, prompts and answers together.

    A call passes while some are left; what it used is known, and counted, when its answer ends. Where the provider
    does not tell, or a stream does not come to its end, it is estimated: a token for every four bytes of the request's
    texts and of what was answered. A call that fails uses none.
    """

    @model_serializer(mode="wrap")
    def _documented_shape(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The documented fields; `tokens`, and `calls` beside it, only where they were given."""
        told: dict[str, Any] = handler(self)
        if self.tokens is None:
            del told["tokens"]
        elif self.calls == UNLIMITED:
            del told["calls"]
        return told

    @model_validator(mode="before")
    @classmethod
    def _only_tokens(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("tokens") is not None and given.get("calls") is None:
            return {**given, "calls": UNLIMITED}
        return given


class LimitsConfig(ConfigModel):
    """The limits of a route."""

    limits: list[Limit] | None = []  # noqa: RUF012 - the documented default; pydantic copies it


def check_limit(limit: Limit) -> None:
    """Accept a limit whose numbers and period can be understood.

    Raises:
        ValueError: They can't; the message shows what would be.
    """
    period_seconds(limit.renewal_period)
    for name in ("calls", "tokens"):
        amount = getattr(limit, name)
        if amount is not None and not 0 <= amount < 2**31:
            raise ValueError(f"{name} is {amount}; it is 0 or more, and below 2**31")
    if limit.key not in (None, "user", "route"):
        raise ValueError(f"key {limit.key!r} is not known; it is 'user' or 'route'")


def period_seconds(renewal_period: str) -> int:
    """The length of a period: `5 minutes` is 300.

    Raises:
        ValueError: It can't be understood.
    """
    period = _PERIOD.fullmatch(renewal_period)
    if period is None:
        raise ValueError(
            f"renewal_period {renewal_period[:40]!r} is not understood; write 'minute' or '5 minutes'"
        )
    count, unit = period.groups()
    return int(count or 1) * _SECONDS[unit.lower()]
