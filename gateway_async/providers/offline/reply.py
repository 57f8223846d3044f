"""What the offline model has to say: the request, told back; tools called with arguments that fit their schema."""

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from gateway_async.config import RouteType
from gateway_async.errors import InvalidRequest
from gateway_async.providers._answers import new_id, now
from gateway_async.providers._base import Json
from gateway_async.providers.offline.sample import sample
from gateway_async.providers.offline.text import content_of, texts_of, token_lists, tokens


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
        asked = sum(len(tokens(text)) for text in texts_of(self._data, chat=self._chat))
        asked += 0 if self._chat else sum(map(len, token_lists(self._data["prompt"])))
        answered = len(self._pieces) * len(self._choices)
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


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
    said = content_of(last)
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
    asked = next((content_of(m) for m in reversed(data["messages"]) if m.get("role") == "user"), said)
    return f"You said: {asked}"


def _completion_text(data: Json) -> str:
    prompt = data["prompt"]
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        prompt = "\n".join(prompt)
    elif isinstance(prompt, list):
        prompt = " ".join(str(token) for row in token_lists(prompt) for token in row)
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
    said = content_of(last)
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
