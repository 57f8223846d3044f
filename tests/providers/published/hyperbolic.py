"""The types of Hyperbolic: OpenAI's, and what its pages add. https://docs.hyperbolic.ai/inference/text-apis."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("hyperbolic")
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
