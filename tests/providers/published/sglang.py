"""The types of SGLang: OpenAI's, and what its pages add. https://docs.sglang.io/basic_usage/openai_api_completions.html."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "sglang", takes=("separate_reasoning",), adds=("matched_stop", "metadata", "reasoning_tokens")
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
