"""JSON on its way to a gateway, the same for every transport."""

from typing import Any

from pydantic_core import to_json

from gateway_async.errors import InvalidRequest


def encode(payload: Any) -> bytes:
    """What a caller gives, as JSON. NaN goes out as it is and is refused by name: null would mean "not given".

    Raises:
        InvalidRequest: JSON can't hold it.
    """
    try:
        return to_json(payload, inf_nan_mode="constants")
    except ValueError as problem:
        raise InvalidRequest(f"the request can't be written as JSON: {problem}") from None
