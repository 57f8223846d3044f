"""Messages in the form of Mistral's API, which knows OpenAI's roles and refuses every key that it does not know itself.

https://docs.mistral.ai/api/endpoint/chat; parts of a content are its "chunks".
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import earlier_call, image_address, only_keys, role_of, spoken
from gateway_async.providers._requests import data_url

VENDOR = "Mistral"

BLOCKS = "mistral_blocks"
"""Where an answer keeps the chunks that are neither text nor thoughts; sent back, they go upstream again.

They are numbered: who adds up the chunks of a stream wants a number on all that stands in a list.
"""

_KEYS: Mapping[str, frozenset[str]] = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls", "prefix"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
"""What a message of each role may have."""

_CHUNKS = frozenset(
    {"text", "image_url", "document_url", "reference", "thinking", "resource", "resource_link"}
)
"""Chunks that go as they are."""

_CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")
"""What the ids of calls must look like: https://docs.mistral.ai/capabilities/function_calling, error 3280."""


def conversation(messages: list[Json]) -> list[Json]:
    """The messages in Mistral's form.

    Raises:
        InvalidRequest: Something has no counterpart there; the error names it.
    """
    return [_message(message, f"messages.{index}") for index, message in enumerate(messages)]


def call_id(given: str) -> str:
    """An id that Mistral takes, always the same for the same id of another provider's."""
    return given if _CALL_ID.fullmatch(given) else sha256(given.encode()).hexdigest()[:9]


def has_names(messages: list[Json]) -> bool:
    """Whether somebody is named, which Mistral refuses and agents' frameworks do in every message."""
    return any("name" in message and message["role"] != "tool" for message in messages)


def _message(message: Json, at: str) -> Json:
    role = role_of(message, _KEYS, at, VENDOR)
    thoughts, blocks = message.get("reasoning_content"), message.get(BLOCKS) or []
    apart = {"reasoning_content", BLOCKS} | ({"name"} - _KEYS[role])  # see `has_names`
    known = {name: value for name, value in spoken(message).items() if name not in apart}
    made = {**only_keys(known, _KEYS[role], at, VENDOR), "role": role}
    if isinstance(content := made.get("content"), list):
        made["content"] = [_chunk(part, role, f"{at}.content.{index}") for index, part in enumerate(content)]
    if role == "assistant":
        _answer(made, thoughts, blocks, at)
    elif "content" not in made:
        made["content"] = ""
    if "tool_call_id" in made:
        made["tool_call_id"] = call_id(made["tool_call_id"])
    return made


def _answer(made: Json, thoughts: Any, blocks: Any, at: str) -> None:
    """What the model has said before: its thoughts, its text, and the calls that it made."""
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InvalidRequest.field(f"{at}.{BLOCKS}", "a list of objects is expected")
    chunks = [{key: value for key, value in block.items() if key != "index"} for block in blocks]
    if isinstance(thoughts, str) and thoughts:
        chunks.insert(0, {"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]})
    if chunks:
        content = made.get("content") or []
        made["content"] = chunks + (
            [{"type": "text", "text": content}] if isinstance(content, str) else content
        )
    if "tool_calls" in made:
        made["tool_calls"] = [
            _call(call, f"{at}.tool_calls.{index}") for index, call in enumerate(made["tool_calls"])
        ]


def _call(call: Json, at: str) -> Json:
    return {**earlier_call(call, at, VENDOR), "id": call_id(call["id"])}


def _chunk(part: Json, role: str, at: str) -> Json:
    kind = part["type"]
    if role == "system" and kind not in ("text", "thinking"):
        raise InvalidRequest.field(at, f"{VENDOR} takes no part of type {kind!r} from the system")
    if make := _MADE.get(kind):
        return make(part, at)
    if kind not in _CHUNKS:
        raise InvalidRequest.field(at, f"{VENDOR} takes no part of type {kind!r}")
    return part


def _image(part: Json, at: str) -> Json:
    image = {"url": image_address(part, at)}
    if detail := part["image_url"].get("detail"):
        image["detail"] = detail
    return {"type": "image_url", "image_url": image}


def _audio(part: Json, at: str) -> Json:
    return {"type": "input_audio", "input_audio": part["input_audio"]["data"]}


def _file(part: Json, at: str) -> Json:
    file = part["file"]
    if file.get("file_id"):
        return {"type": "file", "file_id": file["file_id"]}
    url = file.get("file_data") or ""
    if data_url(url) is None:
        raise InvalidRequest.field(f"{at}.file.file_data", "'data:{media type};base64,{data}' is expected")
    made = {"type": "document_url", "document_url": url}
    return {**made, "document_name": file["filename"]} if file.get("filename") else made


_MADE: Mapping[str, Callable[[Json, str], Json]] = {"image_url": _image, "input_audio": _audio, "file": _file}
