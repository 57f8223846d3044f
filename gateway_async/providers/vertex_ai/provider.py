"""Vertex AI: Gemini and the models of others by its OpenAI endpoint, Claude in Anthropic's format, text embeddings.

https://cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview,
https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api. Google's credentials let us
in, or a token or a key that is configured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_async.config import Model, RouteType, VertexAIConfig
from gateway_async.credentials.google import GoogleCredentials
from gateway_async.errors import ConfigError, UpstreamError
from gateway_async.providers._authorized import Authorized
from gateway_async.providers._base import Adapter, Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._google import google_error
from gateway_async.providers._requests import PARAMETERS, join_url, path_part, take, without_neutral
from gateway_async.providers.openai_format.adapter import OpenAIAdapter
from gateway_async.providers.openai_format.answer import standard_answer
from gateway_async.providers.openai_format.reader import ChatReader
from gateway_async.providers.vertex_ai.claude import ClaudeAdapter
from gateway_async.providers.vertex_ai.embeddings import EmbeddingAdapter

NAME, VENDOR = "vertex-ai", "Vertex AI"

_OPENAI = "endpoints/openapi"

_KEYS = ("AIza", "AQ.")
"""How Google's API keys begin, which go into a header of their own."""

_GEMINI: Mapping[str, str] = {
    name: name
    for name in (
        *("frequency_penalty", "function_call", "functions", "max_completion_tokens", "max_tokens", "n"),
        *("presence_penalty", "reasoning_effort", "response_format", "seed", "stop", "stream_options"),
        *("temperature", "tool_choice", "tools", "top_p", "web_search_options"),
    )
}
"""What the endpoint's page lists for Google's models; it says that others pass without effect."""

_OF_TOOLS = ("parallel_tool_calls", "tool_choice", "tools")

_OF_CHATS: Mapping[str, str] = {
    name: name for name in PARAMETERS if name not in ("best_of", "echo", "suffix")
}
"""What the models of others take is their own business."""


class VertexAI:
    """The provider `vertex-ai`."""

    name = NAME
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        if config is None:
            raise ConfigError(f"{NAME} needs project and location, or api_base, in its config")
        assert isinstance(config, VertexAIConfig)
        base = _base(config)
        adapter = _adapter(model.name or "", kind, base, _headers(config.api_key))
        if config.api_key is None:
            adapter = Authorized(adapter, NAME, GoogleCredentials(config.credentials).headers)
        return completions_by_chat(adapter, VENDOR) if kind is RouteType.LLM_V1_COMPLETIONS else adapter


def _adapter(name: str, kind: RouteType, base: str, headers: Mapping[str, str]) -> Adapter:
    """The adapter for embeddings, or for chat, by which completions are made too."""
    if kind is RouteType.LLM_V1_EMBEDDINGS:
        short = name.removeprefix("google/")
        url = join_url(base, "publishers/google/models", path_part(f"{short}:predict"))
        return EmbeddingAdapter(NAME, url, headers, short)
    short = name.removeprefix("anthropic/")
    if short.startswith("claude"):
        models = "publishers/anthropic/models"
        whole, streamed = (
            join_url(base, models, path_part(f"{short}:{verb}"))
            for verb in ("rawPredict", "streamRawPredict")
        )
        return ClaudeAdapter(NAME, whole, headers, short, streamed)
    full = name if "/" in name else f"google/{name}"
    return ChatAdapter(
        NAME, RouteType.LLM_V1_CHAT, join_url(base, _OPENAI, "chat/completions"), headers, full
    )


def _base(config: VertexAIConfig) -> str:
    """All of the address before the operation's path; what is given to OpenAI's clients ends in its beginning."""
    if config.api_base is not None:
        return config.api_base.rstrip("/").removesuffix(f"/{_OPENAI}")
    place = config.location
    host = f"{place}-aiplatform.googleapis.com"
    if place == "global":
        host = "aiplatform.googleapis.com"
    elif place in ("eu", "us"):
        host = f"aiplatform.{place}.rep.googleapis.com"
    return f"https://{host}/v1/projects/{config.project}/locations/{place}"


def _headers(key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        is_key = key.startswith(_KEYS)
        headers |= {"x-goog-api-key": key} if is_key else {"Authorization": f"Bearer {key}"}
    return headers


@dataclass(frozen=True, slots=True)
class ChatAdapter(OpenAIAdapter):
    """Chat by the OpenAI endpoint."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The caller's own request, as far as the model takes it."""
        takes = _GEMINI if (self.model or "").startswith("google/") else _OF_CHATS
        body = take(data if data.get("tools") else without_neutral(data, _OF_TOOLS), VENDOR, takes)
        body["messages"] = [_message(message) for message in body["messages"]]
        return OpenAIAdapter.request(self, body, stream=stream)

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The endpoint's own answer, with what it leaves out where the model says nothing."""
        return standard_answer(response.body, NAME, self.kind, self.model or "", mend=_mend)

    def reader(self, data: Json) -> ChatReader:
        """A reader that passes chunks on as bytes where it can."""
        return CallsThrough(NAME, self.model or "")

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """Google's error, with the caller's status where the caller is at fault."""
        return google_error(NAME, response)


def _message(message: Json) -> Json:
    """A message in a role that all models know: what a developer says is the system's."""
    return {**message, "role": "system"} if message["role"] == "developer" else message


def _mend(value: Json) -> bool:
    """Complete what Gemini leaves unsaid, as when its thoughts use up all tokens; whether that changed anything."""
    changed = _mend_usage(value.get("usage"))
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("message") is None:
            choice["message"], changed = {"role": "assistant", "content": None}, True
    return changed


def _mend_usage(used: Any) -> bool:
    """Count an answer's tokens where they are not: they are those that are not the prompt's."""
    if isinstance(used, dict) and used.get("completion_tokens") is None:
        asked, total = used.get("prompt_tokens"), used.get("total_tokens")
        if isinstance(asked, int) and isinstance(total, int):
            used["completion_tokens"] = max(total - asked, 0)
            return True
    return False


class CallsThrough(ChatReader):
    """Chunks of a chat whose calls are numbered through the stream: Gemini's begin at 0 in each chunk.

    OpenAI's clients would add up all calls of one number.
    """

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._ids: dict[int, list[str]] = {}
        self._numbers: dict[tuple[int, Any], int] = {}

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape; whether that changed it."""
        changed = super().standard_chunk(value) | _mend_usage(value.get("usage"))
        for choice in value["choices"]:
            for call in choice["delta"].get("tool_calls") or ():
                if isinstance(call, dict):
                    changed |= self._number(choice["index"], call)
        return changed

    def _number(self, choice: int, call: Json) -> bool:
        """Number a call, or a piece of one, which has no id; whether that changed it."""
        given = call.get("index")
        if isinstance(given, int) or given is None:
            if isinstance(call_id := call.get("id"), str) and call_id:
                ids = self._ids.setdefault(choice, [])
                if call_id not in ids:
                    ids.append(call_id)
                self._numbers[choice, given] = ids.index(call_id)
            call["index"] = self._numbers.get((choice, given), given or 0)
        return call.get("index") != given


provider = VertexAI()
