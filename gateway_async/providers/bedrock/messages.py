"""A conversation in the form of Bedrock's Converse API.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html: turns of user and assistant alternate,
a message is a list of blocks, files stand in it as bytes, a document has a name of its own.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import check_said
from gateway_async.providers._requests import data_url
from gateway_async.providers._tools import call_arguments
from gateway_async.providers.bedrock.adapter import VENDOR

_OFFICE = "application/vnd.openxmlformats-officedocument"
_FORMATS: Mapping[str, tuple[str, str]] = {
    **{f"image/{name}": ("image", name) for name in ("gif", "jpeg", "png", "webp")},
    "image/jpg": ("image", "jpeg"),
    "application/msword": ("document", "doc"),
    "application/pdf": ("document", "pdf"),
    "application/vnd.ms-excel": ("document", "xls"),
    f"{_OFFICE}.spreadsheetml.sheet": ("document", "xlsx"),
    f"{_OFFICE}.wordprocessingml.document": ("document", "docx"),
    "text/csv": ("document", "csv"),
    "text/html": ("document", "html"),
    "text/markdown": ("document", "md"),
    "text/plain": ("document", "txt"),
    **{f"audio/{name}": ("audio", name) for name in ("aac", "flac", "m4a", "mpeg", "ogg", "opus", "webm")},
    "audio/mp3": ("audio", "mp3"),
    "audio/wav": ("audio", "wav"),
    "audio/x-wav": ("audio", "wav"),
    **{f"video/{name}": ("video", name) for name in ("mp4", "mpeg", "webm")},
    "video/3gpp": ("video", "three_gp"),
    "video/quicktime": ("video", "mov"),
    "video/x-flv": ("video", "flv"),
    "video/x-matroska": ("video", "mkv"),
    "video/x-ms-wmv": ("video", "wmv"),
}
"""Media type → the block that carries it and its format there."""

_IN_SYSTEM = ("text", "guardContent", "cachePoint")
_IN_RESULTS = ("text", "json", "image", "document", "video", "searchResult")
_IN_MESSAGES = (
    *("text", "image", "document", "video", "audio", "guardContent", "cachePoint", "citationsContent"),
    *("reasoningContent", "searchResult", "toolUse", "toolResult"),
)
"""Blocks by where they may stand. A part `{"type": "video", "video": {…}}` is such a block as Converse has it."""


def conversation(messages: list[Json]) -> tuple[list[Json], list[Json]]:
    """The system prompt's blocks, and the turns of user and assistant.

    Raises:
        InvalidRequest: Something has no counterpart there; the error names it.
    """
    system: list[Json] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        if role in ("system", "developer"):
            system += _blocks(message.get("content"), at, _IN_SYSTEM)
            continue
        side, blocks = _turn(role, message, at)
        if not blocks:
            continue  # Converse refuses a turn of nothing
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": side, "content": blocks})
    _tell_documents_apart(turns)
    return system, turns


def _turn(role: str, message: Json, at: str) -> tuple[str, list[Json]]:
    if role == "user":
        return "user", _blocks(message.get("content"), at, _IN_MESSAGES)
    if role == "assistant":
        return "assistant", _assistant(message, at)
    if role == "tool":
        return "user", _tool_result(message, at)
    raise InvalidRequest.field(f"{at}.role", f"{VENDOR} has no role {role!r}")


def _assistant(message: Json, at: str) -> list[Json]:
    check_said(message, at, VENDOR)
    blocks = _thoughts(message.get("thinking_blocks") or [], f"{at}.thinking_blocks")
    blocks += _blocks(message.get("content") or message.get("refusal"), at, _IN_MESSAGES)
    for index, call in enumerate(message.get("tool_calls") or []):
        name, given = call_arguments(call, f"{at}.tool_calls.{index}", VENDOR)
        blocks.append({"toolUse": {"toolUseId": call["id"], "name": name, "input": given}})
    return blocks


def _thoughts(thoughts: Any, at: str) -> list[Json]:
    """The thoughts of an earlier answer, which has them in the form that Anthropic gave them."""
    if not isinstance(thoughts, list):
        thoughts = [None]
    blocks: list[Json] = []
    for thought in thoughts:
        match thought:
            case {"type": "thinking", "thinking": str(text)}:
                signed = {"signature": thought["signature"]} if thought.get("signature") else {}
                blocks.append({"reasoningContent": {"reasoningText": {"text": text, **signed}}})
            case {"type": "redacted_thinking", "data": str(data)}:
                blocks.append({"reasoningContent": {"redactedContent": data}})
            case _:
                raise InvalidRequest.field(at, "the blocks of an earlier answer are expected, unchanged")
    return blocks


def _tool_result(message: Json, at: str) -> list[Json]:
    if "tool_call_id" not in message:
        raise InvalidRequest.field(f"{at}.tool_call_id", "a tool's answer names the call that it answers")
    blocks = _blocks(message.get("content"), at, (*_IN_RESULTS, "cachePoint"))
    content = [block for block in blocks if "cachePoint" not in block]
    marks = [block for block in blocks if "cachePoint" in block]
    return [{"toolResult": {"toolUseId": message["tool_call_id"], "content": content}}, *marks]


def _blocks(content: Any, at: str, allowed: tuple[str, ...]) -> list[Json]:
    """The blocks of a message's content. Converse refuses blank texts, which say nothing: they are left out."""
    if content is None or isinstance(content, str):
        return [{"text": content}] if content and not content.isspace() else []
    blocks: list[Json] = []
    for index, part in enumerate(content):
        place = f"{at}.content.{index}"
        block = _block(part, place)
        if not block.keys() <= set(allowed):
            raise InvalidRequest.field(place, f"{VENDOR} does not take {part['type']!r} here")
        if str(block.get("text", "other")).strip():
            blocks.append(block)
        blocks += cache_point(part, f"{place}.cache_control")
    return blocks


def _block(part: Json, at: str) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"text": part["text"]}
    if kind == "refusal":
        return {"text": str(part.get("refusal") or "")}
    if kind == "image_url":
        return _file(part["image_url"]["url"], "image", f"{at}.image_url.url")
    if kind == "input_audio":
        sound = part["input_audio"]
        return {"audio": {"format": sound["format"], "source": {"bytes": sound["data"]}}}
    if kind == "file":
        file = part["file"]
        if file.get("file_id"):
            raise InvalidRequest.field(f"{at}.file.file_id", f"{VENDOR} keeps no files; send 'file_data'")
        return _file(file.get("file_data") or "", "", f"{at}.file.file_data", file.get("filename"))
    if kind in _IN_MESSAGES or kind in _IN_RESULTS:
        if kind in part:
            return {kind: part[kind]}
        raise InvalidRequest.field(f"{at}.{kind}", f"a block of {VENDOR}'s is expected under {kind!r}")
    raise InvalidRequest.field(at, f"{VENDOR} has no part {kind!r}")


def _file(url: str, wanted: str, at: str, filename: str | None = None) -> Json:
    """The block for a file that stands in its own address."""
    if not (found := data_url(url)):
        text = f"{VENDOR} loads no addresses; 'data:{{media type}};base64,{{data}}' is expected"
        raise InvalidRequest.field(at, text)
    kind, form = _FORMATS.get(found.media_type, ("", ""))
    if not kind or (wanted and kind != wanted):
        raise InvalidRequest.field(at, f"{VENDOR} takes no {found.media_type!r} here")
    block: Json = {"format": form, "source": {"bytes": found.data}}
    if kind == "document":
        block["name"] = _document_name(filename or "")
    return {kind: block}


def _document_name(filename: str) -> str:
    """A name of letters, digits, single spaces, hyphens and brackets, which is all that Converse takes."""
    stem = filename.rpartition("/")[2].rpartition(".")[0] or filename
    return " ".join(re.sub(r"[^A-Za-z0-9()\[\]-]", " ", stem).split())[:180].rstrip() or "document"


def _tell_documents_apart(turns: list[Json]) -> None:
    """Number the documents of one name: Converse refuses a conversation that has a name twice."""
    seen: dict[str, int] = {}
    for block in (block for turn in turns for block in _all_blocks(turn["content"])):
        document = block.get("document")
        if isinstance(document, dict) and isinstance(name := document.get("name"), str):
            count = seen[name.lower()] = seen.get(name.lower(), 0) + 1
            if count > 1:
                block["document"] = {**document, "name": f"{name} ({count})"}


def _all_blocks(blocks: list[Json]) -> list[Json]:
    """The blocks, and those within the results of tools."""
    inner = [block["toolResult"]["content"] for block in blocks if _has_result(block)]
    return [*blocks, *(block for content in inner for block in content if isinstance(block, dict))]


def _has_result(block: Json) -> bool:
    result = block.get("toolResult")
    return isinstance(result, dict) and isinstance(result.get("content"), list)


def cache_point(part: Json, at: str) -> list[Json]:
    """The mark up to which the prompt is cached, where a part asks for it as Anthropic's parts do."""
    if (control := part.get("cache_control")) is None:
        return []
    if not isinstance(control, dict):
        raise InvalidRequest.field(at, "an object is expected")
    ttl = {"ttl": control["ttl"]} if "ttl" in control else {}
    return [{"cachePoint": {"type": "default", **ttl}}]
