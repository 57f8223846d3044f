"""The providers that speak OpenAI's format: a row each.

What differs from one to the next stands here as data; `providers.openai_format.table` makes a provider of each. All of
them take the same settings: `api_key`, which a server of one's own may do without, and `api_base`, all that stands
before `/chat/completions`, for another address than the usual one.

Every row serves chat, streamed too, and completions: by the vendor's own endpoint for them where it has one, else by
its chat. What a vendor's pages say it refuses or passes over is refused here with the parameter's name, or dropped
where a route says `drop_unsupported`; what they say nothing of goes out as it came. Thoughts come as
`reasoning_content`, whatever the vendor calls them, and under the vendor's own name as well.

To add one: a row with the page that documents it, `tests/providers/recorded/<name>/` and
`tests/providers/published/<name>.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_OLDER_LIMIT: Mapping[str, str] = MappingProxyType({"max_completion_tokens": "max_tokens"})
"""For who documents the second alone: a limit that a server passes over would be none, and clients send the first."""

_ONLY_AUTO: Mapping[str, tuple[str, ...]] = MappingProxyType({"tool_choice": ("auto",)})
_MINIMAX_FAILURES: Mapping[int, int] = MappingProxyType(
    dict.fromkeys((1002, 1039, 1041), 429)
    | dict.fromkeys((1004, 2049), 401)
    | dict.fromkeys((1026, 1027, 2013), 400)
    | {1001: 504, 1008: 402}
)
"""https://platform.minimax.io/docs/api-reference/errorcode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider that speaks OpenAI's format."""

    name: str
    """As a configuration names it."""

    vendor: str
    """As a sentence names it."""

    base: str | None
    """Its address, all that stands before `/chat/completions`; None where only the user knows it."""

    key: str | None = None
    """The environment variable that usually holds its key."""

    local: bool = False
    """It is a server of the user's own, which may want no key."""

    completions: bool = False
    """It has an endpoint of its own for completions; else its chat serves them."""

    embeddings: bool = False
    """It has an endpoint for embeddings."""

    developer: bool = True
    """It knows the role `developer`; else such a message goes out as one of the system's."""

    lacks: frozenset[str] = frozenset()
    """OpenAI's parameters that it has nothing for."""

    lacks_in_completions: frozenset[str] = frozenset()
    """Those that its own completions have nothing for, beyond these."""

    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """OpenAI's name of a parameter → the only values of it that it takes."""

    renames: Mapping[str, str] = field(default_factory=dict)
    """OpenAI's name of a parameter → the only one that it knows."""

    key_header: str = "Authorization"
    """The header that carries the key: after `Bearer ` where it is `Authorization`, else alone."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers of every request."""

    queries: Mapping[str, str] = field(default_factory=dict)
    """End of a base address's path → the query that it needs, unless the address has one."""

    thoughts: str = "reasoning_content"
    """The field of a message that holds the model's thoughts, in answers and when they go back."""

    answers_only: frozenset[str] = frozenset()
    """Fields of an answer that it refuses to get back. Calls go back bare to who refuses any: name, arguments, id."""

    finish_reasons: Mapping[str, str] = field(default_factory=dict)
    """Its own reasons for an end → OpenAI's."""

    status_field: str | None = None
    """The field of an answer in which it tells of failures under a status of 200."""

    statuses: Mapping[int, int] = field(default_factory=dict)
    """The numbers of its failures → the HTTP status that each stands for; the others are its own fault."""

    means: Mapping[int, int] = field(default_factory=dict)
    """HTTP statuses of its own → those that say what is meant."""

    usage_field: str | None = None
    """The field of a stream's last chunk that holds the usage, for who asks and gets it nowhere else."""

    usual_model: str | None = None
    """The model of the route that is made where the key is in the environment and there is no configuration."""


ROWS: Mapping[str, Row] = {
    row.name: row
    for row in (
        # https://learn.microsoft.com/azure/ai-foundry/foundry-models/concepts/endpoints: the resource's own address
        # with /openai/v1, or with /models, which needs a version and refuses what it does not know unless told to
        # pass it on (https://learn.microsoft.com/rest/api/aifoundry/modelinference/).
        Row(
            name="azure-ai-foundry",
            vendor="Azure AI Foundry",
            base=None,
            embeddings=True,
            key_header="api-key",
            headers=MappingProxyType({"extra-parameters": "pass-through"}),
            queries=MappingProxyType({"/models": "api-version=2024-05-01-preview"}),
        ),
        # https://console.groq.com/docs/openai lists what ends with 400. The usage of a stream stands in `x_groq`, and
        # since 2025 also where OpenAI has it.
        Row(
            name="groq",
            vendor="Groq",
            base="https://api.groq.com/openai/v1",
            key="GROQ_API_KEY",
            lacks=frozenset({"logprobs", "logit_bias", "top_logprobs", "n"}),
            thoughts="reasoning",
            answers_only=frozenset({"annotations", "executed_tools", "parsed"}),
            means=MappingProxyType({498: 503}),  # the flex tier is full: https://console.groq.com/docs/errors
            usage_field="x_groq",
            usual_model="llama-3.3-70b-versatile",
        ),
        # https://api-docs.deepseek.com/api/create-chat-completion
        Row(
            name="deepseek",
            vendor="DeepSeek",
            base="https://api.deepseek.com",
            key="DEEPSEEK_API_KEY",
            developer=False,
            renames=_OLDER_LIMIT,
            usual_model="deepseek-v4-flash",
        ),
        # https://docs.x.ai/docs/api-reference: the thinking models refuse penalties and stops, the others take them.
        Row(
            name="xai",
            vendor="xAI",
            base="https://api.x.ai/v1",
            key="XAI_API_KEY",
        ),
        # https://openrouter.ai/docs/api-reference/overview, …/embeddings, …/errors
        Row(
            name="openrouter",
            vendor="OpenRouter",
            base="https://openrouter.ai/api/v1",
            key="OPENROUTER_API_KEY",
            completions=True,
            embeddings=True,
            thoughts="reasoning",
            usual_model="openrouter/auto",
        ),
        # https://docs.fireworks.ai/tools-sdks/openai-compatibility
        Row(
            name="fireworks",
            vendor="Fireworks AI",
            base="https://api.fireworks.ai/inference/v1",
            key="FIREWORKS_API_KEY",
            completions=True,
            embeddings=True,
        ),
        # https://docs.perplexity.ai/docs/sonar/openai-compatibility. Its embeddings are in a format of their own.
        Row(
            name="perplexity",
            vendor="Perplexity",
            base="https://api.perplexity.ai",
            key="PERPLEXITY_API_KEY",
            developer=False,
            renames=_OLDER_LIMIT,
            usual_model="sonar",
        ),
        # https://inference-docs.cerebras.ai/resources/openai: the system's messages are the developer's there. The
        # penalties and biases end with 400.
        Row(
            name="cerebras",
            vendor="Cerebras",
            base="https://api.cerebras.ai/v1",
            key="CEREBRAS_API_KEY",
            developer=False,
            completions=True,
            lacks=frozenset({"frequency_penalty", "logit_bias", "presence_penalty"}),
            thoughts="reasoning",
            usual_model="gpt-oss-120b",
        ),
        # https://docs.sambanova.ai/docs/en/features/openai-compatibility lists what is passed over.
        Row(
            name="sambanova",
            vendor="SambaNova",
            base="https://api.sambanova.ai/v1",
            key="SAMBANOVA_API_KEY",
            developer=False,
            completions=True,
            embeddings=True,
            lacks=frozenset({"frequency_penalty", "logit_bias", "presence_penalty"}),
            usual_model="Meta-Llama-3.3-70B-Instruct",
        ),
        # https://docs.api.nvidia.com/nim/reference/; a NIM of one's own is at another `api_base`.
        Row(
            name="nvidia-nim",
            vendor="NVIDIA NIM",
            base="https://integrate.api.nvidia.com/v1",
            key="NVIDIA_API_KEY",
            completions=True,
            embeddings=True,
            renames=_OLDER_LIMIT,
        ),
        # https://platform.kimi.ai/docs/api/chat; in China https://api.moonshot.cn/v1.
        Row(
            name="moonshot",
            vendor="Moonshot AI",
            base="https://api.moonshot.ai/v1",
            key="MOONSHOT_API_KEY",
            developer=False,
            usual_model="kimi-k2.6",
        ),
        # https://docs.bigmodel.cn/api-reference: tools are chosen by the model alone. Outside China https://api.z.ai/api/paas/v4, with a key of its own.
        Row(
            name="zhipu",
            vendor="Zhipu AI",
            base="https://open.bigmodel.cn/api/paas/v4",
            key="ZHIPUAI_API_KEY",
            developer=False,
            embeddings=True,
            only=_ONLY_AUTO,
            renames=_OLDER_LIMIT,
            finish_reasons=MappingProxyType(
                {"sensitive": "content_filter", "model_context_window_exceeded": "length"}
            ),
        ),
        # https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope; elsewhere
        # https://dashscope-intl.aliyuncs.com/compatible-mode/v1.
        Row(
            name="dashscope",
            vendor="DashScope",
            base="https://dashscope.aliyuncs.com/compatible-mode/v1",
            key="DASHSCOPE_API_KEY",
            embeddings=True,
            usual_model="qwen-plus",
        ),
        # https://platform.minimax.io/docs/api-reference/text-openai-api: the penalties and biases are passed over, one
        # answer is given; failures stand in `base_resp`. In China https://api.minimaxi.com/v1.
        Row(
            name="minimax",
            vendor="MiniMax",
            base="https://api.minimax.io/v1",
            key="MINIMAX_API_KEY",
            developer=False,
            lacks=frozenset(
                {"frequency_penalty", "function_call", "functions", "logit_bias", "n", "presence_penalty"}
            ),
            status_field="base_resp",
            statuses=_MINIMAX_FAILURES,
            usual_model="MiniMax-M2.7",
        ),
        # https://docs.hyperbolic.ai/inference/text-apis
        Row(
            name="hyperbolic",
            vendor="Hyperbolic",
            base="https://api.hyperbolic.xyz/v1",
            key="HYPERBOLIC_API_KEY",
            developer=False,
            completions=True,
            renames=_OLDER_LIMIT,
        ),
        # https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion
        Row(
            name="novita",
            vendor="Novita AI",
            base="https://api.novita.ai/openai/v1",
            key="NOVITA_API_KEY",
            completions=True,
            embeddings=True,
            renames=_OLDER_LIMIT,
        ),
        # https://deepinfra.com/docs/openai_api
        Row(
            name="deepinfra",
            vendor="DeepInfra",
            base="https://api.deepinfra.com/v1/openai",
            key="DEEPINFRA_TOKEN",
            completions=True,
            embeddings=True,
            renames=_OLDER_LIMIT,
        ),
        # https://docs.github.com/rest/models/inference, …/embeddings. An organization's calls go to
        # https://models.github.ai/orgs/{org}/inference.
        Row(
            name="github-models",
            vendor="GitHub Models",
            base="https://models.github.ai/inference",
            key="GITHUB_TOKEN",
            embeddings=True,
            headers=MappingProxyType({"Accept": "application/vnd.github+json"}),
        ),
        # https://docs.ollama.com/api/openai-compatibility lists what is taken; a choice of tools is passed over.
        Row(
            name="ollama",
            vendor="Ollama",
            base="http://localhost:11434/v1",
            key="OLLAMA_API_KEY",
            local=True,
            completions=True,
            embeddings=True,
            lacks=frozenset({"logit_bias", "n"}),
            lacks_in_completions=frozenset({"best_of", "echo", "logprobs"}),
            only=_ONLY_AUTO,
            renames=_OLDER_LIMIT,
            thoughts="reasoning",
        ),
        # https://docs.vllm.ai/en/latest/serving/openai_compatible_server
        Row(
            name="vllm",
            vendor="vLLM",
            base="http://localhost:8000/v1",
            key="VLLM_API_KEY",
            local=True,
            completions=True,
            embeddings=True,
            lacks_in_completions=frozenset({"suffix"}),
            thoughts="reasoning",
        ),
        # https://lmstudio.ai/docs/developer/openai-compat
        Row(
            name="lm-studio",
            vendor="LM Studio",
            base="http://localhost:1234/v1",
            local=True,
            completions=True,
            embeddings=True,
            renames=_OLDER_LIMIT,
            thoughts="reasoning",
        ),
        # https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
        Row(
            name="llama-cpp",
            vendor="llama.cpp",
            base="http://localhost:8080/v1",
            key="LLAMA_API_KEY",
            local=True,
            completions=True,
            embeddings=True,
        ),
        # https://docs.sglang.io/basic_usage/openai_api.html
        Row(
            name="sglang",
            vendor="SGLang",
            base="http://localhost:30000/v1",
            local=True,
            completions=True,
            embeddings=True,
        ),
        Row(
            name="openai-compatible",
            vendor="the server",
            base=None,
            local=True,
            completions=True,
            embeddings=True,
            thoughts="reasoning",
        ),
    )
}
"""Provider's name → its row."""
