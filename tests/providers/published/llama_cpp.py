"""The types of llama.cpp: OpenAI's, and what its pages add. https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible("llama-cpp", adds=("timings",))
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
