"""The types of any other server: OpenAI's, and what its pages add. https://platform.openai.com/docs/api-reference."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("openai-compatible", adds=("reasoning",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
