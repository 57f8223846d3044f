"""What callers send and get: chat, completions and embeddings in OpenAI's shapes."""

from gateway_async.schemas.chat import ChatChunk, ChatMessage, ChatRequest, ChatResponse
from gateway_async.schemas.completions import CompletionChunk, CompletionRequest, CompletionResponse
from gateway_async.schemas.embeddings import EmbeddingRequest, EmbeddingResponse
from gateway_async.schemas.usage import Usage

__all__ = [
    "ChatChunk",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "CompletionChunk",
    "CompletionRequest",
    "CompletionResponse",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Usage",
]
