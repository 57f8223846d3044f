"""What a failure means to a route: why another destination may answer, and whether the same one may after a while."""

from gateway_async.call import Call
from gateway_async.errors import (
    GatewayError,
    InvalidRequest,
    NotSupported,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from gateway_async.traffic_config import FallbackReason

_TIMED_OUT = frozenset({408, 504})
_GONE = frozenset({404, 405, 410})
"""The provider has no such model, or not there: the operator's mistake and not the caller's."""


NEARLY_ALL = 0.9
"""A destination that had this share of the time that its route gives it was not cut short."""


def reason_of(error: GatewayError) -> FallbackReason | None:
    """Why another destination may answer a call that this one did not; None: it would fail there too."""
    if not isinstance(error, UpstreamError):
        return None
    if error.refusal is not None:
        return error.refusal
    if error.upstream_status == 429:
        return "rate_limit"
    if isinstance(error, UpstreamTimeout) or error.upstream_status in _TIMED_OUT:
        return "timeout"
    if isinstance(error, UpstreamRefused) and error.upstream_status not in _GONE:
        return None
    return "failure"


def reasons_of(error: GatewayError) -> set[FallbackReason]:
    """Every reason: a request that is too long for the limit of an account is both refused and limited."""
    reason = reason_of(error)
    found: set[FallbackReason] = set() if reason is None else {reason}
    if isinstance(error, UpstreamError) and error.upstream_status == 429:
        found.add("rate_limit")
    return found


def cannot_carry(error: GatewayError) -> bool:
    """Whether a destination has nothing for something in the request; another one may have."""
    return isinstance(error, InvalidRequest | NotSupported)


def answered(error: UpstreamError) -> bool | None:
    """Whether the destination is well, and only refuses; False: it has failed; None: it is asked too often."""
    reason = reason_of(error)
    if reason == "rate_limit" and error.passes:
        return None
    return reason in (None, "context_length", "content_policy")


def may_pass(error: GatewayError) -> bool:
    """Whether the same call may succeed soon on the same destination, and does no harm there if it is made twice."""
    if not isinstance(error, UpstreamError) or error.refusal is not None or not error.passes:
        return False
    status = error.upstream_status
    if status is None:
        return not error.reached
    return status in (408, 429) or status >= 500


def cut_short(call: Call, began: float, now: float) -> bool:
    """Whether a call's time was up before all that its route gives a destination: a more patient one may pass.

    Args:
        call: The call.
        began: When the destination was asked, on the clock of `time.monotonic`.
        now: When it had not answered.
    """
    if call.deadline is None or now < call.deadline:
        return False
    usual = min(call.timeouts.first_byte, call.timeouts.total)
    return call.stream or call.deadline - began < NEARLY_ALL * usual
