"""The types of OpenRouter: OpenAI's, and what its pages add. https://openrouter.ai/docs/api-reference/overview."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "openrouter",
    takes=("reasoning",),
    adds=("provider", "native_finish_reason", "cost", "is_byok", "reasoning", "reasoning_details"),
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
