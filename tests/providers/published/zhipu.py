"""The types of Zhipu AI: OpenAI's, and what its pages add. https://docs.bigmodel.cn/api-reference."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("zhipu", takes=("thinking",), adds=("request_id",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
