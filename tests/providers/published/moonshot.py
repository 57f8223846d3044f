"""The types of Moonshot AI: OpenAI's, and what its pages add. https://platform.kimi.ai/docs/api/chat."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "moonshot", takes=("thinking",), message_takes=("reasoning_content",), adds=("cached_tokens",)
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
