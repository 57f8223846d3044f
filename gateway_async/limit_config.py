"""Limits: how many calls and tokens may pass through a route in each period."""

import re
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from gateway_async.base_models import ConfigModel, LimitModel

_PERIOD = re.compile(r"\s*([1-9]\d{0,5}\s*)?[a-z]+\s*", re.IGNORECASE | re.ASCII)


class Limit(LimitModel):
    """How many calls, or tokens, may pass through a route in each period."""

    calls: int | None = None
    """Calls that may pass in each period; 0 closes the route."""

    key: str | None = None
    """`user` counts each caller apart; `route`, or nothing, counts all of them together."""

    renewal_period: str
    """Length of the period in the notation of the `limits` package: `minute`, `5 minutes`, `hour`."""

    tokens: int | None = None
    """Tokens that may be used in each period, as the providers count them, prompts and answers together.

    A call passes while some are left; what it used is known, and counted, when its answer ends.
    """

    @model_serializer(mode="wrap")
    def _documented_shape(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The documented fields; `tokens`, and `calls` beside it, only where they were given."""
        told: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in told.items()
            if value is not None or name not in ("calls", "tokens")
        }

    @model_validator(mode="after")
    def _some_amount(self) -> "Limit":
        if self.calls is None and self.tokens is None:
            raise ValueError("calls or tokens is missing: how many may pass in each period")
        return self


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
    from limits import parse  # of the extra `local`: a client that only reads limits does without

    try:
        # Alone, `parse` takes the first of several limits.
        if not _PERIOD.fullmatch(renewal_period):
            raise ValueError
        return parse(f"1/{renewal_period}").get_expiry()
    except ValueError:
        raise ValueError(
            f"renewal_period {renewal_period[:40]!r} is not understood; write 'minute' or '5 minutes'"
        ) from None
