"""The types of DeepInfra: OpenAI's, and what its pages add. https://deepinfra.com/docs/openai_api."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("deepinfra", adds=("name", "estimated_cost"))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
