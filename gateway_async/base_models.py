"""The bases of every pydantic model: one place says what happens to a field that nobody knows."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConfigModel", "LimitModel", "RequestModel", "ResponseModel", "SetLimitsModel", "Several"]

T = TypeVar("T")

Several = Annotated[list[T], Field(fail_fast=True)]
"""A list in a request. Of its items the first wrong one is reported: a body may hold millions of wrong ones."""


class ConfigModel(BaseModel):
    """Configuration: a route, a provider's settings, a limit.

    Unknown keys are ignored, as documented (`gateway check` warns of them). What was given is never repeated in
    a validation error, since it may hold a key.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class LimitModel(ConfigModel):
    """A limit on the calls of a route; unknown keys are ignored."""


class RequestModel(BaseModel):
    """What a caller sends. A field that the schema does not know is kept: it may be a vendor's own parameter."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class ResponseModel(BaseModel):
    """What a caller gets. What an upstream adds to the standard shape is kept and reaches the caller."""

    model_config = ConfigDict(extra="allow")


class SetLimitsModel(ConfigModel):
    """The body of `POST …/limits/`: a route, and the limits that replace those it has."""

    route: str
    """Name of the route."""

    limits: list[dict[str, object]]
    """Each a mapping with the fields of `Limit`."""
