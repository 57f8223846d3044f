"""Why a provider refuses what another may take: known by the codes that it gives, else by its words.

Providers pass on each other's errors (OpenRouter, Databricks, Bedrock and Vertex AI do), so one table serves them all.
Words count only under a status that a refusal may have, and only phrases that say it of the prompt as a whole or of
the answer: a parameter that is too large, or a tool's name that is too long, is an ordinary mistake.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway_async.errors import Refusal

_REFUSED = frozenset({400, 403, 413, 422, 500, 502})
"""Statuses under which codes and words are looked at: servers of one's own tell of too long a prompt with a 500."""

_CODES: Mapping[str, Refusal] = {
    **dict.fromkeys(
        (
            "context_length_exceeded",  # OpenAI, Azure, Groq, Cerebras, OpenRouter
            "exceed_context_size_error",  # llama.cpp
            "max_tokens_per_request",  # OpenAI's embeddings
            "payload_too_large",  # OpenRouter
            "request_too_large",  # Anthropic
            "tokens_limit_reached",  # GitHub Models
        ),
        "context_length",
    ),
    **dict.fromkeys(
        (
            "content_filter",  # Azure, Moonshot
            "content_policy_violation",  # OpenAI, OpenRouter
            "data_inspection_failed",  # DashScope
            "datainspectionfailed",  # DashScope
            "flagged_input",  # OpenRouter: no code, but a field of the metadata
            "input_guardrail_triggered",  # Databricks
            "moderation_blocked",  # OpenAI
            "output_guardrail_triggered",  # Databricks
            "responsibleaipolicyviolation",  # Azure
        ),
        "content_policy",
    ),
}
"""Codes in small letters, whoever gives them."""

_CODES_OF: Mapping[str, Mapping[str, Refusal]] = {
    "minimax": {"1026": "content_policy", "1027": "content_policy"},
    "openrouter": {"string_too_long": "context_length", "refusal": "content_policy"},
    "zhipu": {"1261": "context_length", "1301": "content_policy"},
}
"""Provider → codes that mean something else elsewhere, or nothing.

https://platform.minimax.io/docs/api-reference/errorcode, https://openrouter.ai/docs/client-sdks/python/components/apierrortype,
https://docs.z.ai/api-reference/api-code. (`string_too_long` is what pydantic calls any text that is.)
"""

# Phrases are in small letters and begin with a letter: both make searching for them several times quicker.
_TOO_LONG = re.compile(
    "|".join(
        (
            r"maximum context length\b",  # OpenAI, DeepSeek, Mistral, vLLM, OpenRouter
            r"exceed(s|ed)? (the |max )?(model'?s |available )?context (length|limit|size|window)\b",  # most
            r"prompt is too long\b",  # Anthropic, Fireworks, AI21
            r"input is too long for requested model\b",  # Bedrock
            r"too many input tokens\b",  # Bedrock: Titan
            r"input tokens exceeded\b",  # Bedrock: Nova
            r"malformed input request: (#/(texts/\d+|inputtext|prompt): )?expected maxlength\b",  # Bedrock
            r"input token count\b.{0,40}\b(exceeds?|but (the )?model (only )?supports)\b",  # Google, Together AI
            r"request payload size exceeds the limit\b",  # Google
            r"too many tokens: (total number of tokens|size limit exceeded)\b",  # Cohere
            r"maximum prompt length is \d",  # xAI
            r"reduce the length of (the|your) (messages|prompt|input)\b",  # OpenAI, Groq, Cerebras
            r"longer than the (model'?s context|maximum model) length\b",  # SGLang, Together AI, vLLM
            r"exceeds the maximum allowed (input )?length\b",  # SGLang
            r"(greater than the context length|loaded with context length of only)\b",  # LM Studio
            r"too large to process\b.{0,40}\bbatch size\b",  # llama.cpp
            r"exceeded model token limit\b",  # Moonshot
            r"context window exceeds limit\b",  # MiniMax
            r"range of input length should be\b",  # DashScope
            r"prompt exceeds max(imum)? length\b",  # Zhipu
            r"`inputs` (tokens \+|must have less than \d+ tokens)",  # Text Generation Inference, Together AI
            r"^error: prompt token count\b",  # MosaicML
            # OpenAI: a field of the prompt, and not the name of a tool.
            r"^invalid '((messages\[\d+\]\.content(\[\d+\]\.text)?)|(input|prompt)(\[\d+\])?)': string too long\b",
        )
    )
)

_LARGER_THAN_THE_LIMIT = re.compile(r"^request too large for\b")
"""OpenAI and Groq: one request needs more tokens than the account may use in a minute. Waiting is of no use."""

_NOT_ALLOWED = re.compile(
    "|".join(
        (
            r"content management policy\b",  # Azure
            r"as a result of our safety system\b",  # OpenAI
            r"flagged as potentially violating\b",  # OpenAI
            r"blocked by (the |our )?content filter",  # Anthropic
            r"violates? google's responsible ai practices\b",  # Vertex AI
            r"blocked (input|output): ",  # Cohere
            r"input was flagged for\b",  # OpenRouter
            r"^request blocked: ",  # OpenRouter
            r"content violates usage guidelines\b",  # xAI
            r"content exists risk\b",  # DeepSeek
            r"may contain inappropriate content\b",  # DashScope
            r"rejected because it was considered high risk\b",  # Moonshot
            r"(in|out)put new_sensitive\b",  # MiniMax
            r"potentially unsafe or sensitive content\b",  # Zhipu
        )
    )
)

_WITHOUT_END = frozenset(
    {
        "billing_hard_limit_reached",  # OpenAI
        "billing_not_active",  # OpenAI
        "contract_spend_limit_reached",  # Anthropic
        "enforced_spend_limit_reached",  # Anthropic
        "exceeded_current_quota_error",  # Moonshot
        "insufficient_quota",  # OpenAI, and who speaks its format
    }
)
"""Codes under 429 for a limit that ends when somebody pays, and not with time."""

_WITHOUT_END_OF: Mapping[str, frozenset[str]] = {"zhipu": frozenset({"1112", "1113", "1121"})}
"""Provider → its numbers for the same."""

_OF_ACCOUNT = re.compile(
    "|".join(
        (
            r"credit balance is too low\b",  # Anthropic
            r"^incorrect api key provided\b",  # xAI
        )
    )
)
"""Words under 400 that blame the account and not the request."""

_OF_ACCOUNT_BY: Mapping[str, str] = {"dashscope": "arrearage", "gemini": "failed_precondition"}
"""Provider → its code for the same: an account without credit, a project that must pay where it is."""

_INNER = (
    *("error", "innererror", "inner_error", "metadata", "detail", "details", "message"),
    *("external_model_message", "external_model_error"),
)
"""Where in an error another stands."""

_MARKS = ("code", "type", "status", "error_type", "error_code", "finishReason")
_WORDS = ("message", "error", "detail", "msg", "err", "raw")
_LONGEST = 1000
"""Characters of a text that are looked at."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an error tells of itself."""

    codes: frozenset[str] = frozenset()
    """In small letters, wherever in it they stand."""

    texts: tuple[str, ...] = ()
    """In small letters too."""

    @classmethod
    def by(cls, error: Any, said: str = "") -> "Told":
        """What an error tells.

        Args:
            error: A body as JSON, or the part of it that is the error.
            said: Its words, if they are known already.
        """
        codes, texts = set[str](), [said]
        for part in _parts(error):
            codes |= {str(part[mark]).lower() for mark in _MARKS if isinstance(part.get(mark), str | int)}
            codes |= {"flagged_input"} & part.keys()
            texts += [part[name] for name in _WORDS if isinstance(part.get(name), str)]
        return cls(frozenset(codes), tuple({text[:_LONGEST].lower() for text in texts}))

    def refusal(self, provider: str, status: int | None) -> Refusal | None:
        """Why the provider refuses what another may take; None where it does not, or fails for another reason.

        Args:
            provider: Name of the provider.
            status: What it answered, or would have; None where nobody knows.
        """
        if status == 429:
            return "context_length" if self._says(_LARGER_THAN_THE_LIMIT) else None
        if status is not None and status not in _REFUSED:
            return None
        known = {**_CODES, **_CODES_OF.get(provider, {})}
        if by_code := {known[code] for code in self.codes if code in known}:
            return "content_policy" if "content_policy" in by_code else "context_length"
        if self._says(_NOT_ALLOWED):
            return "content_policy"
        return "context_length" if status == 413 or self._says(_TOO_LONG) else None

    def endless(self, provider: str) -> bool:
        """Whether a limit that it tells of ends when somebody pays, and not with time."""
        return not self.codes.isdisjoint(_WITHOUT_END | _WITHOUT_END_OF.get(provider, frozenset()))

    def blames_account(self, provider: str) -> bool:
        """Whether a 400 is the fault of the gateway's account with the provider."""
        return _OF_ACCOUNT_BY.get(provider) in self.codes or self._says(_OF_ACCOUNT)

    def _says(self, phrases: re.Pattern[str]) -> bool:
        return any(phrases.search(text) for text in self.texts)


def _parts(value: Any, depth: int = 5) -> Iterator[dict[str, Any]]:
    """The objects that an error consists of."""
    if isinstance(value, list):
        for item in value[:10]:
            yield from _parts(item, depth)
    if not isinstance(value, dict):
        return
    yield value
    if depth > 0:
        for name in _INNER:
            yield from _parts(value.get(name), depth - 1)
        if isinstance(raw := value.get("raw"), str):  # OpenRouter: what the model's own provider said
            yield from _parts(_json(raw), depth - 1)


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def declined(answer: bytes) -> bool:
    """Whether an answer is none: a filter of the provider's has taken all of it, or its end.

    Args:
        answer: An answer in the standard shape, or a chunk of one, as JSON.
    """
    if b'"content_filter"' not in answer:
        return False
    choices = orjson.loads(answer).get("choices")
    return bool(choices) and all(choice.get("finish_reason") == "content_filter" for choice in choices)
