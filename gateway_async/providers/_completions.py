"""Completions by a model that only chats: the prompt is one message of the user's, the answer is its text."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from gateway_async.errors import UpstreamError
from gateway_async.providers._base import (
    Adapter,
    Authorizing,
    ChunkReader,
    Json,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway_async.providers._requests import one_prompt


@dataclass(frozen=True, slots=True)
class CompletionsByChat:
    """An `Adapter` for completions around one for chat.

    Args:
        chat: The adapter of the chat.
        vendor: The provider, as a sentence names it.
    """

    chat: Adapter
    vendor: str

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The chat's own request."""
        return self.chat.request(self._as_chat(data), stream=stream)

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The chat's answer, as a completion."""
        answer = orjson.loads(self.chat.answer(response, self._as_chat(data)))
        answer["object"] = "text_completion"
        answer["choices"] = [
            {
                "index": choice["index"],
                "text": _text(choice["message"].get("content")),
                "finish_reason": choice.get("finish_reason"),
            }
            for choice in answer["choices"]
        ]
        return orjson.dumps(answer)

    def reader(self, data: Json) -> ChunkReader:
        """A reader for the chat's stream."""
        return _TextReader(self.chat.reader(self._as_chat(data)))

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The chat's error."""
        return self.chat.error(response)

    def _as_chat(self, data: Json) -> Json:
        message = {"role": "user", "content": one_prompt(data, self.vendor)}
        rest = {name: value for name, value in data.items() if name != "prompt"}
        return {"messages": [message], **rest}


class _AuthorizedCompletions(CompletionsByChat):
    """The same where the chat has credentials that change."""

    __slots__ = ()

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with the chat's credentials."""
        assert isinstance(self.chat, Authorizing)
        return await self.chat.authorize(request)


def completions_by_chat(chat: Adapter, vendor: str) -> CompletionsByChat:
    """Completions by this chat."""
    return (_AuthorizedCompletions if isinstance(chat, Authorizing) else CompletionsByChat)(chat, vendor)


class _TextReader:
    """The chunks of a chat, as those of a completion; what is no text is left out."""

    def __init__(self, chat: ChunkReader) -> None:
        self._chat = chat

    @property
    def done(self) -> bool:
        """The upstream has said that the stream is complete."""
        return self._chat.done

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The chunks that these bytes complete."""
        return self._texts(self._chat.feed(data))

    def end(self) -> Iterable[bytes]:
        """The last chunks."""
        return self._texts(self._chat.end())

    def _texts(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        for chunk in chunks:
            value = orjson.loads(chunk)
            choices = [
                {"index": choice["index"], "text": text, "finish_reason": choice.get("finish_reason")}
                for choice in value["choices"]
                if (text := _text(choice["delta"].get("content"))) or choice.get("finish_reason")
            ]
            if choices or value.get("usage"):
                yield orjson.dumps({**value, "object": "text_completion_chunk", "choices": choices})


def _text(content: object) -> str:
    """The text of a message, which may stand in parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
