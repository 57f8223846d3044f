"""Claude on Vertex AI: Anthropic's Messages API, the model in the address and the version in the body.

https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude,
https://docs.anthropic.com/en/api/claude-on-vertex-ai.
"""

from gateway_async.errors import UpstreamError
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import wants_usage
from gateway_async.providers._base import Json, UpstreamResponse
from gateway_async.providers._google import google_error
from gateway_async.providers._streams import EventReader
from gateway_async.providers.anthropic.answer import chat_answer
from gateway_async.providers.anthropic.request import messages_request
from gateway_async.providers.anthropic.stream import MessagesReader

VERSION = "vertex-2023-10-16"


class ClaudeAdapter(JsonAdapter):
    """Chat with Claude."""

    __slots__ = ()

    def body(self, data: Json, *, stream: bool) -> Json:
        """The body of `rawPredict` and `streamRawPredict`."""
        # Vertex AI writes a version behind an @; the limits of the models are known by Anthropic's names.
        body = messages_request(data, self.model.replace("@", "-"))
        # There are no tiers here: one that asks for nothing else than the usual one is not sent.
        return {
            "anthropic_version": VERSION,
            **{name: value for name, value in body.items() if name not in ("model", "service_tier")},
        }

    def translate(self, value: Json, data: Json) -> Json:
        """The message as a chat answer."""
        return chat_answer(value, self.provider)

    def reader(self, data: Json) -> EventReader:
        """A reader for the events of a message."""
        return MessagesReader(self.provider, include_usage=wants_usage(data))

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """Anthropic's error or Google's, with the caller's status where the caller is at fault."""
        return google_error(self.provider, response)
