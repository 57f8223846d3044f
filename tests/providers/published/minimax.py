"""The types of MiniMax: OpenAI's, and what its pages add. https://platform.minimax.io/docs/api-reference/text-chat."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "minimax",
    takes=("reasoning_split",),
    adds=(
        "input_sensitive",
        "input_sensitive_type",
        "output_sensitive",
        "output_sensitive_type",
        "output_sensitive_int",
        "base_resp",
        "name",
        "audio_content",
        "total_characters",
        "reasoning_details",
    ),
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
