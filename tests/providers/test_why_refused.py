"""Why a provider refuses what another may take, through every real adapter: by its codes, by its words, and not by less."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_async.errors import (
    UpstreamError,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway_async.providers._base import Adapter, UpstreamResponse
from gateway_async.providers._refusals import Told, declined
from tests.providers.cases import CASES, read
from tests.support.upstream import event

ADAPTERS: Mapping[str, Adapter] = {case.provider: case.adapter() for case in CASES.values()}
"""An adapter of each provider."""

EVERY_PROVIDER = pytest.mark.parametrize("provider", sorted(ADAPTERS))


def bodies(message: str) -> Iterator[bytes]:
    """The shapes in which the vendors put their words."""
    for value in (
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}},
        {"type": "error", "error": {"type": "invalid_request_error", "message": message}},
        {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}},
        {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400},
        {"error_code": "BAD_REQUEST", "message": message},
        {"code": "Client specified an invalid argument", "error": message},
        {"error": message, "error_type": "validation"},
        {"detail": message},
        {"message": message},
        [{"error": {"code": 400, "message": message}}],
    ):
        yield json.dumps(value).encode()
    yield message.encode()


def failed(provider: str, status: int, body: bytes | dict[str, Any], **headers: str) -> UpstreamError:
    """The error for an answer of a provider."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return ADAPTERS[provider].error(UpstreamResponse(status, told, body))


def coded(code: str | int, *, message: str = "no") -> dict[str, Any]:
    """An error with a code."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


# --- words --------------------------------------------------------------------------------------------------------

TOO_LONG = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens.",
    "This endpoint's maximum context length is 131072 tokens. However, you requested about 537812 tokens.",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "prompt is too long: 207791 tokens > 200000 maximum",
    "The prompt is too long: 140000, model maximum context length: 131071",
    "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000",
    "Input is too long for requested model.",
    "The model returned the following errors: Input is too long for requested model.",
    "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again.",
    "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9875 ",
    "Malformed input request: expected maxLength: 50000, actual: 160000, please reformat your input and try again.",
    "Malformed input request: #/texts/1: expected maxLength: 2048, actual: 2449, please reformat your input.",
    "The input token count (132478) exceeds the maximum number of tokens allowed (131072).",
    "Unable to submit request because the input token count is 32769 but model only supports up to 32768.",
    "Request payload size exceeds the limit: 20971520 bytes.",
    "too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - received 6354.",
    "too many tokens: size limit exceeded by 1203 tokens. Try using shorter or fewer inputs.",
    "Prompt contains 300000 tokens, too large for model with 131072 maximum context length",
    "The input (265330 tokens) is longer than the model's context length (262144 tokens).",
    "Bad Request: the input token count and max_tokens exceed the model's context length",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5013 `inputs` tokens",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 5013",
    "Error: prompt token count (5000) cannot exceed 4096. Please reduce the length of your prompt.",
    "Please reduce the length of the messages or completion.",
    "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "Input length (5000 tokens) exceeds the maximum allowed length (4096 tokens).",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "the request exceeds the available context size, try increasing it",
    "input (5000 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "prompt too long; exceeded max context length by 4096 tokens",
    "the input length exceeds the context length",
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)",
    "invalid params, context window exceeds limit (2013)",
    "Range of input length should be [1, 129024]",
    "Prompt exceeds max length",
    "Invalid 'messages[17].content': string too long. Expected a string with maximum length 1048576.",
    "Invalid 'messages[1].content[0].text': string too long. Expected a string with maximum length 1048576.",
    "Invalid 'input[3]': string too long. Expected a string with maximum length 10485760.",
)

NOT_ALLOWED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "Your request was rejected as a result of our safety system.",
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    "Output blocked by content filtering policy",
    "The model returned the following errors: Output blocked by content filtering policy",
    "The prompt contains sensitive words that violate Google's Responsible AI practices.",
    "blocked output: please adjust your prompt and try again",
    'openai/gpt-4 requires moderation on OpenAI. Your input was flagged for "violence". No credits were charged.',
    "Request blocked: prompt injection patterns detected",
    "Content violates usage guidelines. Team: rhine, Model: grok-4-0709, Failed check: SAFETY_CHECK_TYPE_BIO",
    "Content Exists Risk",
    "<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.",
    "The request was rejected because it was considered high risk",
    "input new_sensitive (1026)",
    "System detected potentially unsafe or sensitive content in input or generation.",
)

NEITHER = (
    # What an answer may be, and not what the prompt is.
    "max_tokens: 70000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-6",
    "max_tokens is too large: 50000. This model supports at most 16384 completion tokens.",
    "max_tokens (10000) cannot exceed 8192. Please reduce the length of max output tokens generated.",
    "Error: max output tokens is limited to 500 but 2000 were requested",
    "The maximum tokens you requested exceeds the model limit of 2048.",
    "Unable to submit request because it has a maxOutputTokens value of 1000000 but the supported range is",
    "Input validation error: `max_new_tokens` must be strictly positive",
    "Input validation error: `inputs` must be non-empty",
    # Parts of a request, and not the prompt.
    "Invalid 'tools[13].function.description': string too long. Expected a string with maximum length 1024.",
    "Invalid 'messages[10].tool_calls[0].id': string too long. Expected a string with maximum length 40.",
    "Invalid 'input[95].call_id': string too long. Expected a string with maximum length 64.",
    "Malformed input request: #/stopSequences/0: expected maxLength: 20, actual: 31, please reformat your input.",
    "invalid request: total number of texts must be at most 96",
    "stop sequence is too long",
    "user: String should have at most 64 characters",
    "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes",
    "At most 5 image(s) may be provided in one request.",
    "Expected a sequence of at most 128 tools",
    "the number of tokens in `logit_bias` is too large",
    "`context_length` is not a parameter of this model",
    # Policies and filters that are spoken of, and have refused nothing.
    "Unknown parameter: 'content_filter'.",
    "Invalid value at 'safety_settings[0].category' (HARM_CATEGORY_VIOLENCE)",
    "Unsupported parameter: 'moderation'. See https://example.com/docs/content-policy",
    "Invalid schema for response_format: 'required' is violated at $.properties",
    "This model requires data sharing to be enabled; see our privacy policy settings.",
    "Tool call id was turn1_0 but must be a-z, A-Z, 0-9, with a length of 9.",
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    "The model `gpt-9` does not exist or you do not have access to it.",
    "Invalid input",
    "Bad Request",
)


@EVERY_PROVIDER
def test_a_prompt_that_is_too_long_is_known_by_its_words(provider: str) -> None:
    """Whoever says it: providers pass on each other's errors, and servers of one's own may stand behind any name."""
    for message in TOO_LONG:
        for body in bodies(message):
            assert failed(provider, 400, body).refusal == "context_length", body


@EVERY_PROVIDER
def test_a_prompt_that_is_not_allowed_is_known_by_its_words(provider: str) -> None:
    """Whoever says it, and in whichever shape."""
    for message in NOT_ALLOWED:
        for body in bodies(message):
            assert failed(provider, 400, body).refusal == "content_policy", body


@EVERY_PROVIDER
def test_an_ordinary_mistake_is_no_refusal(provider: str) -> None:
    """It would be one with every other provider: nobody else is to be bothered with it."""
    for message in NEITHER:
        for body in bodies(message):
            for status in (400, 422):
                error = failed(provider, status, body)
                assert error.refusal is None, body
                assert isinstance(error, UpstreamRefused)


@EVERY_PROVIDER
def test_words_count_only_under_a_status_that_a_refusal_has(provider: str) -> None:
    """A limit per minute speaks of too many tokens as well, and an account is closed for what it was used for."""
    for status in (401, 402, 404, 408, 409, 429, 503, 504, 529):
        for message in (*TOO_LONG, *NOT_ALLOWED, "Too many tokens, please wait before trying again."):
            assert failed(provider, status, {"error": {"message": message}}).refusal is None, status


# --- codes --------------------------------------------------------------------------------------------------------

CODES = {
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",
    "max_tokens_per_request": "context_length",
    "request_too_large": "context_length",
    "tokens_limit_reached": "context_length",
    "DataInspectionFailed": "content_policy",
    "content_filter": "content_policy",
    "content_policy_violation": "content_policy",
    "data_inspection_failed": "content_policy",
    "moderation_blocked": "content_policy",
}


@EVERY_PROVIDER
def test_a_refusal_is_known_by_its_code(provider: str) -> None:
    """As a code, as a type, in the metadata, or in what another provider said within."""
    for code, refusal in CODES.items():
        for told in (
            {"code": code},
            {"type": code},
            {"metadata": {"error_type": code}},
            {"metadata": {"raw": json.dumps({"error": {"code": code}})}},
            {"innererror": {"code": code}},
        ):
            assert failed(provider, 400, {"error": {"message": "no", **told}}).refusal == refusal, told


@pytest.mark.parametrize(
    ("provider", "code", "refusal"),
    [
        ("zhipu", "1301", "content_policy"),
        ("zhipu", "1261", "context_length"),
        ("minimax", 1026, "content_policy"),
        ("openrouter", "string_too_long", "context_length"),
        ("openrouter", "refusal", "content_policy"),
        ("openai", "1301", None),
        ("openai", 1026, None),
        ("openai", "refusal", None),
    ],
)
def test_a_code_means_what_its_provider_says(provider: str, code: str | int, refusal: str | None) -> None:
    """The same code is somebody else's for something else."""
    assert failed(provider, 400, coded(code)).refusal == refusal


@EVERY_PROVIDER
def test_what_is_too_large_is_too_long(provider: str) -> None:
    """413 says it without a word."""
    error = failed(provider, 413, b"")

    assert (error.status, error.refusal) == (413, "context_length")


@EVERY_PROVIDER
def test_a_refusal_is_the_callers_whatever_its_status(provider: str) -> None:
    """A moderator's 403 is no matter of credentials, a server's 500 no failure: neither counts against the provider."""
    for status in (403, 500, 502):
        error = failed(provider, status, coded("content_filter"))
        assert (type(error), error.status, error.refusal) == (UpstreamRefused, 400, "content_policy")
        assert "credentials" not in error.message

    assert failed(provider, 403, coded("forbidden")).status == 502


def test_a_field_that_is_too_long_is_an_ordinary_mistake() -> None:
    """Pydantic, which stands behind many servers, calls any text so."""
    wrong = {
        "type": "string_too_long",
        "loc": ["body", "user"],
        "msg": "String should have at most 64 characters",
    }

    assert failed("mistral", 422, {"detail": [wrong]}).refusal is None


def test_databricks_passes_on_why_a_model_of_somebody_else_refuses() -> None:
    """The code of the model's own provider stands within the error, and that of a guardrail beside it."""
    external = {
        "error_code": "BAD_REQUEST",
        "message": "the model refused",
        "external_model_provider": "openai",
        "external_model_error": coded("context_length_exceeded"),
    }
    guarded = {"message": "blocked", "finishReason": "input_guardrail_triggered"}

    assert failed("databricks", 400, external).refusal == "context_length"
    assert failed("databricks", 400, guarded).refusal == "content_policy"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(["content_filter", *TOO_LONG]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["error", "message", "code", "metadata", "raw"]), inner)
        ),
    )
)
def test_whatever_an_error_is_it_is_read(error: Any) -> None:
    """Nothing that an upstream says makes reading it fail."""
    told = Told.by(error)

    assert told.refusal("openai", 400) in (None, "context_length", "content_policy")
    assert told.endless("zhipu") in (True, False)


# --- within answers and streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "data", "refusal"),
    [
        ("openai/stream", coded("context_length_exceeded"), "context_length"),
        ("openai/stream", {"error": "Content Exists Risk"}, "content_policy"),
        ("groq/stream", {"error": {"message": "prompt is too long"}}, "context_length"),
        (
            "anthropic/stream",
            {"type": "error", "error": {"type": "request_too_large", "message": "no"}},
            "context_length",
        ),
        (
            "anthropic/stream",
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            None,
        ),
        (
            "gemini/stream",
            {"error": {"code": 400, "message": "The input token count (2) exceeds the maximum"}},
            "context_length",
        ),
        (
            "mistral/stream",
            {"object": "error", "message": "too large for model with 1 maximum context length", "code": 3051},
            "context_length",
        ),
        (
            "databricks/stream",
            {"error_code": "BAD_REQUEST", "message": "Your input exceeds the context window of this model."},
            "context_length",
        ),
        (
            "huggingface-text-generation-inference/stream",
            {"error": "`inputs` must have less than 1024 tokens. Given: 5013", "error_type": "validation"},
            "context_length",
        ),
        ("minimax/stream", {"base_resp": {"status_code": 1026, "status_msg": "no"}}, "content_policy"),
        ("minimax/stream", {"base_resp": {"status_code": 1002, "status_msg": "no"}}, None),
    ],
)
def test_a_refusal_in_the_place_of_the_first_chunk_is_one(
    case: str, data: dict[str, Any], refusal: str | None
) -> None:
    """A stream that begins with 200 may refuse all the same; nothing has gone out, so another may be asked."""
    found = read(CASES[case].reader(), [event(data)])

    assert found.chunks == []
    assert isinstance(found.error, UpstreamError)
    assert found.error.refusal == refusal
    assert refusal is None or found.error.status in (400, 413, 422)


def finishes(answer: dict[str, Any]) -> Sequence[str | None]:
    """Why each choice of an answer ends."""
    return [choice["finish_reason"] for choice in answer.get("choices", ())]


def test_an_answer_that_a_filter_took_is_known_for_one() -> None:
    """A 200 may be a refusal in truth: every choice of it ends with `content_filter`."""
    for case in CASES.values():
        if case.answer is not None:
            body = case.adapter().answer(case.response(), case.data())
            reasons = finishes(json.loads(body))
            assert declined(body) == (bool(reasons) and set(reasons) == {"content_filter"}), case.name


@pytest.mark.parametrize(
    "case",
    [
        "gemini/chat_blocked_prompt",
        "gemini/chat_prohibited",
        "gemini/completions_blocked",
        "bedrock/chat_stop_content_filtered",
        "bedrock/chat_stop_guardrail_intervened",
    ],
)
def test_a_blocked_prompt_is_an_answer_that_a_filter_took(case: str) -> None:
    """Whatever the vendor calls its filter."""
    blocked = CASES[case]

    assert declined(blocked.adapter().answer(blocked.response(), blocked.data()))


def test_a_stream_that_is_blocked_from_the_start_is_known_for_one() -> None:
    """Its first chunk says so."""
    case = CASES["gemini/stream_blocked_prompt"]
    [first, *_] = case.reader().feed(case.stream_bytes())

    assert declined(first)
    assert not declined(b'{"choices":[],"prompt_filter_results":[{"content_filter":"content_filter"}]}')


# --- whose fault it is --------------------------------------------------------------------------------------------

CLASSES = {
    301: (UpstreamInvalid, 502),
    400: (UpstreamRefused, 400),
    401: (UpstreamError, 502),
    402: (UpstreamError, 502),
    403: (UpstreamError, 502),
    404: (UpstreamRefused, 404),
    408: (UpstreamTimeout, 408),
    409: (UpstreamRefused, 409),
    410: (UpstreamError, 502),
    422: (UpstreamRefused, 422),
    424: (UpstreamError, 502),
    425: (UpstreamUnavailable, 503),
    429: (UpstreamRefused, 429),
    499: (UpstreamError, 502),
    500: (UpstreamError, 502),
    502: (UpstreamError, 502),
    503: (UpstreamUnavailable, 503),
    504: (UpstreamTimeout, 504),
    520: (UpstreamError, 502),
    521: (UpstreamUnavailable, 503),
    522: (UpstreamTimeout, 504),
    523: (UpstreamUnavailable, 503),
    524: (UpstreamTimeout, 504),
    525: (UpstreamError, 502),
    529: (UpstreamUnavailable, 503),
    530: (UpstreamError, 502),
}


@EVERY_PROVIDER
def test_a_status_means_the_same_whoever_answers_it(provider: str) -> None:
    """Its class says whose fault it is and whether it may pass; the caller gets the status that fits."""
    for status, meaning in CLASSES.items():
        error = failed(provider, status, {"message": "no"})

        assert (type(error), error.status) == meaning, status
        assert (error.upstream_status, error.refusal, error.passes) == (status, None, True)


@pytest.mark.parametrize(
    ("provider", "status", "told"),
    [("groq", 498, (UpstreamUnavailable, 503)), ("cohere", 498, (UpstreamRefused, 400))],
)
def test_a_status_of_ones_own_means_what_its_provider_says(
    provider: str, status: int, told: tuple[type[UpstreamError], int]
) -> None:
    """498 is a full tier with one, and a blocked prompt with another."""
    error = failed(provider, status, {"message": "no"})

    assert (type(error), error.status) == told


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        (
            "xai",
            {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***in."},
        ),
        ("dashscope", coded("Arrearage", message="Access denied, please make sure your account is fine.")),
        ("anthropic", {"error": {"message": "Your credit balance is too low to access the Anthropic API."}}),
        ("gemini", {"error": {"code": 400, "message": "not here", "status": "FAILED_PRECONDITION"}}),
    ],
)
def test_an_account_that_is_at_fault_is_not_the_callers(provider: str, body: dict[str, Any]) -> None:
    """Some say 400 to a key without credit: the caller has done nothing wrong, and another provider may answer."""
    error = failed(provider, 400, body)

    assert (type(error), error.status, error.refusal) == (UpstreamError, 502, None)
    assert "refuses the gateway's credentials (400)" in error.message


# --- whether it passes --------------------------------------------------------------------------------------------

ENDLESS = [
    ("openai", {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    ("openai", coded("billing_hard_limit_reached")),
    (
        "anthropic",
        {
            "error": {
                "type": "rate_limit_error",
                "message": "no",
                "details": {"error_code": "enforced_spend_limit_reached"},
            }
        },
    ),
    ("moonshot", {"error": {"message": "no", "type": "exceeded_current_quota_error"}}),
    ("zhipu", coded("1113")),
]


@pytest.mark.parametrize(("provider", "body"), ENDLESS)
def test_a_limit_that_does_not_end_with_time_does_not_pass(provider: str, body: dict[str, Any]) -> None:
    """It is 429 as any other limit; but nobody is to wait, and nobody is told how long."""
    error = failed(provider, 429, body, retry_after="20")

    assert (error.status, error.passes, error.retry_after) == (429, False, None)


@pytest.mark.parametrize(("provider", "status"), [("openai", 429), ("groq", 413)])
def test_a_request_above_the_limit_of_a_minute_is_too_long(provider: str, status: int) -> None:
    """It is no use to wait with it, and no sign that the provider is asked too often."""
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 132819."
    error = failed(provider, status, coded("rate_limit_exceeded", message=message), retry_after="20")

    assert (error.status, error.refusal, error.retry_after) == (status, "context_length", None)


@pytest.mark.parametrize(
    "body",
    [
        coded("rate_limit_exceeded", message="Rate limit reached. Please try again in 20s."),
        coded(429, message="You exceeded your current quota, please check your plan and billing details."),
        coded("1113"),
    ],
)
def test_a_limit_that_ends_with_time_passes(body: dict[str, Any]) -> None:
    """Gemini speaks of plans and billing under a limit per minute, too: its words say nothing."""
    error = failed("openai", 429, body, retry_after="20")

    assert (error.passes, error.retry_after) == (True, 20)


@pytest.mark.parametrize(("told", "passes"), [("false", False), ("true", True), ("maybe", True)])
def test_a_server_that_says_not_to_call_again_is_obeyed(told: str, passes: bool) -> None:
    """OpenAI's and Anthropic's servers say so in a header of their own; their clients obey it."""
    assert failed("anthropic", 500, {"message": "no"}, x_should_retry=told).passes is passes
