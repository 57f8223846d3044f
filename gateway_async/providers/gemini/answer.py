"""Answers of the Gemini API in the standard shape: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse.

Thoughts stand under `reasoning_content`. What OpenAI's messages have no place for stands under `extra_content.google`:
signatures of thoughts (`thought_signature`, to be sent back), `parts` that are neither text nor calls, and what Gemini
says of a candidate (its sources, its safety, its own reason to end).
"""

import json
from collections.abc import Mapping
from typing import Any

from gateway_async.providers._answers import (
    chat_choice,
    chat_completion,
    count_of,
    text_of,
    token_usage,
    tool_call,
)
from gateway_async.providers._base import Json
from gateway_async.providers._errors import invalid

NAME = "gemini"

_FINISH: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
}
"""Gemini's reasons to end. The others are failures: a malformed call, another language, no image, …"""

_TOLD = (
    "avgLogprobs",
    "citationMetadata",
    "finishMessage",
    "groundingMetadata",
    "safetyRatings",
    "urlContextMetadata",
)
"""What is said of a candidate beside its content."""


class Candidate:
    """One of the answers, as far as it has come: whole, or piece by piece."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Gemini's reason to end, as soon as it gives one; early models give it with every piece."""

        self._calls = 0
        self._empty = True
        self._said = ""
        self._google: Json = {}

    def add(self, candidate: Json) -> Json:
        """The message that a candidate holds, or the next piece of it.

        Raises:
            UpstreamInvalid: The model failed and said nothing.
            KeyError: And the others of `MALFORMED`: it is not what the API promises.
        """
        message: Json = {}
        for part in (candidate.get("content") or {}).get("parts") or ():
            self._add_part(part, message)
        self._empty = (
            self._empty and not message.keys() - {"reasoning_content"} and "parts" not in self._google
        )
        self._tell(candidate)
        self._said = text_of(candidate.get("finishMessage") or self._said)
        if (reason := candidate.get("finishReason")) is not None:
            self.reason = text_of(reason)
            if reason not in _FINISH and self._empty:
                why = f"{reason}: {self._said}" if self._said else reason
                invalid(NAME, f"the model gave no answer, for the reason {why}")
        return message

    def ending(self) -> tuple[str, Json]:
        """Why it ends, in OpenAI's words, and what the message has beside what was said."""
        reason = self.reason or "STOP"
        finish = _FINISH.get(reason, "stop")
        message: Json = {}
        if finish == "content_filter" and self._said:
            message["refusal"] = self._said
        google = (
            self._google if reason in ("STOP", "MAX_TOKENS") else {**self._google, "finishReason": reason}
        )
        if google:
            message["extra_content"] = {"google": google}
        return "tool_calls" if finish == "stop" and self._calls else finish, message

    def _add_part(self, part: Any, message: Json) -> None:
        if not isinstance(part, dict):
            raise TypeError("an object is expected")
        if "functionCall" in part:
            message.setdefault("tool_calls", []).append(self._call(part))
        elif "text" in part:
            name = "reasoning_content" if part.get("thought") else "content"
            if text := text_of(part["text"]):
                message[name] = message.get(name, "") + text
            if signature := part.get("thoughtSignature"):
                self._google["thought_signature"] = text_of(signature)
        elif part:
            self._google.setdefault("parts", []).append(part)

    def _call(self, part: Json) -> Json:
        call, arguments = part["functionCall"], part["functionCall"].get("args") or {}
        if not isinstance(arguments, dict):
            raise TypeError("an object is expected")
        made = tool_call(call.get("id"), call["name"], json.dumps(arguments), index=self._calls)
        self._calls += 1
        if signature := part.get("thoughtSignature"):
            made["extra_content"] = {"google": {"thought_signature": text_of(signature)}}
        return made

    def _tell(self, candidate: Json) -> None:
        earlier = (self._google.get("citationMetadata") or {}).get("citationSources") or []
        self._google |= {name: candidate[name] for name in _TOLD if candidate.get(name) is not None}
        if earlier and (found := candidate.get("citationMetadata")):
            # Each piece of a stream cites what it quotes itself; all else that comes again replaces what came before.
            sources = [*earlier, *(found.get("citationSources") or ())]
            self._google["citationMetadata"] = {"citationSources": sources}


def chat_answer(value: Json, model: str) -> Json:
    """The answer to a chat."""
    choices = [_choice(index, candidate) for index, candidate in enumerate(value.get("candidates") or ())]
    if not choices:
        message = blocked(value)
        choices = [chat_choice(0, None, "content_filter", **message)]
    used = value.get("usageMetadata")
    return chat_completion(
        value.get("modelVersion") or model,
        choices,
        usage(used) if used else None,
        answer_id=text_of(value.get("responseId") or ""),
    )


def _choice(index: int, candidate: Json) -> Json:
    whole = Candidate()
    message = whole.add(candidate)
    finish, ending = whole.ending()
    calls = message.pop("tool_calls", [])
    for call in calls:
        del call["index"]
    text = message.pop("content", None if calls else "")
    choice = chat_choice(index, text, finish, calls=calls, **message, **ending)
    if found := candidate.get("logprobsResult"):
        choice["logprobs"] = logprobs(found)
    return choice


def blocked(value: Json) -> Json:
    """The message of an answer without candidates.

    Raises:
        UpstreamInvalid: It does not say that the prompt was blocked.
    """
    feedback = value.get("promptFeedback") or {}
    if not feedback.get("blockReason"):
        invalid(NAME, "its answer has no candidates")
    reason = feedback.get("blockReasonMessage") or feedback["blockReason"]
    refusal = f"Gemini has blocked the prompt: {reason}"
    return {"refusal": refusal, "extra_content": {"google": {"promptFeedback": feedback}}}


def usage(used: Json) -> Json:
    """Tokens as OpenAI counts them: results of Gemini's own tools belong to the prompt, thoughts to the answer."""
    thoughts = used.get("thoughtsTokenCount")
    return token_usage(
        count_of(used.get("promptTokenCount")) + count_of(used.get("toolUsePromptTokenCount")),
        count_of(used.get("candidatesTokenCount")) + count_of(thoughts),
        cached=used.get("cachedContentTokenCount"),
        reasoning=thoughts,
        total=used.get("totalTokenCount"),
    )


def logprobs(found: Json) -> Json:
    """How likely the words were."""
    chosen = found.get("chosenCandidates") or []
    tops = found.get("topCandidates") or [{}] * len(chosen)
    content = [
        {**_likely(one), "top_logprobs": [_likely(other) for other in top.get("candidates") or ()]}
        for one, top in zip(chosen, tops, strict=True)
    ]
    return {"content": content, "refusal": None}


def _likely(one: Json) -> Json:
    token = text_of(one["token"])
    # A token without its likelihood has one of 1: what is zero is not written.
    return {"token": token, "logprob": float(one.get("logProbability", 0)), "bytes": list(token.encode())}
