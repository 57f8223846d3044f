"""A provider that needs no key and no network: answers that reflect the input, for trying things out and for tests.

The same request always gets the same answer. Its tokens are words and punctuation marks; counts, `max_tokens`, `stop`
and `n` are kept as a real model keeps them. Tools, when they are given, are called with arguments made from their
JSON schema; embeddings are unit vectors in which texts with common words are near.
"""

import asyncio
import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway_async.call import Answer, Call, Headers, StreamAnswer
from gateway_async.config import Model, RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.providers._answers import new_id, now
from gateway_async.providers._base import Json
from gateway_async.providers._sample import sample

DIMENSIONS = 256
"""Length of an embedding, unless the request asks for another."""

MOST_TEXT = 2**20
"""Characters of text, or tokens, that a request may hold. What takes long here keeps every other caller waiting."""

MOST_CHOICES = 128
MOST_STOPS = 16
MOST_NUMBERS = 2**20
"""Numbers in all the embeddings of an answer together."""

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


class Offline:
    """The provider `offline`."""

    name = "offline"
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> "OfflineModel":
        """The model; its name is only repeated."""
        return OfflineModel(model.name or "offline")


class OfflineModel:
    """A `Responder` for every type of route."""

    def __init__(self, model: str) -> None:
        self.model = model

    async def respond(self, call: Call) -> Answer | StreamAnswer:
        """The answer, or a stream of it, word by word."""
        _check_size(call)
        headers = (("x-gateway-route", call.route), ("x-gateway-destination", f"offline/{self.model}"))
        if call.kind is RouteType.LLM_V1_EMBEDDINGS:
            return Answer(orjson.dumps(embeddings(call.data, self.model)), headers)
        reply = Reply(call.kind, call.data, self.model)
        if call.stream:
            return OfflineStream(reply.chunks(), headers)
        return Answer(orjson.dumps(reply.whole()), headers)


class OfflineStream:
    """A `StreamAnswer` over chunks that are known already."""

    def __init__(self, chunks: Iterator[Json], headers: Headers) -> None:
        self.headers = headers
        self._chunks = chunks

    def __aiter__(self) -> "OfflineStream":
        return self

    async def __anext__(self) -> Sequence[bytes]:
        await asyncio.sleep(0)  # others get their turn between two words
        for chunk in self._chunks:
            return [orjson.dumps(chunk)]
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Forget the rest."""
        self._chunks = iter(())


class Reply:
    """What the offline model has to say to one request, whole or in chunks."""

    def __init__(self, kind: RouteType, data: Json, model: str) -> None:
        self._chat = kind is RouteType.LLM_V1_CHAT
        self._data = data
        self._model = model
        self._call = _tool_call(data) if self._chat else None
        text = "" if self._call else _chat_text(data) if self._chat else _completion_text(data)
        pieces = tokens(self._call["arguments"] if self._call else text)
        self._pieces, self._finish = _cut(pieces, data)
        if self._call and self._finish == "stop":
            self._finish = "tool_calls"
        self._choices = range(data.get("n") or 1)

    def whole(self) -> Json:
        """The answer in one piece."""
        text = "".join(self._pieces)
        choices: list[Json] = []
        for index in self._choices:
            if not self._chat:
                choices.append(
                    {"index": index, "text": text, "finish_reason": self._finish, "logprobs": None}
                )
                continue
            message: Json = {"role": "assistant", "content": None if self._call else text}
            if self._call:
                message["tool_calls"] = [self._call_part(index, text)]
            choices.append({"index": index, "message": message, "finish_reason": self._finish})
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._frame(kind), "choices": choices, "usage": self._usage()}

    def chunks(self) -> Iterator[Json]:
        """The answer word by word, as OpenAI streams it."""
        frame = self._frame("chat.completion.chunk" if self._chat else "text_completion_chunk")
        for index in self._choices:
            for part, finish in self._parts(index):
                choice = {"delta": part} if self._chat else {"text": part.get("content", "")}
                yield {**frame, "choices": [{"index": index, **choice, "finish_reason": finish}]}
        if (self._data.get("stream_options") or {}).get("include_usage"):
            yield {**frame, "choices": [], "usage": self._usage()}

    def _parts(self, index: int) -> Iterator[tuple[Json, str | None]]:
        if self._call:
            opening = {"index": 0, **self._call_part(index, "")}
            yield {"role": "assistant", "content": None, "tool_calls": [opening]}, None
            for piece in self._pieces:
                yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None
        else:
            if self._chat:
                yield {"role": "assistant", "content": ""}, None
            for piece in self._pieces:
                yield {"content": piece}, None
        yield {}, self._finish

    def _call_part(self, index: int, arguments: str) -> Json:
        assert self._call is not None
        digest = hashlib.blake2b(orjson.dumps([self._call, index]), digest_size=12).hexdigest()
        function = {"name": self._call["name"], "arguments": arguments}
        return {"id": f"call_{digest}", "type": "function", "function": function}

    def _frame(self, kind: str) -> Json:
        prefix = "chatcmpl" if self._chat else "cmpl"
        return {"id": new_id(prefix), "object": kind, "created": now(), "model": self._model}

    def _usage(self) -> Json:
        asked = sum(len(tokens(text)) for text in _texts(self._data, chat=self._chat))
        asked += 0 if self._chat else sum(map(len, _token_lists(self._data["prompt"])))
        answered = len(self._pieces) * len(self._choices)
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def embeddings(data: Json, model: str) -> Json:
    """The vectors of a request's texts."""
    bags = [_bag(text) for text in _inputs(data)]
    vectors: list[Any] = [vector(bag, data.get("dimensions") or DIMENSIONS) for bag in bags]
    if data.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    used = sum(map(len, bags))
    rows = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)]
    return {
        "object": "list",
        "data": rows,
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def vector(bag: Sequence[str], dimensions: int) -> list[float]:
    """A unit vector: every word adds to a few places that its hash chooses, and so does the text as a whole."""
    values = [0.0] * dimensions
    for word in (*bag, "\0".join(bag)):
        digest = hashlib.blake2b(word.encode()).digest()
        for place, sign in struct.iter_unpack("<Ib3x", digest):
            values[place % dimensions] += 1.0 if sign >= 0 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if not length:  # everything cancelled out, as it may in very few dimensions
        values[0] = length = 1.0
    return [value / length for value in values]


def tokens(text: str) -> list[str]:
    """The text in the offline model's tokens; joined they give the text."""
    return _TOKEN.findall(text)


def _bag(text: str | list[int]) -> list[str]:
    return (
        [token.strip().lower() for token in tokens(text)]
        if isinstance(text, str)
        else [f"#{n}" for n in text]
    )


def _cut(pieces: list[str], data: Json) -> tuple[list[str], str]:
    """The tokens up to `stop` and `max_tokens`, and why the answer ends."""
    stops = data.get("stop") or []
    text = "".join(pieces)
    ends = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop]
    found = [end for end in ends if end >= 0]
    if found:
        pieces = tokens(text[: min(found)])
    most = data.get("max_completion_tokens") or data.get("max_tokens")
    if most is not None and len(pieces) > most:
        return pieces[:most], "length"
    return pieces, "stop"


def _chat_text(data: Json) -> str:
    last = data["messages"][-1]
    said = _content(last)
    form = data.get("response_format") or {}
    if form.get("type") == "json_schema":
        given = form.get("json_schema") or {}
        if not isinstance(given, dict):
            raise InvalidRequest.field(
                "response_format.json_schema", "an object that holds 'schema' is expected"
            )
        return _sampled("response_format.json_schema.schema", given.get("schema") or {}, said)
    if form.get("type") == "json_object":
        return orjson.dumps({"you_said": said}).decode()
    if last.get("role") in ("tool", "function"):
        return f"The tool answered: {said}"
    asked = next((_content(m) for m in reversed(data["messages"]) if m.get("role") == "user"), said)
    return f"You said: {asked}"


def _completion_text(data: Json) -> str:
    prompt = data["prompt"]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        prompt = "\n".join(prompt)
    elif isinstance(prompt, list):
        prompt = " ".join(str(token) for row in _token_lists(prompt) for token in row)
    answer = f" … and so on, from “{prompt.strip()}”."
    return f"{prompt}{answer}" if data.get("echo") else answer


def _tool_call(data: Json) -> Json | None:
    """The call that the model asks for when it has tools and no tool's answer yet."""
    functions = [
        tool["function"] for tool in data.get("tools") or () if isinstance(tool.get("function"), dict)
    ]
    choice = data.get("tool_choice", "auto")
    last = data["messages"][-1]
    if not functions or choice == "none" or last.get("role") == "tool":
        return None
    said = _content(last)
    chosen = choice.get("function") if isinstance(choice, dict) else None
    if chosen is not None and not isinstance(chosen, dict):
        raise InvalidRequest.field("tool_choice.function", "an object that holds 'name' is expected")
    wanted = chosen.get("name") if chosen else None
    named = [f for f in functions if f["name"] == wanted] or [f for f in functions if f["name"] in said]
    function = (named or functions)[0]
    arguments = _sampled("tools", function.get("parameters") or {}, said)
    return {"name": function["name"], "arguments": arguments}


def _sampled(field: str, schema: Any, text: str) -> str:
    """JSON that fits a schema."""
    try:
        return orjson.dumps(sample(schema, text)).decode()
    except orjson.JSONEncodeError as problem:
        raise InvalidRequest.field(field, f"a value of the schema can't be written: {problem}") from None
    except ValueError as problem:
        raise InvalidRequest.field(field, str(problem)) from None


def _check_size(call: Call) -> None:
    """Accept what the offline model answers in no time."""
    data, chat = call.data, call.kind is RouteType.LLM_V1_CHAT
    if call.kind is RouteType.LLM_V1_EMBEDDINGS:
        texts = _inputs(data)
        _check_text(sum(map(len, texts)))
        if len(texts) * (data.get("dimensions") or DIMENSIONS) > MOST_NUMBERS:
            problem = (
                f"the offline model makes {MOST_NUMBERS} numbers in all at most; embed fewer texts at once"
            )
            raise InvalidRequest.field("dimensions" if "dimensions" in data else "input", problem)
        return
    size = sum(map(len, _texts(data, chat=chat)))
    _check_text(size if chat else size + sum(map(len, _token_lists(data["prompt"]))))
    if (data.get("n") or 1) > MOST_CHOICES:
        raise InvalidRequest.field("n", f"the offline model draws {MOST_CHOICES} answers at most")
    if isinstance(stop := data.get("stop"), list) and len(stop) > MOST_STOPS:
        raise InvalidRequest.field("stop", f"the offline model takes {MOST_STOPS} texts at most")


def _check_text(size: int) -> None:
    if size > MOST_TEXT:
        raise InvalidRequest(
            f"the request is too long: the offline model reads {MOST_TEXT} characters at most"
        )


def _inputs(data: Json) -> list[Any]:
    """The texts of an embeddings request, one by one."""
    given = data["input"]
    return given if isinstance(given, list) and not isinstance(given[0], int) else [given]


def _content(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(
        part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in content
    )


def _texts(data: Json, *, chat: bool) -> Iterator[str]:
    """Every text of a request that counts as prompt."""
    if not chat:
        prompt = data["prompt"]
        yield from (
            text for text in (prompt if isinstance(prompt, list) else [prompt]) if isinstance(text, str)
        )
        return
    for message in data["messages"]:
        yield _content(message)
        for call in message.get("tool_calls") or ():
            yield (call.get("function") or {}).get("arguments") or ""
    if tools := data.get("tools"):
        try:
            yield orjson.dumps(tools).decode()
        except orjson.JSONEncodeError as problem:
            raise InvalidRequest.field("tools", f"the offline model can't read them: {problem}") from None


def _token_lists(prompt: Any) -> list[list[int]]:
    if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], str):
        return []
    return prompt if isinstance(prompt[0], list) else [prompt]


provider = Offline()
