"""A request of the load, and what became of it."""

from dataclasses import dataclass, field

from tests.faults.storm.wire import question


@dataclass(frozen=True)
class Ask:
    """One request: to which route, in which dialect, whole or streamed."""

    route: str
    openai: bool = False
    stream: bool = False
    padding: int = 0
    """Bytes more in its body."""

    leaves: bool = False
    """The caller closes the connection at the first bytes of the answer's body."""

    headers: tuple[str, ...] = ()

    def bytes(self, marker: int) -> bytes:
        """The request as it goes over the wire."""
        body = question(
            marker, stream=self.stream, model=self.route if self.openai else "", padding=self.padding
        )
        path = "/v1/chat/completions" if self.openai else f"/gateway/{self.route}/invocations"
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *self.headers]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@dataclass(slots=True)
class Outcome:
    """What became of one request."""

    ask: Ask
    marker: int
    started: float
    """When it was sent, on the clock of `time.monotonic`."""

    seconds: float = 0.0
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    broken: str = ""
    """What became of the connection in place of an end of the answer: refused, closed, hung, left."""

    caller: int = 0
    """The port from which it was sent."""

    reused: bool = False
    """An earlier request had been answered on its connection."""

    verdict: str = ""
    """See `tests.faults.storm.verdict`."""
