"""A conversation in the form of Anthropic's Messages API.

https://docs.anthropic.com/en/api/messages: system messages stand apart, calls of tools and their results are content
blocks, thoughts go back first in their turn.
"""

import base64
import binascii
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import check_said
from gateway_async.providers._requests import data_url, web_url
from gateway_async.providers._tools import call_arguments


def conversation(messages: list[Json]) -> tuple[Any, list[Json]]:
    """The system prompt, and the messages of user and assistant.

    Raises:
        InvalidRequest: Something has no counterpart there; the error names it.
    """
    system: list[Any] = []
    turns: list[Json] = []
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        if role in ("system", "developer"):
            system.append(_content(message.get("content") or "", at))
        elif role == "user":
            turns.append({"role": "user", "content": _content(message.get("content") or "", at)})
        elif role == "assistant":
            if content := _assistant(message, at):  # an empty turn is refused
                turns.append({"role": "assistant", "content": content})
        elif role == "tool":
            result = _tool_result(message, at)
            # The results of parallel calls stand together in one turn.
            if turns and turns[-1]["role"] == "user" and index and messages[index - 1]["role"] == "tool":
                turns[-1]["content"].append(result)
            else:
                turns.append({"role": "user", "content": [result]})
        else:
            raise InvalidRequest.field(f"{at}.role", f"Anthropic has no role {role!r}")
    if all(isinstance(text, str) for text in system):
        return "\n".join(system), turns
    blocks = [[{"type": "text", "text": part}] if isinstance(part, str) else part for part in system]
    return [block for part in blocks for block in part], turns


def _assistant(message: Json, at: str) -> Any:
    check_said(message, at, "Anthropic")
    if (blocks := message.get("anthropic_blocks")) is not None:
        return _blocks(
            blocks, f"{at}.anthropic_blocks"
        )  # all that the message held, with what stands beside it
    content = _content(message.get("content") or message.get("refusal") or "", at)
    thoughts, calls = message.get("thinking_blocks") or [], message.get("tool_calls") or []
    if not thoughts and not calls:
        return content
    said = [{"type": "text", "text": content}] if isinstance(content, str) else content
    blocks = _blocks(thoughts, f"{at}.thinking_blocks")
    blocks += [block for block in said if block.get("text") != ""]
    return blocks + [_tool_use(call, f"{at}.tool_calls.{index}") for index, call in enumerate(calls)]


def _blocks(blocks: Any, at: str) -> list[Json]:
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InvalidRequest.field(at, "the blocks of an earlier answer are expected, unchanged")
    # A stream numbers them; upstream the number is not known.
    return [{key: value for key, value in block.items() if key != "index"} for block in blocks]


def _tool_use(call: Json, at: str) -> Json:
    name, given = call_arguments(call, at, "Anthropic")
    return {"type": "tool_use", "id": call["id"], "name": name, "input": given}


def _tool_result(message: Json, at: str) -> Json:
    if "tool_call_id" not in message:
        raise InvalidRequest.field(f"{at}.tool_call_id", "a tool's answer names the call that it answers")
    content = _content(message.get("content") or "", at)
    return {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}


def _content(content: Any, at: str) -> Any:
    if isinstance(content, str):
        return content
    blocks = [_block(part, f"{at}.content.{index}") for index, part in enumerate(content)]
    return [block for block in blocks if block.get("text") != ""] or ""  # an empty one is refused


def _block(part: Json, at: str) -> Json:
    kind = part["type"]
    rest = {key: part[key] for key in ("cache_control",) if key in part}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"], f"{at}.image_url.url"), **rest}
    if kind == "file":
        return {**_document(part["file"], f"{at}.file"), **rest}
    if kind == "input_audio":
        raise InvalidRequest.field(at, "Anthropic takes no audio")
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal") or ""}
    return part  # text as it is, and Anthropic's own kinds


def _document(file: Json, at: str) -> Json:
    if file.get("file_id"):
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}}
    named = {"title": file["filename"]} if file.get("filename") else {}
    source = _source(file.get("file_data") or "", f"{at}.file_data")
    if source.get("media_type", "").startswith("text/"):
        text = _text(source["data"], f"{at}.file_data")
        source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, **named}


def _text(data: str, at: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest.field(at, "a text is expected in UTF-8 and base64") from None


def _source(url: str, at: str) -> Json:
    if found := data_url(url):
        return {"type": "base64", "media_type": found.media_type, "data": found.data}
    return {"type": "url", "url": web_url(url, at)}
