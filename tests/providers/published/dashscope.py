"""The types of DashScope: OpenAI's, and what its pages add. https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("dashscope", takes=("enable_thinking",), adds=("id",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
