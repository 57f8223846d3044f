"""What a call used, in tokens."""

from gateway_async.base_models import ResponseModel


class PromptTokensDetails(ResponseModel):
    """Of the prompt's tokens, how many were of each kind."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionTokensDetails(ResponseModel):
    """Of the completion's tokens, how many were of each kind."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(ResponseModel):
    """Tokens that a chat or a completion used; a number is absent where the provider does not tell."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class EmbeddingsUsage(ResponseModel):
    """Tokens that embeddings used."""

    prompt_tokens: int | None = None
    total_tokens: int | None = None
