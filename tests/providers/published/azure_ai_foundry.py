"""The types of Azure AI Foundry: OpenAI's, and what its pages add. https://learn.microsoft.com/rest/api/aifoundry/modelinference/."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("azure-ai-foundry", takes=("top_k",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
