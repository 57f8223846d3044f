"""The types of MLflow's model server.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally: `POST /invocations` takes `inputs` and `params` and
answers `predictions`; what these are is the model's own business. Errors are those of mlflow's exceptions, or the
words of the web framework.
"""

from typing import Any, Required

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from tests.providers.published._strict import check, strict

Json = dict[str, Any]


class InvocationParams(TypedDict, total=False):
    """A request to the server."""

    inputs: Required[list[Any] | dict[str, Any]]
    params: dict[str, Any]


class Invocation(BaseModel):
    """What the server answers."""

    model_config = ConfigDict(extra="allow")

    predictions: list[Any] | dict[str, Any]


class ErrorBody(BaseModel):
    """An exception of mlflow's."""

    model_config = ConfigDict(extra="allow")

    error_code: str
    message: str
    stack_trace: str | None = None


class FrameworkError(BaseModel):
    """What FastAPI says by itself."""

    model_config = ConfigDict(extra="allow")

    detail: str


_SENT = strict(InvocationParams)


def check_sent(kind: str, url: str, body: Json) -> None:
    """Accept a body that the server takes."""
    _SENT.validate_python(body, strict=True)


def check_answered(kind: str, url: str, body: bytes) -> None:
    """Accept an answer that the server may give."""
    check(Invocation, body)


def check_error(status: int, body: bytes) -> None:
    """Accept the body of an error; of a wrong type of content the server speaks in a text."""
    if status != 415:
        check(FrameworkError if status == 404 else ErrorBody, body)
