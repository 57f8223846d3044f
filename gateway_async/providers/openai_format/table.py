"""A provider of each row in `provider_table`: OpenAI's format, with what the vendor does in its own way."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from gateway_async.config import Model, OpenAICompatibleConfig, RouteType
from gateway_async.errors import UnsupportedParameter, UpstreamError
from gateway_async.provider_table import Row
from gateway_async.providers._answers import wants_usage
from gateway_async.providers._base import Adapter, Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._errors import invalid, reported_error, told_error, upstream_error
from gateway_async.providers._message_parts import earlier_call
from gateway_async.providers._requests import PARAMETERS, join_url, take
from gateway_async.providers._streams import EventReader
from gateway_async.providers.openai_format.adapter import PATHS, OpenAIAdapter
from gateway_async.providers.openai_format.answer import standard_answer
from gateway_async.providers.openai_format.reader import ChatReader, CompletionReader
from gateway_async.sse import Event

NOT_OF_A_CHAT = frozenset({"best_of", "echo", "logprobs", "suffix"})
"""Parameters of completions that no chat has, or has with another meaning."""


class TableProvider:
    """The provider of one row."""

    def __init__(self, row: Row) -> None:
        self.name = row.name
        self.route_types = frozenset(RouteType) - (
            frozenset() if row.embeddings else {RouteType.LLM_V1_EMBEDDINGS}
        )
        self._row = row

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        row = self._row
        if kind is RouteType.LLM_V1_COMPLETIONS and not row.completions:
            chat = self._adapter(model, RouteType.LLM_V1_CHAT, row.lacks | NOT_OF_A_CHAT)
            return completions_by_chat(chat, row.vendor)
        own = row.lacks_in_completions if kind is RouteType.LLM_V1_COMPLETIONS else frozenset()
        return self._adapter(model, kind, row.lacks | own)

    def _adapter(self, model: Model, kind: RouteType, lacks: frozenset[str]) -> "TableAdapter":
        row, settings = self._row, model.config
        assert settings is None or isinstance(settings, OpenAICompatibleConfig)
        base = (settings.api_base if settings else None) or row.base or ""
        return TableAdapter(
            provider=row.name,
            kind=kind,
            url=join_url(_with_query(row, base), PATHS[kind]),
            headers=_headers(row, settings.api_key if settings else None),
            model=model.name,
            row=row,
            takes=_takes(row, lacks),
        )


@dataclass(frozen=True, slots=True)
class TableAdapter(OpenAIAdapter):
    """The format as one vendor speaks it, bound to one route."""

    row: Row
    takes: Mapping[str, str] | None
    """OpenAI's name → the vendor's, of the parameters that it takes; None where it takes all as they are."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The caller's own request, as far as the vendor takes it."""
        for name, values in self.row.only.items():
            if name in data and data[name] not in values:
                told = " or ".join(map(repr, values))
                raise UnsupportedParameter.field(name, f"{self.row.vendor} takes {told} only")
        if self.takes is not None:
            data = take(data, self.row.vendor, self.takes)
        if self.kind is RouteType.LLM_V1_CHAT:
            data = {
                **data,
                "messages": [
                    _message(message, self.row, f"messages.{at}")
                    for at, message in enumerate(data["messages"])
                ],
            }
        return OpenAIAdapter.request(self, data, stream=stream)

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The upstream's own answer, once it is known to have the standard shape."""
        mended = partial(mend, row=self.row)
        return standard_answer(response.body, self.provider, self.kind, self.model or "", mend=mended)

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(self.provider, response, status=self.row.means.get(response.status))

    def reader(self, data: Json) -> EventReader:
        """A reader that passes chunks on as bytes where it can."""
        if self.kind is RouteType.LLM_V1_COMPLETIONS:
            return CompletionReader(self.provider, self.model or "")
        return TableReader(self.row, self.model or "", usage=wants_usage(data))


class TableReader(ChatReader):
    """Chat chunks as one vendor sends them.

    Args:
        row: The vendor's row.
        model: Name of the model, for chunks that have none.
        usage: The caller asks for a last chunk with the usage.
    """

    def __init__(self, row: Row, model: str, *, usage: bool) -> None:
        super().__init__(row.name, model)
        self._row = row
        self._wants_usage = usage
        self._usage: Json | None = None
        self._mended = False

    def event(self, event: Event) -> Iterable[bytes]:
        """The event's own bytes, if it is a chunk in the standard shape; at the end what is owed."""
        yield from super().event(event)
        if self.done:
            yield from self._owed()

    def end(self) -> Iterable[bytes]:
        """The last chunks, and what is owed."""
        yield from super().end()
        yield from self._owed()

    def json(self, event: Event) -> Json:
        """The event's data, with the vendor's own ways mended."""
        value = super().json(event)
        self._mended = mend(value, self._row)
        return value

    def standard_chunk(self, value: Json) -> bool:
        """Bring a chunk into the standard shape; whether that changed it."""
        changed = super().standard_chunk(value) | self._mended
        own = value.get(self._row.usage_field) if self._row.usage_field else None
        if isinstance(own, dict):
            if own.get("error"):
                raise reported_error(self.provider, own["error"])
            if isinstance(used := own.get("usage"), dict):
                frame = {key: part for key, part in value.items() if key != self._row.usage_field}
                self._usage = {**frame, "choices": [], "usage": used}
        if value.get("usage") is not None:
            self._wants_usage = False
        return changed

    def _owed(self) -> Iterable[bytes]:
        """A chunk with the usage, for a caller who asks for it and has not got it."""
        if self._wants_usage and self._usage is not None:
            self._wants_usage = False
            try:
                yield orjson.dumps(self._usage)
            except orjson.JSONEncodeError:
                invalid(self.provider, "the usage of its stream is nested too deeply")


def _message(message: Json, row: Row, at: str) -> Json:
    """A message as the vendor knows it."""
    role = message["role"]
    if role == "developer" and not row.developer:
        return {**message, "role": "system"}
    if role != "assistant":
        return message
    # A client of OpenAI's sends an answer back with all its fields: an empty list says nothing, and is refused by some.
    message = {
        name: part
        for name, part in message.items()
        if name not in row.answers_only and not (name == "annotations" and part == [])
    }
    if row.answers_only and "tool_calls" in message:
        message["tool_calls"] = [
            earlier_call(call, f"{at}.tool_calls.{index}", row.vendor)
            for index, call in enumerate(message["tool_calls"])
        ]
    # A server that only the user knows may call thoughts by either name: there they go back as they came.
    if "reasoning_content" in message and row.thoughts != "reasoning_content" and row.base is not None:
        thoughts = message["reasoning_content"]
        rest = {name: part for name, part in message.items() if name != "reasoning_content"}
        return {row.thoughts: thoughts, **rest}
    return message


def mend(value: Json, row: Row) -> bool:
    """Bring what a vendor does in its own way into the standard form; whether that changed anything.

    Args:
        value: An answer or a chunk, which may lack or hold anything.
        row: The vendor's row.

    Raises:
        UpstreamError: It tells of a failure in a field of its own.
    """
    _fail_if_told(value, row)
    changed = False
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        if isinstance(error := choice.get("error"), dict):
            raise reported_error(row.name, error)
        message = choice.get("message") or choice.get("delta")
        if isinstance(message, dict) and _thoughts(message, row.thoughts):
            changed = True
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason in row.finish_reasons:
            choice["finish_reason"], changed = row.finish_reasons[reason], True
    return changed


def _thoughts(message: Json, name: str) -> bool:
    """Repeat the model's thoughts under the usual name; whether there are any that lack it."""
    found = message.get(name)
    if not isinstance(found, str) or message.get("reasoning_content") is not None:
        return False
    message["reasoning_content"] = found
    return True


def _fail_if_told(value: Json, row: Row) -> None:
    status = value.get(row.status_field) if row.status_field else None
    if isinstance(status, dict) and (code := status.get("status_code")):
        text = f"{row.name} reports an error: {status.get('status_msg') or 'no message'} ({code})"
        means = row.statuses.get(code, 502) if isinstance(code, int) else 502
        raise told_error(row.name, means, text, {"code": code, "message": text})


def _takes(row: Row, lacks: frozenset[str]) -> Mapping[str, str] | None:
    if not lacks and not row.renames:
        return None
    return {name: row.renames.get(name, name) for name in PARAMETERS if name not in lacks}


def _headers(row: Row, key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", **row.headers}
    if key:
        headers[row.key_header] = f"Bearer {key}" if row.key_header == "Authorization" else str(key)
    return headers


def _with_query(row: Row, base: str) -> str:
    address, _, query = base.partition("?")
    needed = next((n for end, n in row.queries.items() if address.rstrip("/").endswith(end)), None)
    return base if query or needed is None else f"{address}?{needed}"
