"""The types of vLLM: OpenAI's, and what its pages add. https://docs.vllm.ai/en/latest/serving/openai_compatible_server."""

from tests.providers.published._compatible import OpenAICompatible

_TYPES = OpenAICompatible(
    "vllm",
    takes=("chat_template_kwargs", "top_k"),
    adds=(
        "stop_reason",
        "token_ids",
        "prompt_logprobs",
        "prompt_token_ids",
        "kv_transfer_params",
        "reasoning",
        "id",
        "created",
    ),
)
ADDS = _TYPES.adds
check_sent, check_answered = _TYPES.check_sent, _TYPES.check_answered
check_event, check_error = _TYPES.check_event, _TYPES.check_error
