"""The types of DeepSeek: OpenAI's, and what its pages add. https://api-docs.deepseek.com/api/create-chat-completion."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "deepseek", takes=("thinking",), adds=("prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "index")
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
