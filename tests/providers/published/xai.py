"""The types of xAI: OpenAI's, and what its pages add. https://docs.x.ai/docs/api-reference."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("xai", adds=("text_tokens", "image_tokens", "num_sources_used"))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
