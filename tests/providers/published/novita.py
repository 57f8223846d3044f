"""The types of Novita AI: OpenAI's, and what its pages add. https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("novita")
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
