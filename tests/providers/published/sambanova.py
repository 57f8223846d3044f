"""The types of SambaNova: OpenAI's, and what its pages add. https://docs.sambanova.ai/docs/api-reference/chat-completions/create-chat-based-completion."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "sambanova",
    adds=(
        "acceptance_rate",
        "completion_tokens_after_first_per_sec",
        "time_to_first_token",
        "total_latency",
        "total_tokens_per_sec",
    ),
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
