"""A conversation in the form of the Gemini API: https://ai.google.dev/api/caching#Content.

System messages stand apart, the assistant is `model`, and results of tools are the user's. Gemini finds the call that a
result answers by the function's name and by the order; since Gemini 3 by an id as well. A signature of the model's
thoughts goes back where it came from, under the name that it has in Google's own OpenAI format:
`extra_content.google.thought_signature` (https://ai.google.dev/gemini-api/docs/thought-signatures).
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers._message_parts import check_said
from gateway_async.providers._requests import data_url, plain_text, web_url
from gateway_async.providers._tools import call_arguments

VENDOR = "Gemini"

_FILES = "https://generativelanguage.googleapis.com/v1beta/"
"""Where the Files API keeps `files/…`, whatever address the model is called at."""

_WANTS_SIGNATURES = re.compile(r"gemini-([3-9]|\d\d|(flash|pro)(-lite)?-latest)")

_UNSIGNED = "skip_thought_signature_validator"
"""What the API takes in place of a signature, for calls that another model made or a client has stripped."""

_MEDIA_TYPES: Mapping[str, str] = {
    **{kind: f"image/{kind}" for kind in ("bmp", "gif", "heic", "heif", "jpeg", "png", "webp")},
    **{kind: f"audio/{kind}" for kind in ("aac", "aiff", "flac", "mp3", "ogg", "wav")},
    **{kind: f"video/{kind}" for kind in ("mp4", "mpeg", "mpg", "webm", "wmv")},
    **{kind: f"text/{kind}" for kind in ("css", "csv", "html", "xml")},
    "jpg": "image/jpeg",
    "json": "application/json",
    "mov": "video/quicktime",
    "pdf": "application/pdf",
    "txt": "text/plain",
}
"""Ending of an address → its kind, as https://ai.google.dev/gemini-api/docs/file-input-methods lists them."""

Calls = dict[str, tuple[int, str]]
"""Id of a call → its place among all calls, and the function's name."""


def conversation(messages: list[Json], model: str) -> tuple[list[Json], list[Json]]:
    """The parts of the system instruction, and the turns of user and model.

    Raises:
        InvalidRequest: Something has no counterpart there; the error names it.
    """
    system: list[Json] = []
    contents: list[Json] = []
    calls: Calls = {}
    results: list[Json] = []
    for index, message in enumerate(messages):
        at, role = f"messages.{index}", message["role"]
        if role != "tool":
            results = []
        if role in ("system", "developer"):
            if text := plain_text(message.get("content"), at, f"{VENDOR}'s system instruction"):
                system.append({"text": text})
        elif role == "user":
            contents.append({"role": "user", "parts": _parts(message.get("content") or "", at)})
        elif role == "assistant":
            contents.append({"role": "model", "parts": _model_parts(message, at, calls, model)})
        elif role == "tool":
            if not results:
                contents.append({"role": "user", "parts": results})
            results.append(_result(message, at, calls))
            results.sort(key=lambda part: _place(part, calls))
        else:
            raise InvalidRequest.field(f"{at}.role", f"{VENDOR} has no role {role!r}")
    return system, contents


def _place(part: Json, calls: Calls) -> int:
    return calls.get(part["functionResponse"]["id"], (len(calls), ""))[0]


def _model_parts(message: Json, at: str, calls: Calls, model: str) -> list[Json]:
    check_said(message, at, VENDOR)
    said = message.get("content") or message.get("refusal")
    parts = _parts(said, at) if said else []
    if signature := _signature(message, at):
        if not parts:
            parts = [{"text": ""}]
        parts[-1]["thoughtSignature"] = signature
    made = [
        _call(call, f"{at}.tool_calls.{place}", calls)
        for place, call in enumerate(message.get("tool_calls") or ())
    ]
    if made and _WANTS_SIGNATURES.match(model):
        made[0].setdefault("thoughtSignature", _UNSIGNED)
    return [*_own_parts(message, at), *parts, *made] or [{"text": ""}]


def _google(message: Json, at: str) -> Json:
    """What an earlier answer said in Google's own words."""
    extra = message.get("extra_content") or {}
    google = (extra.get("google") or {}) if isinstance(extra, dict) else extra
    if not isinstance(google, dict):
        raise InvalidRequest.field(f"{at}.extra_content", "what an earlier answer had there is expected")
    return google


def _signature(message: Json, at: str) -> str | None:
    signature = _google(message, at).get("thought_signature")
    if signature is not None and not isinstance(signature, str):
        raise InvalidRequest.field(f"{at}.extra_content.google.thought_signature", "a text is expected")
    return signature


def _own_parts(message: Json, at: str) -> list[Any]:
    if not isinstance(parts := _google(message, at).get("parts") or [], list):
        raise InvalidRequest.field(f"{at}.extra_content.google.parts", "a list is expected")
    return parts


def _call(call: Json, at: str, calls: Calls) -> Json:
    name, given = call_arguments(call, at, VENDOR)
    calls[call["id"]] = (len(calls), name)
    part: Json = {"functionCall": {"id": call["id"], "name": name, "args": given}}
    if signature := _signature(call, at):
        part["thoughtSignature"] = signature
    return part


def _result(message: Json, at: str, calls: Calls) -> Json:
    answered = message.get("tool_call_id")
    if answered is None:
        raise InvalidRequest.field(f"{at}.tool_call_id", "a tool's answer names the call that it answers")
    _, name = calls.get(answered, (0, message.get("name")))
    if not name:
        raise InvalidRequest.field(f"{at}.tool_call_id", f"no message before has the call {answered!r}")
    parts = _parts(message.get("content") or "", at)
    text = "".join(part["text"] for part in parts if "text" in part)
    made: Json = {"id": answered, "name": name, "response": {"output": text}}
    if media := [part for part in parts if "text" not in part]:
        made["parts"] = media
    return {"functionResponse": made}


def _parts(content: Any, at: str) -> list[Json]:
    if isinstance(content, str):
        return [{"text": content}]
    return [_part(part, f"{at}.content.{index}") for index, part in enumerate(content)]


def _part(part: Json, at: str) -> Json:
    kind = part["type"]
    if kind == "text":
        return {"text": part["text"]}
    if kind == "refusal":
        return {"text": part.get("refusal") or ""}
    if kind == "image_url":
        return _media(part["image_url"]["url"], f"{at}.image_url.url")
    if kind == "input_audio":
        audio = part["input_audio"]
        return {"inlineData": {"mimeType": f"audio/{audio['format']}", "data": audio["data"]}}
    if kind == "file":
        return _file(part["file"], f"{at}.file")
    raise InvalidRequest.field(at, f"{VENDOR} has nothing for {kind!r}")


def _file(file: Json, at: str) -> Json:
    if file_id := file.get("file_id"):
        return {"fileData": {"fileUri": _FILES + file_id if file_id.startswith("files/") else file_id}}
    return _media(file.get("file_data") or "", f"{at}.file_data")


def _media(url: str, at: str) -> Json:
    """A file by its data or its address; Gemini fetches those of the web itself."""
    if found := data_url(url):
        return {"inlineData": {"mimeType": found.media_type, "data": found.data}}
    made = {"fileUri": web_url(url, at)}
    ending = re.split(r"[?#]", url)[0].rpartition(".")[2].lower()
    if kind := _MEDIA_TYPES.get(ending):
        made["mimeType"] = kind
    return {"fileData": made}
