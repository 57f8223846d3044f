"""Routes as they come over the API, read as the gateway reads them."""

from typing import Any

import pytest

from gateway_async.config import RouteConfig
from gateway_async.errors import InvalidRequest
from gateway_async.live.restricted import restricted_route
from gateway_async.server_config import UpstreamConfig

Json = dict[str, Any]


def read(document: Json, *secrets: str) -> RouteConfig:
    """The route, where the operator has listed these."""
    return restricted_route(document, UpstreamConfig(allow_secrets=list(secrets)))


def problems(document: Json, *secrets: str) -> dict[str, str]:
    """What is wrong with a route: the field, and what is said of it."""
    with pytest.raises(InvalidRequest) as refused:
        read(document, *secrets)
    assert refused.value.status == 422
    assert isinstance(refused.value.detail, list)
    return {".".join(map(str, entry["loc"][1:])): entry["msg"] for entry in refused.value.detail}
