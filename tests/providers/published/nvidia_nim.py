"""The types of NVIDIA NIM: OpenAI's, and what its pages add. https://docs.api.nvidia.com/nim/reference/."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("nvidia-nim", takes=("input_type",), adds=("stop_reason",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
