"""Messages of OpenAI's for vendors who speak its format and refuse what they do not know of it."""

from collections.abc import Container, Iterator
from typing import Any

from gateway_async.errors import InvalidRequest
from gateway_async.providers._base import Json
from gateway_async.providers._requests import data_url, web_url

_NOTHING: tuple[Any, ...] = (None, "", [], {})


def role_of(message: Json, roles: Container[str], at: str, vendor: str) -> str:
    """The message's role, which must be one of the vendor's; what a developer says is the system's.

    Raises:
        InvalidRequest: The vendor has no such role.
    """
    given = str(message["role"])
    role = "system" if given == "developer" else given
    if role not in roles:
        raise InvalidRequest.field(f"{at}.role", f"{vendor} has no role {given!r}")
    return role


def only_keys(message: Json, keys: Container[str], at: str, vendor: str) -> Json:
    """The message with the keys that the vendor knows; others may be there as long as they say nothing.

    Raises:
        InvalidRequest: One says something.
    """
    for name, value in message.items():
        if name not in keys and value not in _NOTHING:
            raise InvalidRequest.field(
                f"{at}.{name}", f"{vendor} takes no {name!r} in a message of {message['role']!r}"
            )
    return {name: value for name, value in message.items() if name in keys}


def check_said(message: Json, at: str, vendor: str) -> None:
    """Accept a message of the assistant's, for a vendor who has neither its sound nor the calls before those of tools.

    Raises:
        InvalidRequest: It has one of them.
    """
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise InvalidRequest.field(f"{at}.{name}", f"{vendor} has nothing for it; leave it out")


def image_address(part: Json, at: str) -> str:
    """The address of an image, one of the web or one that holds the image itself.

    Raises:
        InvalidRequest: It is neither.
    """
    url = str(part["image_url"]["url"])
    return url if data_url(url) is not None else web_url(url, f"{at}.image_url.url")


def bare_image(part: Json, at: str) -> Json:
    """An image for a vendor that takes its address, and not how to look at it; see `image_details`.

    Raises:
        InvalidRequest: The address is none.
    """
    return {"type": "image_url", "image_url": {"url": image_address(part, at)}}


def image_details(messages: list[Json]) -> Iterator[str]:
    """Where it is said how to look at an image, which is dropped for a vendor who knows one way only."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if part["type"] == "image_url" and part["image_url"].get("detail") not in (None, "auto"):
                yield f"messages.{index}.content.{number}.image_url.detail"


def spoken(message: Json) -> Json:
    """The message with the assistant's refusal as its text, for a vendor who has no other place for it."""
    if message["role"] != "assistant":
        return message
    made = {name: value for name, value in message.items() if name != "refusal"}
    content = message.get("content")
    if isinstance(content, list):
        made["content"] = [
            {"type": "text", "text": str(part.get("refusal") or "")} if part["type"] == "refusal" else part
            for part in content
        ]
    elif not content and message.get("refusal"):
        made["content"] = message["refusal"]
    return made


def function_of(call: Json, at: str, vendor: str) -> Json:
    """The name and the arguments of a call that the assistant made before, the arguments as they are.

    Raises:
        InvalidRequest: It calls no function.
    """
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, dict):
        raise InvalidRequest.field(at, f"{vendor} takes calls of functions only")
    return {key: function[key] for key in ("name", "arguments")}


def earlier_call(call: Json, at: str, vendor: str) -> Json:
    """A call that the assistant made before, in OpenAI's form.

    Without arguments it has an empty object: clients that fold a stream have an empty text there, which is no JSON.

    Raises:
        InvalidRequest: It calls no function.
    """
    function = function_of(call, at, vendor)
    named = {"name": function["name"], "arguments": function["arguments"] or "{}"}
    return {"id": call["id"], "type": "function", "function": named}
