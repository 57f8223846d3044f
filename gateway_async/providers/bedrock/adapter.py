"""What all of Bedrock's operations have in common: signed requests, errors, binary streams.

https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html and the errors that each operation of the
`bedrock-runtime` API lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from gateway_async.credentials.aws import Signer
from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import MALFORMED
from gateway_async.providers._base import Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._errors import error_message, invalid, upstream_error
from gateway_async.providers._streams import EventReader
from gateway_async.providers.bedrock.events import Messages
from gateway_async.sse import Event

VENDOR = "Bedrock"

_IN_STREAMS: Mapping[str, int] = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
"""Exceptions within a stream → the status that each has where it is an answer of its own."""

_MEANS: Mapping[str, int] = {
    "AccessDeniedException": 403,
    "IncompleteSignature": 403,
    "IncompleteSignatureException": 403,
    "NotAuthorized": 403,
    "ServiceQuotaExceededException": 429,
}
"""Errors whose status is or was 400 though the gateway's account is at fault → the status that says so.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
"""


@dataclass(frozen=True, slots=True)
class BedrockAdapter(JsonAdapter):
    """An adapter whose requests are signed when they are sent."""

    signer: Signer = field(kw_only=True)

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request, signed with the credentials of now."""
        headers = await self.signer.sign(request.method, request.url, request.headers, request.body)
        return replace(request, headers=headers, unique=True)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, by its type."""
        kind = response.headers.get("x-amzn-errortype", "").partition(":")[0]
        said = _said(response.body) or kind
        return upstream_error(self.provider, response, said=said, status=_MEANS.get(kind))


class FrameReader(EventReader):
    """A reader of Bedrock's event streams; a subclass says what an event means."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider, Messages())

    def event(self, event: Event) -> Iterable[bytes]:
        """The chunks that one event stands for."""
        if event.name == "broken":
            invalid(self.provider, f"its stream is none of AWS's event streams: {event.data.decode()}")
        if event.name.startswith("exception/"):
            raise self._exception(event.name.removeprefix("exception/"), event.data)
        value = self.json(event)
        try:
            yield from self.chunks(event.name, value)
        except MALFORMED:
            invalid(self.provider, "an event of its stream lacks what it should have, or comes out of order")

    def chunks(self, name: str, value: Json) -> Iterable[bytes]:
        """The chunks that one event of this name stands for. Sets `done` when it is the last.

        Raises:
            KeyError: And the others of `MALFORMED`: it is not what the API promises.
        """
        raise NotImplementedError

    def _exception(self, kind: str, body: bytes) -> UpstreamError:
        response = UpstreamResponse(_IN_STREAMS.get(kind, 500), {}, body)
        return upstream_error(self.provider, response, said=_said(body) or kind)


def _said(body: bytes) -> str:
    """AWS's words, which stand under `message`, or under `Message` where the request was not even looked at."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return error_message(body)
    if not isinstance(value, dict):
        return error_message(body)
    said = value.get("message") or value.get("Message")
    if isinstance(said, str) and isinstance(original := value.get("originalMessage"), str):
        return f"{said} ({original})"
    return said if isinstance(said, str) else ""
