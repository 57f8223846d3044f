"""OpenAI's types with what a vendor's pages add to them: for providers that speak its format and publish no SDK."""

import json
from collections.abc import Sequence
from typing import Any

from gateway_async.provider_table import ROWS
from tests.providers.published import openai

Json = dict[str, Any]

_WORDS = ("error", "message", "detail")
"""Where the words of an error stand, at the top."""


class OpenAICompatible:
    """The checks of one vendor, in the form that `published` describes.

    Args:
        name: The provider.
        takes: Parameters of its own.
        message_takes: Fields of its own in a message that it is sent.
        adds: Keys that its answers have beyond OpenAI's types.
    """

    def __init__(
        self,
        name: str,
        *,
        takes: Sequence[str] = (),
        message_takes: Sequence[str] = (),
        adds: Sequence[str] = (),
    ) -> None:
        self.adds = tuple(adds)
        self._takes = set(takes)
        self._message_takes = set(message_takes)
        row = ROWS[name]
        self._not_taken = {"chat/completions": row.lacks | row.renames.keys()}
        self._not_taken["completions"] = self._not_taken["chat/completions"] | row.lacks_in_completions
        self._has = {
            "chat/completions": "llm/v1/chat",
            **({"completions": "llm/v1/completions"} if row.completions else {}),
            **({"embeddings": "llm/v1/embeddings"} if row.embeddings else {}),
        }

    def check_sent(self, kind: str, url: str, body: Json) -> None:
        """Accept a body that the vendor takes: OpenAI's parameters without those it lacks, and its own."""
        operation = self._operation(url)
        assert not body.keys() & self._not_taken.get(operation, set())
        known = {key: value for key, value in body.items() if key not in self._takes}
        if "messages" in known:
            known["messages"] = [
                {key: value for key, value in message.items() if key not in self._message_takes}
                for message in known["messages"]
            ]
        openai.check_sent(self._has[operation], url, known)

    def check_answered(self, kind: str, url: str, body: bytes) -> None:
        """Accept an answer that the vendor may give."""
        openai.check_answered(self._has[self._operation(url)], url, body, adds=self.adds)

    def check_event(self, kind: str, url: str, data: Json) -> None:
        """Accept the data of one event of a stream."""
        if "error" not in data:
            openai.check_event(self._has[self._operation(url)], url, data, adds=self.adds)

    def check_error(self, status: int, body: bytes) -> None:
        """Accept the body of an error, whose words stand in one of the usual places."""
        assert any(json.loads(body).get(word) for word in _WORDS)

    def _operation(self, url: str) -> str:
        path = url.partition("?")[0]
        return next(operation for operation in self._has if path.endswith(f"/{operation}"))
