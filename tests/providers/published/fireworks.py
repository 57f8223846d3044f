"""The types of Fireworks AI: OpenAI's, and what its pages add. https://docs.fireworks.ai/api-reference/post-chatcompletions."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("fireworks")
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
