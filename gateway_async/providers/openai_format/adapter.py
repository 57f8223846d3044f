"""The OpenAI wire format, for everybody who speaks it.

Requests go out as they came in, with the model's name; answers that are in the standard shape already are passed on
as bytes, checked and not written anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_async.config import RouteType
from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import encoded
from gateway_async.providers._base import Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._errors import upstream_error
from gateway_async.providers._streams import EventReader
from gateway_async.providers.openai_format.answer import standard_answer
from gateway_async.providers.openai_format.reader import ChatReader, CompletionReader

PATHS: Mapping[RouteType, str] = {
    RouteType.LLM_V1_CHAT: "chat/completions",
    RouteType.LLM_V1_COMPLETIONS: "completions",
    RouteType.LLM_V1_EMBEDDINGS: "embeddings",
}
"""An operation's path behind the base address."""


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """The OpenAI format, bound to one route."""

    provider: str
    kind: RouteType
    url: str
    headers: Mapping[str, str]
    model: str | None
    """Sent as `model`; None where the address names the model."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The caller's own request, with the model's name."""
        body = data if self.model is None else {"model": self.model, **data}
        return UpstreamRequest(self.url, self.headers, encoded(body))

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The upstream's own answer, once it is known to have the standard shape."""
        return standard_answer(response.body, self.provider, self.kind, self.model or "")

    def reader(self, data: Json) -> EventReader:
        """A reader that passes chunks on as bytes where it can."""
        kind = CompletionReader if self.kind is RouteType.LLM_V1_COMPLETIONS else ChatReader
        return kind(self.provider, self.model or "")

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(self.provider, response)
