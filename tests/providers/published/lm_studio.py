"""The types of LM Studio: OpenAI's, and what its pages add. https://lmstudio.ai/docs/developer/openai-compat."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("lm-studio", adds=("stats", "reasoning"))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
