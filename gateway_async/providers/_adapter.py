"""What most adapters have in common: JSON goes up, JSON comes down."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import orjson

from gateway_async.errors import InvalidRequest, NotSupported, UpstreamError
from gateway_async.providers._answers import MALFORMED, json_object
from gateway_async.providers._base import ChunkReader, Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._errors import invalid, upstream_error


@dataclass(frozen=True, slots=True)
class JsonAdapter:
    """An `Adapter` whose provider says what the body is, and what the answer means."""

    streams: ClassVar[bool] = True
    """The upstream has streams; else a request for one is refused with 501."""

    provider: str
    url: str
    headers: Mapping[str, str]
    model: str
    stream_url: str = ""
    """Where streams are asked for, if that is another address."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """What to send upstream."""
        if stream and not self.streams:
            raise NotSupported(f"{self.provider} has no streams for this type of route; leave 'stream' out")
        url = self.stream_url or self.url if stream else self.url
        return UpstreamRequest(url, self.headers, encoded(self.body(data, stream=stream)))

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The answer in the standard shape."""
        value = json_object(response.body, self.provider)
        try:
            return orjson.dumps(self.translate(value, data))
        except MALFORMED:
            invalid(self.provider, "its answer lacks what it should have")

    def reader(self, data: Json) -> ChunkReader:
        """A reader for the stream that answers this request."""
        raise NotImplementedError

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(self.provider, response)

    def body(self, data: Json, *, stream: bool) -> Json:
        """The upstream's body.

        Raises:
            InvalidRequest: The provider can't carry something in the request; the error names it.
        """
        raise NotImplementedError

    def translate(self, value: Json, data: Json) -> Json:
        """The upstream's answer in the standard shape.

        Raises:
            KeyError: And the others of `MALFORMED`: it is not what the API promises.
        """
        raise NotImplementedError


def encoded(body: Json) -> bytes:
    """A request's body as JSON.

    Raises:
        InvalidRequest: It is nested too deeply, or holds a number that is too large.
    """
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as problem:
        raise InvalidRequest(f"the request can't be passed on: {problem}") from None
