"""The types of Cerebras: OpenAI's, and what its pages add. https://inference-docs.cerebras.ai/api-reference/chat-completions."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("cerebras", adds=("time_info", "reasoning"))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
