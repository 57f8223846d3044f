"""What OpenAI's API answers, for the mock upstream: with the fields of today that mlflow does not know."""

from typing import Any

from tests.peer.harness import Reply, events

CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []},
            "logprobs": {"content": [{"token": "Hello", "logprob": -0.1, "bytes": None, "top_logprobs": []}]},
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
TWO_CHOICES = {**CHAT, "choices": [CHAT["choices"][0], {**CHAT["choices"][0], "index": 1}]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL_CALLS = {
    **CHAT,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
}
REFUSAL = {
    **CHAT,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "refusal": "No."},
            "finish_reason": "stop",
        }
    ],
}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A piece of a streamed chat."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini",
    }
    return {**head, "system_fingerprint": "fp_1", "choices": [choice], **more}


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
]
USAGE_CHUNK = chunk({}, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8})
TOOL_CHUNKS = [
    chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **CALL}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}),
    chunk({}, "tool_calls"),
]

COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1700000000,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": " world", "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
COMPLETION_FOR_MLFLOW = {
    **COMPLETION,
    "choices": [{"index": 0, "message": {"content": " world"}, "finish_reason": "stop"}],
}
"""mlflow's parser of completions reads chat's shape, and answers 500 to the real one."""


def text_chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    """A piece of a streamed completion."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    return {**{key: COMPLETION[key] for key in ("id", "object", "created", "model")}, "choices": [choice]}


TEXT_CHUNKS = [text_chunk(" wor"), text_chunk("ld", "stop")]
TEXT_CHUNKS_FOR_MLFLOW = [
    {**piece, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]}
    for piece, text, end in zip(TEXT_CHUNKS, (" wor", "ld"), (None, "stop"), strict=True)
]

EMBEDDINGS: dict[str, Any] = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.1, 0.2]},
        {"object": "embedding", "index": 1, "embedding": [0.3, 0.4]},
    ],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}
BASE64 = {**EMBEDDINGS, "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}]}


def refused(status: int, **headers: str) -> Reply:
    """An error in OpenAI's envelope."""
    error = {"message": "that went wrong", "type": "some_error", "param": None, "code": None}
    return Reply(
        {"error": error}, status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def stream(*chunks: dict[str, Any]) -> Reply:
    """A stream as OpenAI ends it."""
    return events(*chunks, done=True)
