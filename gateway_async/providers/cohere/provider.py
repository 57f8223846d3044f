"""Cohere: today's API (v2) and the one before it (v1), which the documented gateway speaks.

https://docs.cohere.com/reference/about and https://docs.cohere.com/docs/migrating-v1-to-v2. The base address says which
one is spoken; without one, v1 stays with the models that are as old as it.
"""

import re

from gateway_async.config import CohereConfig, Model, RouteType
from gateway_async.providers._base import Adapter
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._requests import join_url
from gateway_async.providers.cohere.v1 import V1
from gateway_async.providers.cohere.v2 import ChatAdapter, EmbeddingAdapter

_OF_V1 = re.compile(
    r"(command|base)(-light)?(-nightly)?|command-(medium|xlarge)(-nightly)?|xlarge|medium"
    r"|embed-.+-v2\.0|large|small|multilingual-22-12"
)
"""Models of v1's time, most of them retired: https://docs.cohere.com/docs/deprecations. Later ones are served by both, but
much that a request may hold needs v2: tools, images, a single text to embed."""


class Cohere:
    """The provider `cohere`."""

    name = "cohere"
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> Adapter:
        """The adapter for one model."""
        config = model.config
        assert isinstance(config, CohereConfig)
        name = model.name or ""
        base = config.cohere_api_base or _default_base(name)
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {config.cohere_api_key}",
        }
        if not base.partition("?")[0].rstrip("/").endswith("/v2"):
            path, adapter = V1[kind]
            return adapter(self.name, join_url(base, path), headers, name)
        if kind is RouteType.LLM_V1_EMBEDDINGS:
            return EmbeddingAdapter(self.name, join_url(base, "embed"), headers, name)
        chat = ChatAdapter(self.name, join_url(base, "chat"), headers, name)
        return chat if kind is RouteType.LLM_V1_CHAT else completions_by_chat(chat, "Cohere")


def _default_base(model: str) -> str:
    return "https://api.cohere.ai/v1" if _OF_V1.fullmatch(model) else "https://api.cohere.com/v2"


provider = Cohere()
