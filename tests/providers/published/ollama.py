"""The types of Ollama: OpenAI's, and what its pages add. https://github.com/ollama/ollama/blob/main/openai/openai.go."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("ollama", adds=("reasoning", "index"))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
