"""Parts of requests: what of OpenAI's a provider takes, under which name, and what it can't be given."""

import re
from collections.abc import Container, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway_async.errors import ConfigError, InvalidRequest, UnsupportedParameter
from gateway_async.providers._base import Json

ANY: Any = object()
"""Stands for every value, among those that ask for nothing."""

PARAMETERS: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "dimensions": (),
    "echo": (False,),
    "encoding_format": ("float", "base64"),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "max_completion_tokens": (),
    "max_tokens": (),
    "metadata": ({},),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "reasoning_effort": (),
    "response_format": ({"type": "text"},),
    "safety_identifier": (),
    "seed": (),
    "service_tier": ("auto", "default"),
    "stop": ([],),
    "store": (False,),
    "stream_options": (ANY,),
    "suffix": ("",),
    "temperature": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "user": (),
    "verbosity": (),
    "web_search_options": (),
}
"""OpenAI's parameters, each with the values that ask for nothing: they do no harm where a provider has it not.

What a stream tells of its usage, and base64 for embeddings, are made here from what the upstream says.
"""


def take(data: Json, vendor: str, takes: Mapping[str, str]) -> Json:
    """The request with the parameters that the provider takes, under its names for them.

    What is no parameter of OpenAI's (`messages`, `prompt` and `input` too, and `stream`) stays as it is: it is the
    vendor's own.

    Args:
        data: The request.
        vendor: The provider, as a sentence names it: "Cohere".
        takes: OpenAI's name → the provider's, for each parameter that the provider takes.

    Raises:
        UnsupportedParameter: The provider has nothing for one of OpenAI's parameters, and it asks for something.
    """
    body: Json = {}
    for name, value in data.items():
        if name in takes:
            body.setdefault(takes[name], value)
        elif name not in PARAMETERS:
            body[name] = value
        elif not asks_for_nothing(name, value):
            raise UnsupportedParameter.field(
                name, f"{vendor} has no such parameter; leave it out, or set drop_unsupported on the route"
            )
    return body


def asks_for_nothing(name: str, value: Any) -> bool:
    """Whether a parameter of OpenAI's does no harm where it is left out, with this value."""
    neutral = PARAMETERS[name]
    return ANY in neutral or any(value is n or (value == n and type(value) is not bool) for n in neutral)


def without_neutral(data: Json, names: Container[str]) -> Json:
    """The request without those of these parameters that ask for nothing, for a vendor who refuses their names."""
    return {
        name: value for name, value in data.items() if name not in names or not asks_for_nothing(name, value)
    }


def one_answer(data: Json, vendor: str) -> None:
    """Accept a request for one answer, where the provider gives no more.

    Raises:
        UnsupportedParameter: It asks for several.
    """
    if (count := data.get("n", 1)) != 1:
        raise UnsupportedParameter.field(
            "n", f"{vendor} gives one answer, so 'n' is 1 or left out, not {count}"
        )


def one_prompt(data: Json, vendor: str) -> str:
    """The text of a completion, alone or in a list of one: LangChain sends lists only.

    Raises:
        InvalidRequest: It is none, or there are several.
    """
    prompt = data["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise InvalidRequest.field("prompt", f"{vendor} takes one text")
    return prompt


def as_list(value: Any) -> list[Any]:
    """The value in a list, unless it is one (`stop` may be a text or several)."""
    return value if isinstance(value, list) else [value]


def own_name(data: Json, name: str, ours: str) -> None:
    """Accept a request that does not use a vendor's own name of what the gateway has a name for.

    Raises:
        InvalidRequest: It does.
    """
    if name in data:
        raise InvalidRequest.field(name, f"the gateway's name for it is {ours!r}")


def texts_of(data: Json, vendor: str) -> list[str]:
    """The texts of a request for embeddings.

    Raises:
        InvalidRequest: Tokens stand in their place.
    """
    given: list[str] = as_list(data["input"])
    if not all(isinstance(text, str) for text in given):
        raise InvalidRequest.field("input", f"{vendor} takes texts, not tokens")
    return given


class DataURL(NamedTuple):
    """A file that stands in its own address."""

    media_type: str
    data: str
    """Base64."""


_DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)(;[\w-]+=[\w-]+)*;base64,(?P<data>.*)", re.DOTALL)


def data_url(url: str) -> DataURL | None:
    """What stands in a `data:{media type};base64,{data}`; None for any other address."""
    found = _DATA_URL.fullmatch(url)
    return DataURL(found["kind"], found["data"]) if found else None


def web_url(url: str, at: str) -> str:
    """The address, which must be one of the web.

    Raises:
        InvalidRequest: It is none.
    """
    if not url.startswith(("https://", "http://")):
        raise InvalidRequest.field(at, "an https:// address or 'data:{media type};base64,{data}' is expected")
    return url


def plain_text(content: Any, at: str, vendor: str) -> str:
    """The text of a message for a provider that takes nothing else.

    Args:
        content: The message's content: a text, parts, or None.
        at: The message's path in the body: `messages.0`.
        vendor: The provider, as a sentence names it.

    Raises:
        InvalidRequest: A part is no text; the error names it.
    """
    if content is None or isinstance(content, str):
        return content or ""
    for index, part in enumerate(content):
        if part["type"] != "text":
            raise InvalidRequest.field(
                f"{at}.content.{index}", f"{vendor} takes text only, not {part['type']!r}"
            )
    return "".join(part["text"] for part in content)


def join_url(base: str, *parts: str) -> str:
    """The base address with parts added to its path; a query that it holds stays at the end."""
    address, mark, query = base.partition("?")
    return "/".join([address.rstrip("/"), *parts]) + mark + query


def path_part(name: str, *, safe: str = "!$&'()*+,;=:@~") -> str:
    """A name as one part of an address's path, whatever stands in it.

    Args:
        name: A model's or a deployment's.
        safe: What of it is not percent-encoded, beside letters, digits and `-._~`.

    Raises:
        ConfigError: It is the name of another place: `.` or `..`.
    """
    if name in (".", ".."):
        raise ConfigError(f"{name!r} is no name of a model; in an address it would lead elsewhere")
    return quote(name, safe=safe)
