"""Every error that the client, the engine and the server raise.

    GatewayError
    ├── ConfigError               400  the configuration is wrong; lists what, where and how to mend it
    ├── BadRequest                400  the request can't be understood
    │   ├── InvalidRequest        422  it can, but a field of it is wrong; lists the fields
    │   │   └── UnsupportedParameter   the route's provider has nothing for a parameter
    │   ├── RequestTooLarge       413
    │   └── MethodNotAllowed      405
    ├── Unauthenticated           401
    ├── PermissionDenied          403
    ├── NotFound                  404
    │   └── RouteNotFound         404
    ├── Conflict                  409  it can't be changed so, as things are
    │   └── AlreadyExists         409  the name is taken
    ├── RateLimited               429  `retry_after`
    ├── NotSupported              501  this server does not offer the call
    ├── Unavailable               503  the gateway can't take the call now
    ├── UpstreamError             502  the provider's own failure; its message is kept
    │   ├── UpstreamRefused       4xx  the provider says that the request is wrong
    │   ├── UpstreamInvalid       502  the provider's answer is not what its API promises
    │   ├── UpstreamUnavailable   503  the provider can't be reached or is overloaded
    │   └── UpstreamTimeout       504
    └── ClientError                    raised in the client only, when there is no answer to speak of
        ├── ConnectionFailed      503
        ├── InvalidAnswer         502  something answers at the address that is no gateway
        └── RequestTimeout        504

On the wire an error is `{"detail", "error_code", "message"}` (`GatewayError.body`); the client rebuilds it with
`error_responses.from_response`. No message ever holds a key.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

__all__ = [
    "ERROR_CODES",
    "AlreadyExists",
    "BadRequest",
    "ClientError",
    "ConfigError",
    "Conflict",
    "ConnectionFailed",
    "Detail",
    "GatewayError",
    "InvalidAnswer",
    "InvalidRequest",
    "MethodNotAllowed",
    "MlflowException",
    "NotFound",
    "NotSupported",
    "PermissionDenied",
    "RateLimited",
    "Refusal",
    "RequestTimeout",
    "RequestTooLarge",
    "RouteNotFound",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedParameter",
    "UpstreamError",
    "UpstreamInvalid",
    "UpstreamRefused",
    "UpstreamTimeout",
    "UpstreamUnavailable",
    "error_code",
]

Refusal = Literal["context_length", "content_policy"]
"""Why a provider refuses what another may take."""

Detail = str | list[dict[str, Any]]
"""A sentence, or for a body that fails validation a list of `{loc, msg, type}`."""


class GatewayError(Exception):
    """Anything that goes wrong in the gateway or on the way to it.

    Attributes:
        message: What happened, and where it is known, the way out.
        error_code: The name of the error on the wire, such as `RESOURCE_DOES_NOT_EXIST`.
        status: The HTTP status that stands for it.
        retry_after: Seconds after which the same call may pass, where somebody said so.
        detail: What stands under `detail` on the wire: the message, or a list of fields.
        headers: What the caller is told beside the body: of a limit its `RateLimit-*`, of a provider which one it was.
    """

    status: int = 500
    error_code: str = "INTERNAL_ERROR"
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(
        self,
        message: str,
        *,
        detail: Detail | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        error_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail: Detail = message if detail is None else detail
        self.retry_after = retry_after
        if status is not None:
            self.status = status
        if error_code is not None:
            self.error_code = error_code

    def body(self) -> dict[str, Any]:
        """The error as it stands on the wire."""
        return {"detail": self.detail, "error_code": self.error_code, "message": self.message}

    def get_http_status_code(self) -> int:
        """The HTTP status that stands for this error (the name that mlflow's users know)."""
        return self.status

    def serialize_as_json(self) -> str:
        """`error_code` and `message` as JSON (the name that mlflow's users know)."""
        return json.dumps({"error_code": self.error_code, "message": self.message})


MlflowException = GatewayError
"""The name under which the documented pages raise."""


class ConfigError(GatewayError):
    """The configuration is wrong. The message lists each problem on a line of its own.

    Attributes:
        problems: One entry per problem, for machines: `{line, endpoint, key, problem}`; a part that is not known
            is `None`.
    """

    status, error_code = 400, "INVALID_PARAMETER_VALUE"

    def __init__(self, message: str, *, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = [dict(problem) for problem in problems]


class BadRequest(GatewayError):
    """The request can't be understood."""

    status, error_code = 400, "BAD_REQUEST"


class InvalidRequest(BadRequest):
    """A field of the request is wrong; `detail` lists every one as `{loc, msg, type}`."""

    status, error_code = 422, "INVALID_PARAMETER_VALUE"

    @classmethod
    def field(cls, name: str, problem: str, *, kind: str = "value_error") -> Self:
        """The error for one field of the body.

        Args:
            name: The field's path in the body, its parts divided by dots.
            problem: What is wrong and how to mend it.
            kind: The kind of problem, for machines.
        """
        loc: list[str | int] = ["body", *(int(part) if part.isdigit() else part for part in name.split("."))]
        return cls(f"{name}: {problem}", detail=[{"loc": loc, "msg": problem, "type": kind}])


class UnsupportedParameter(InvalidRequest):
    """The route's provider has nothing for a parameter; a route that says `drop_unsupported` goes on without it."""

    @property
    def parameter(self) -> str:
        """The parameter's name in the body."""
        return str(self.detail[0]["loc"][1]) if isinstance(self.detail, list) else ""


class RequestTooLarge(BadRequest):
    """The body is larger than the gateway takes."""

    status, error_code = 413, "REQUEST_TOO_LARGE"


class MethodNotAllowed(BadRequest):
    """The path exists, with another method."""

    status, error_code = 405, "METHOD_NOT_ALLOWED"


class Unauthenticated(GatewayError):
    """The gateway wants a key, or does not know the one it got."""

    status, error_code = 401, "UNAUTHENTICATED"


class PermissionDenied(GatewayError):
    """The key is known, and may not do this."""

    status, error_code = 403, "PERMISSION_DENIED"


class NotFound(GatewayError):
    """There is nothing at this address."""

    status, error_code = 404, "ENDPOINT_NOT_FOUND"


class RouteNotFound(NotFound):
    """The gateway has no route of this name."""

    error_code = "RESOURCE_DOES_NOT_EXIST"


class Conflict(GatewayError):
    """What is to be changed can't be, as things are: somebody else changed it meanwhile, or it is changed elsewhere."""

    status, error_code = 409, "RESOURCE_CONFLICT"


class AlreadyExists(Conflict):
    """There is one of that name."""

    error_code = "RESOURCE_ALREADY_EXISTS"


class RateLimited(GatewayError):
    """The route takes no more calls from this caller now; `retry_after` says how many seconds to wait."""

    status, error_code = 429, "REQUEST_LIMIT_EXCEEDED"


class NotSupported(GatewayError):
    """This server, or this provider, does not offer the call."""

    status, error_code = 501, "NOT_IMPLEMENTED"


class Unavailable(GatewayError):
    """The gateway can't take the call now; it may be shutting down."""

    status, error_code = 503, "TEMPORARILY_UNAVAILABLE"


class UpstreamError(GatewayError):
    """The provider failed. The message holds the provider's own words.

    Attributes:
        provider: Name of the provider.
        upstream_status: The HTTP status that the provider answered, if it answered.
        upstream_request_id: The provider's own id of the request, if it gave one.
        refusal: Why the provider refuses a request that another one may take, if that is why.
        passes: The same call may succeed there later; False where the provider says that repeating it is of no use.
        reached: The provider may have seen the request; False where there was no connection to it.
    """

    status, error_code = 502, "BAD_GATEWAY"
    refusal: Refusal | None = None
    passes: bool = True
    reached: bool = True

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        upstream_status: int | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        error_code: str | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status, error_code=error_code)
        self.provider = provider
        self.upstream_status = upstream_status
        self.upstream_request_id: str | None = None


class UpstreamRefused(UpstreamError):
    """The provider refuses the request: the status is its own (400, 404, 413, 422, 429 …)."""

    status, error_code = 400, "BAD_REQUEST"


class UpstreamInvalid(UpstreamError):
    """The provider's answer is not what its API promises."""


class UpstreamUnavailable(UpstreamError):
    """The provider can't be reached, or says that it is overloaded."""

    status, error_code = 503, "TEMPORARILY_UNAVAILABLE"


class UpstreamTimeout(UpstreamError):
    """The provider took longer than the route allows."""

    status, error_code = 504, "DEADLINE_EXCEEDED"


class ClientError(GatewayError):
    """Raised in the client, when there is no answer of the gateway to speak of."""


class ConnectionFailed(ClientError):
    """The gateway can't be reached, or the connection broke before the answer was whole.

    Attributes:
        may_repeat: The gateway can't have taken the request, or taking it twice does no harm.
    """

    status, error_code = 503, "TEMPORARILY_UNAVAILABLE"

    def __init__(self, message: str, *, may_repeat: bool = False) -> None:
        super().__init__(message)
        self.may_repeat = may_repeat


class InvalidAnswer(ClientError):
    """The answer is not what a gateway gives; the address may be somebody else's."""

    status, error_code = 502, "BAD_GATEWAY"


class RequestTimeout(ClientError):
    """The gateway did not answer within the client's timeout."""

    status, error_code = 504, "DEADLINE_EXCEEDED"


ERROR_CODES: Mapping[int, str] = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED",
    408: "DEADLINE_EXCEEDED",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_TOO_LARGE",
    422: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
    499: "CANCELLED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    502: "BAD_GATEWAY",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The error code that stands for an HTTP status."""


def error_code(status: int) -> str:
    """The error code that stands for an HTTP status, `BAD_REQUEST` or `INTERNAL_ERROR` where none is listed."""
    return ERROR_CODES.get(status) or ("BAD_REQUEST" if 400 <= status < 500 else "INTERNAL_ERROR")
