"""What a soak asks, and the gateway that it asks: every policy on, providers that answer and one that fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from .gateways import BEARER, GUARDED, Gateway, Json, endpoint, model
from .load import said, wire
from .policies import ALL

_BODY: Json = {"messages": [{"role": "user", "content": "x" * 950}]}


@dataclass(frozen=True)
class Kind:
    """A sort of call."""

    name: str
    share: int
    """Of a hundred calls."""

    path: str
    body: Json
    statuses: range = range(200, 201)
    """The statuses that are expected."""

    headers: tuple[tuple[str, str], ...] = (*BEARER.items(), ("x-request-timeout", "30"))
    leaves: bool = False
    """The caller leaves in the middle of the answer."""

    @property
    def request(self) -> bytes:
        """The call as it goes over the wire."""
        return _REQUESTS[self.name]

    def expects(self, status: int, body: bytes) -> bool:
        """Whether an answer is as it should be; of 200, whether all of it came."""
        if self.leaves:
            return True
        return status in self.statuses and (status != 200 or said(body, stream="stream" in self.body))


def _invocations(route: str) -> str:
    return f"/gateway/{route}/invocations"


KINDS = (
    Kind("chat", 70, _invocations("chat"), _BODY),
    Kind("chat, OpenAI path", 8, "/v1/chat/completions", {**_BODY, "model": "chat"}),
    Kind("fallback", 6, _invocations("half"), _BODY),
    Kind("stream", 5, _invocations("chat"), {**_BODY, "stream": True}),
    Kind("left stream", 2, _invocations("paced"), {**_BODY, "stream": True}, leaves=True),
    Kind("provider fails", 4, _invocations("failing"), _BODY, range(500, 600)),
    Kind("not valid", 3, _invocations("chat"), {"messages": 5}, range(400, 423)),
    Kind("no such route", 1, _invocations("nowhere"), _BODY, range(404, 405)),
    Kind("no key", 1, _invocations("chat"), _BODY, range(401, 402), headers=()),
)


def in_turn() -> list[Kind]:
    """A hundred calls, the kinds well mixed and each time alike."""
    hundred = [kind for kind in KINDS for _ in range(kind.share)]
    Random(5).shuffle(hundred)
    return hundred


_REQUESTS: Mapping[str, bytes] = {
    kind.name: wire(kind.path, json.dumps(kind.body).encode(), dict(kind.headers)) for kind in KINDS
}


def configuration(upstream: int, _port: int) -> str:
    """Its configuration file."""
    fallback = [
        {"model": model(upstream, "/failing/v1")},
        {"model": model(upstream), "priority": 2},
    ]
    half = {**endpoint("half", upstream), "destinations": fallback}
    del half["model"]
    return json.dumps(
        {
            **ALL.server,
            "endpoints": [
                {**ALL.endpoint(upstream), "name": "chat"},
                half,
                endpoint("paced", upstream, "/paced/v1"),
                endpoint("failing", upstream, "/failing/v1"),
            ],
        }
    )


GATEWAY: Gateway = replace(GUARDED, name="soaked", configuration=configuration)
