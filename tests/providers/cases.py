"""The recorded cases: what a caller sends, what goes upstream, what comes back, what the caller gets.

A case is a file `recorded/<provider>/<name>.json`:

- `about`: what it shows, and where the upstream's side is documented.
- `kind`, `model`: the route.
- `request`: what the caller sends.
- `upstream_request`: `url`, the `headers` that matter, and `body`.
- `upstream_answer`: `body` (a text where it is no JSON), and `status` and `headers` where they are not 200 and none.
  Then `answer` is what the caller gets.
- `upstream_events`: in its place, the lines of a stream. Then `chunks` is what the caller gets.
- `upstream_frames`: in its place, the messages of a stream in AWS's binary format, each `{"headers", "payload"}`.
- `error`: how it ends, where it does not end well: the kind of the error and its attributes.
- `folds_to`: the case whose answer the chunks add up to.
- `shape`: why the upstream's side is not of the vendor's own types; absent where it is.

In an answer `<now>` stands for the time of the call and `<id>` for an id of ours, the same throughout a stream.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway_async.config import Model, RouteType
from gateway_async.errors import GatewayError, UpstreamError
from gateway_async.providers import get_provider
from gateway_async.providers._base import Adapter, ChunkReader, Responder, UpstreamRequest, UpstreamResponse
from gateway_async.validation import decode, validate

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "recorded"
KEYS = ("sk-recorded-openai", "sk-ant-recorded", "key-recorded")
"""The keys of the recorded cases: OpenAI's, Anthropic's, everybody else's."""


@dataclass(frozen=True)
class Case:
    """One recorded case; the module says what its fields hold."""

    name: str
    about: str
    kind: str
    model: Json
    request: Json
    upstream_request: Json
    upstream_answer: Json | None = None
    upstream_events: Sequence[str] | None = None
    upstream_frames: Sequence[Json] | None = None
    answer: Json | None = None
    chunks: Sequence[Json] | None = None
    error: Json | None = None
    folds_to: str | None = None
    shape: str | None = None

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return str(self.model["provider"])

    @property
    def streams(self) -> bool:
        """The answer is a stream."""
        return self.upstream_events is not None or self.upstream_frames is not None

    @property
    def of_events(self) -> bool:
        """The stream is one of server-sent events, not of lines that are JSON, and not binary."""
        return any(line.startswith("data:") for line in self.upstream_events or ())

    @property
    def line_ends(self) -> Sequence[str]:
        """How the lines of the stream may end."""
        return ("\n", "\r\n", "\r") if self.of_events else ("\n", "\r\n") if self.upstream_events else ("\n",)

    @property
    def fails(self) -> bool:
        """It ends with an error."""
        return self.error is not None

    @property
    def route_type(self) -> RouteType:
        """The type of the route."""
        return RouteType(self.kind)

    def adapter(self) -> Adapter:
        """The real adapter of the case's route."""
        bound = get_provider(self.provider).bind(Model.model_validate(self.model), self.route_type)
        assert not isinstance(bound, Responder)
        return bound

    def data(self) -> Json:
        """The request as the gateway hands it to an adapter."""
        return validate(self.route_type, decode(json.dumps(self.request).encode()))

    def sent(self) -> UpstreamRequest:
        """What the adapter sends upstream."""
        return self.adapter().request(self.data(), stream=self.streams)

    def reader(self) -> ChunkReader:
        """A reader for the case's stream."""
        return self.adapter().reader(self.data())

    @property
    def upstream_body(self) -> bytes:
        """The body of the upstream's answer."""
        assert self.upstream_answer is not None
        body = self.upstream_answer["body"]
        return body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()

    @property
    def upstream_status(self) -> int:
        """The status of the upstream's answer."""
        return int(self.upstream_answer.get("status", 200)) if self.upstream_answer else 200

    @property
    def upstream_headers(self) -> Mapping[str, str]:
        """The headers of the upstream's answer, their names in small letters."""
        headers = (self.upstream_answer or {}).get("headers", {})
        return {name.lower(): value for name, value in headers.items()}

    def response(self) -> UpstreamResponse:
        """The upstream's answer, as the adapter gets it."""
        return UpstreamResponse(self.upstream_status, self.upstream_headers, self.upstream_body)

    def stream_bytes(self, line_end: str = "\n") -> bytes:
        """The bytes of the upstream's stream."""
        if self.upstream_frames is not None:
            return b"".join(frame_bytes(frame) for frame in self.upstream_frames)
        return "".join(line + line_end for line in self.upstream_events or ()).encode()

    @property
    def stream_type(self) -> str:
        """The content type of the upstream's stream."""
        if self.upstream_frames is not None:
            return "application/vnd.amazon.eventstream"
        return "text/event-stream" if self.of_events else "application/stream+json"

    def upstream_data(self) -> list[Json]:
        """The JSON of each upstream event whose data stands on one line."""
        if self.upstream_frames is not None:
            return [frame["payload"] for frame in self.upstream_frames]
        lines = self.upstream_events or ()
        if self.of_events:
            lines = [line.removeprefix("data:") for line in lines if line.startswith("data:")]
        return [json.loads(line) for line in lines if line.strip() not in ("", "[DONE]")]


def frame_bytes(frame: Json) -> bytes:
    """A message of AWS's event streams: https://smithy.io/2.0/aws/amazon-eventstream.html."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in frame["headers"].items()
    )
    payload = json.dumps(frame["payload"], ensure_ascii=False).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


@dataclass
class Read:
    """What a reader made of a stream."""

    chunks: list[Any] = field(default_factory=list)
    error: GatewayError | None = None


def read(reader: ChunkReader, pieces: Iterable[bytes]) -> Read:
    """Everything that a reader gives for the pieces of a stream; after an error nothing more."""
    found = Read()
    try:
        for piece in pieces:
            for chunk in reader.feed(piece):
                found.chunks.append(json.loads(chunk))
        for chunk in reader.end():
            found.chunks.append(json.loads(chunk))
    except GatewayError as error:
        found.error = error
    return found


def outcome(error: GatewayError) -> Json:
    """An error as the cases record it."""
    known: Json = {
        "type": type(error).__name__,
        "status": error.status,
        "error_code": error.error_code,
        "message": error.message,
    }
    if error.retry_after is not None:
        known["retry_after"] = error.retry_after
    if isinstance(error, UpstreamError) and error.refusal is not None:
        known["refusal"] = error.refusal
    if isinstance(error, UpstreamError) and not error.passes:
        known["passes"] = False
    return known


def settled(expected: Any, actual: Any) -> Any:
    """The expected value with its placeholders replaced by what stands in their places, which must be of their kind."""
    if expected == "<now>":
        assert isinstance(actual, int)
        assert actual > 1_700_000_000
        return actual
    if expected == "<id>":
        assert isinstance(actual, str)
        assert len(actual) > 20
        return actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {key: settled(value, actual.get(key)) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [settled(*pair) for pair in zip(expected, actual, strict=True)]
    return expected


def _load(path: Path) -> Case:
    return Case(f"{path.parent.name}/{path.stem}", **json.loads(path.read_text("utf-8")))


CASES: Mapping[str, Case] = {case.name: case for case in map(_load, sorted(FOLDER.glob("*/*.json")))}


def each(choose: Callable[[Case], object] = lambda case: True) -> pytest.MarkDecorator:
    """Run a test once for each case that is chosen."""
    chosen = [case for case in CASES.values() if choose(case)]
    assert chosen
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in chosen])
