"""The errors: one tree, each with its status, its name on the wire, and the way back from there."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async import GatewayError, MlflowException, errors
from gateway_async.error_responses import from_response
from gateway_async.errors import (
    ERROR_CODES,
    AlreadyExists,
    BadRequest,
    ClientError,
    ConfigError,
    Conflict,
    ConnectionFailed,
    InvalidAnswer,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotSupported,
    PermissionDenied,
    RateLimited,
    RequestTimeout,
    RequestTooLarge,
    RouteNotFound,
    Unauthenticated,
    Unavailable,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
    error_code,
)

TREE: dict[type[GatewayError], tuple[type[Exception], int, str]] = {
    GatewayError: (Exception, 500, "INTERNAL_ERROR"),
    ConfigError: (GatewayError, 400, "INVALID_PARAMETER_VALUE"),
    BadRequest: (GatewayError, 400, "BAD_REQUEST"),
    InvalidRequest: (BadRequest, 422, "INVALID_PARAMETER_VALUE"),
    UnsupportedParameter: (InvalidRequest, 422, "INVALID_PARAMETER_VALUE"),
    RequestTooLarge: (BadRequest, 413, "REQUEST_TOO_LARGE"),
    MethodNotAllowed: (BadRequest, 405, "METHOD_NOT_ALLOWED"),
    Unauthenticated: (GatewayError, 401, "UNAUTHENTICATED"),
    PermissionDenied: (GatewayError, 403, "PERMISSION_DENIED"),
    NotFound: (GatewayError, 404, "ENDPOINT_NOT_FOUND"),
    RouteNotFound: (NotFound, 404, "RESOURCE_DOES_NOT_EXIST"),
    Conflict: (GatewayError, 409, "RESOURCE_CONFLICT"),
    AlreadyExists: (Conflict, 409, "RESOURCE_ALREADY_EXISTS"),
    RateLimited: (GatewayError, 429, "REQUEST_LIMIT_EXCEEDED"),
    NotSupported: (GatewayError, 501, "NOT_IMPLEMENTED"),
    Unavailable: (GatewayError, 503, "TEMPORARILY_UNAVAILABLE"),
    UpstreamError: (GatewayError, 502, "BAD_GATEWAY"),
    UpstreamRefused: (UpstreamError, 400, "BAD_REQUEST"),
    UpstreamInvalid: (UpstreamError, 502, "BAD_GATEWAY"),
    UpstreamUnavailable: (UpstreamError, 503, "TEMPORARILY_UNAVAILABLE"),
    UpstreamTimeout: (UpstreamError, 504, "DEADLINE_EXCEEDED"),
    ClientError: (GatewayError, 500, "INTERNAL_ERROR"),
    ConnectionFailed: (ClientError, 503, "TEMPORARILY_UNAVAILABLE"),
    InvalidAnswer: (ClientError, 502, "BAD_GATEWAY"),
    RequestTimeout: (ClientError, 504, "DEADLINE_EXCEEDED"),
}
"""Every class: what it is one of, its status, its code."""


def below(kind: type[GatewayError]) -> set[type[GatewayError]]:
    """A class and all below it."""
    return {kind}.union(
        *(below(sub) for sub in kind.__subclasses__() if sub.__module__.startswith("gateway_"))
    )


def test_every_error_is_in_the_tree() -> None:
    """The table here, the classes, and the drawing at the top of their module say the same."""
    assert below(GatewayError) == set(TREE)
    drawing = errors.__doc__ or ""
    assert [kind.__name__ for kind in TREE if kind.__name__ not in drawing] == []


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_knows_its_status_and_its_code(kind: type[GatewayError]) -> None:
    """And gives them to whoever answers with it, also under the names that mlflow's users know."""
    base, status, code = TREE[kind]
    error = kind("what happened")

    assert kind.__bases__ == (base,)
    assert (error.status, error.error_code, error.get_http_status_code()) == (status, code, status)
    assert error.body() == {"detail": "what happened", "error_code": code, "message": "what happened"}
    assert json.loads(error.serialize_as_json()) == {"error_code": code, "message": "what happened"}
    assert (str(error), error.message, error.retry_after) == ("what happened", "what happened", None)
    assert MlflowException is GatewayError


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_can_be_pickled(kind: type[GatewayError]) -> None:
    """It may happen in a worker process."""
    error = kind("what happened")
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), again.message, again.body()) == (kind, error.message, error.body())


def test_a_pickled_error_keeps_what_it_knows() -> None:
    """Status, time to wait, fields, problems."""
    invalid = InvalidRequest.field("messages.0.role", "a role is needed")
    upstream = UpstreamRefused(
        "no", provider="openai", upstream_status=429, retry_after=7, status=429, error_code="X"
    )
    config = ConfigError("wrong", problems=[{"line": 1, "endpoint": None, "key": "a", "problem": "p"}])
    for error in (invalid, upstream, config, ConnectionFailed("gone", may_repeat=True)):
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


def test_a_wrong_field_is_told_with_its_place() -> None:
    """In the form that FastAPI's users know."""
    error = InvalidRequest.field("messages.0.role", "a role is needed")

    assert error.detail == [
        {"loc": ["body", "messages", 0, "role"], "msg": "a role is needed", "type": "value_error"}
    ]
    assert error.message == "messages.0.role: a role is needed"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthenticated),
        (402, BadRequest),
        (403, PermissionDenied),
        (404, NotFound),
        (405, MethodNotAllowed),
        (408, BadRequest),
        (409, Conflict),
        (413, RequestTooLarge),
        (418, BadRequest),
        (422, InvalidRequest),
        (429, RateLimited),
        (500, GatewayError),
        (501, NotSupported),
        (502, UpstreamError),
        (503, Unavailable),
        (504, UpstreamTimeout),
        (507, GatewayError),
        (599, GatewayError),
        (302, GatewayError),
    ],
)  # fmt: skip
def test_a_status_becomes_an_error_of_its_class(status: int, kind: type[GatewayError]) -> None:
    """With the status as it was, its code, and what the server said."""
    error = from_response(status, {"detail": "said"}, retry_after=3.5, call="GET /x")

    assert type(error) is kind
    assert (error.status, error.error_code, error.retry_after) == (status, error_code(status), 3.5)
    assert error.message == f"{error_code(status)}: GET /x: said"
    assert error.detail == "said"


@pytest.mark.parametrize("status", sorted(ERROR_CODES))
def test_every_listed_status_has_its_code(status: int) -> None:
    """A name in capitals."""
    assert error_code(status) == ERROR_CODES[status]
    assert ERROR_CODES[status].replace("_", "").isupper()


@pytest.mark.parametrize("kind", [kind for kind in TREE if not issubclass(kind, ClientError)])
def test_an_error_survives_the_wire(kind: type[GatewayError]) -> None:
    """What a client raises has the status and the words of what the server raised."""
    error = kind("what happened")
    again = from_response(error.status, json.loads(json.dumps(error.body())))

    assert again.status == error.status
    assert again.detail == error.detail
    assert "what happened" in again.message
    assert (
        issubclass(kind, type(again))
        or isinstance(again, kind)
        or kind in (ConfigError, UpstreamRefused, UpstreamUnavailable)
    )


def test_a_missing_route_is_told_from_a_missing_address() -> None:
    """By the code beside the detail."""
    assert type(from_response(404, RouteNotFound("no").body())) is RouteNotFound
    assert type(from_response(404, NotFound("no").body())) is NotFound
    assert type(from_response(404, {"detail": "Not Found"})) is NotFound


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["detail", "message", "error_code", "error", "loc", "msg"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(status=st.integers(300, 599), body=BODIES)
def test_whatever_the_body_is_an_error_comes_of_it(status: int, body: Any) -> None:
    """Servers and proxies answer all sorts of things."""
    error = from_response(status, body)

    assert error.status == status
    assert isinstance(error.message, str)
    assert isinstance(error.detail, str | list)
