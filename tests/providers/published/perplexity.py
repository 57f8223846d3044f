"""The types of Perplexity: OpenAI's, and what its pages add. https://docs.perplexity.ai/api-reference/sonar-post."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "perplexity",
    takes=("search_domain_filter",),
    adds=("citations", "search_results", "search_context_size", "cost"),
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
