"""What a chat says that is answered rightly: the chaos upstream writes it, the load compares.

Each request carries a marker, and its right answer repeats it: an answer that reached somebody else is seen.
"""

import json
import re
from collections.abc import Iterator

MARKER = re.compile(rb"marker-(\d+)")
_SAID = "marker-%d: Zürich 漢字 and 🌊, told in a few words"
_HEAD = '{"id":"chatcmpl-1","created":1700000000,"model":"chaos","object":"chat.completion'
_USAGE = '"usage":{"prompt_tokens":7,"completion_tokens":11,"total_tokens":18}'

DONE = b"data: [DONE]\n\n"


def said(marker: int) -> str:
    """The text of the right answer to a request."""
    return _SAID % marker


def question(marker: int, *, stream: bool, model: str = "", padding: int = 0) -> bytes:
    """The body of a request.

    Args:
        marker: Its marker.
        stream: Whether it asks for a stream.
        model: Where the path does not name the route.
        padding: So many bytes more.
    """
    named = {"model": model} if model else {}
    streamed = {"stream": True} if stream else {}
    messages = [{"role": "user", "content": f"marker-{marker} {'x' * padding}"}]
    return json.dumps({**named, **streamed, "messages": messages}).encode()


def whole(marker: int) -> bytes:
    """The right answer as OpenAI writes it."""
    message = f'{{"role":"assistant","content":"{said(marker)}"}}'
    choice = f'{{"index":0,"message":{message},"finish_reason":"stop"}}'
    return f'{_HEAD}","choices":[{choice}],{_USAGE}}}'.encode()


def event(delta: str, finish: str = "null") -> bytes:
    """One event of a stream."""
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {_HEAD}.chunk","choices":[{choice}]}}\n\n'.encode()


def words(marker: int) -> Iterator[bytes]:
    """The events that say the right answer."""
    first, *others = said(marker).split(" ")
    yield event(f'{{"role":"assistant","content":"{first}"}}')
    for word in others:
        yield event(f'{{"content":" {word}"}}')


def events(marker: int, *, usage: bool = False) -> Iterator[bytes]:
    """The right answer as a stream, with usage at its end where it is asked for."""
    yield from words(marker)
    yield event("{}", '"stop"')
    if usage:
        yield f'data: {_HEAD}.chunk","choices":[],{_USAGE}}}\n\n'.encode()
    yield DONE
