"""What callers send and get: chat, completions and embeddings in OpenAI's shapes: all of `gateway_async.schemas`."""

from gateway_async.schemas import *  # noqa: F403 - one place defines them
