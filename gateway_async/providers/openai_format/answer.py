"""Answers in the OpenAI wire format: checked, filled in where something is missing, and else left alone.

What a check leaves as it was goes to the caller as the bytes that came; each says whether it changed anything.
"""

from collections.abc import Callable

from gateway_async.config import RouteType
from gateway_async.providers._answers import json_object, new_id, now
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid, reported_error
from gateway_async.providers.openai_format.shape import (
    CHOICE,
    FRAME,
    MESSAGE,
    NOTHING,
    ROW,
    choices_of,
    complete,
    dumped,
)


def standard_answer(
    body: bytes, provider: str, kind: RouteType, model: str, *, mend: Callable[[Json], bool] | None = None
) -> bytes:
    """The answer in the standard shape.

    Args:
        body: The upstream's answer.
        provider: Name of the provider.
        kind: The type of the route.
        model: Name of the model, for an answer that has none.
        mend: Changes what the provider does in its own way, before all else; whether it changed anything.

    Raises:
        UpstreamInvalid: It is not what the format promises.
        UpstreamError: It is an error, under a status that says otherwise.
    """
    value = json_object(body, provider)
    mended = mend is not None and mend(value)
    if "choices" not in value and "data" not in value and value.get("error"):
        raise reported_error(provider, value["error"])
    if kind is RouteType.LLM_V1_EMBEDDINGS:
        changed = _complete_embeddings(value, provider, model)
    elif kind is RouteType.LLM_V1_COMPLETIONS:
        changed = _complete_texts(value, provider, model)
    else:
        changed = _complete_chat(value, provider, model)
    return dumped(value, provider) if changed or mended else body


def _complete_chat(value: Json, provider: str, model: str) -> bool:
    if _is_usual(value):
        return False
    changed = _complete_frame(value, provider, "chatcmpl", "chat.completion", model)
    for position, choice in enumerate(choices_of(value, provider)):
        changed |= complete(choice, CHOICE, {"index": position}, provider, "a choice of its answer")
        if choice.get("message") is None:
            invalid(provider, "a choice of its answer has no message")
        complete(choice["message"], MESSAGE, NOTHING, provider, "a message of its answer")
    return changed


def _is_usual(value: Json) -> bool:
    """Whether a chat's answer is one of texts that lacks nothing, as most are: a look at a third of the check's cost."""
    get, choices = value.get, value.get("choices")
    if not (
        isinstance(answer_id := get("id"), str)
        and answer_id
        and isinstance(get("object"), str)
        and isinstance(get("created"), int)
        and isinstance(get("model"), str)
        and isinstance(get("usage"), dict)
        and isinstance(choices, list)
    ):
        return False
    for choice in choices:
        if not (isinstance(choice, dict) and isinstance(message := choice.get("message"), dict)):
            return False
        if not (
            isinstance(choice.get("index"), int)
            and isinstance(choice.get("finish_reason"), str)
            and isinstance(message.get("role"), str)
            and isinstance(message.get("content"), str)
            and message.get("refusal") is message.get("tool_calls") is None
            and choice.get("delta") is choice.get("text") is None
        ):
            return False
    return True


def _complete_texts(value: Json, provider: str, model: str) -> bool:
    changed = _complete_frame(value, provider, "cmpl", "text_completion", model)
    for position, choice in enumerate(choices_of(value, provider)):
        changed |= complete(choice, CHOICE, {"index": position}, provider, "a choice of its answer")
        # Some servers answer a completion in the shape of a chat.
        if "text" not in choice and (message := choice.pop("message", None)):
            choice["text"], changed = message.get("content") or "", True
        if not isinstance(choice.get("text"), str):
            invalid(provider, "a choice of its answer has no text")
    if value["object"] != "text_completion":
        value["object"], changed = "text_completion", True
    return changed


def _complete_embeddings(value: Json, provider: str, model: str) -> bool:
    changed = complete(value, FRAME, {"object": "list", "model": model}, provider, "its answer")
    if not isinstance(rows := value.get("data"), list):
        invalid(provider, "its answer has no data")
    for position, row in enumerate(rows):
        missing = {"index": position, "object": "embedding"}
        changed |= complete(row, ROW, missing, provider, "a row of its answer")
        if row.get("embedding") is None:
            invalid(provider, "a row of its answer has no embedding")
    return changed


def _complete_frame(value: Json, provider: str, prefix: str, kind: str, model: str) -> bool:
    missing: Json = {"object": kind, "model": model}
    if not value.get("id"):
        value["id"], missing["id"] = None, new_id(prefix)
    if value.get("created") is None:
        missing["created"] = now()
    return complete(value, FRAME, missing, provider, "its answer")
