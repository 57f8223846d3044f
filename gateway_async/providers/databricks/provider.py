"""Databricks: the serving endpoints of a workspace, its foundation models and those of others that it passes on to.

https://docs.databricks.com/aws/en/machine-learning/foundation-model-apis/api-reference: OpenAI's format with the
endpoint's name in the address. Credentials are those of Databricks' environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway_async.config import DatabricksConfig, Model, RouteType
from gateway_async.credentials.databricks import Workspace
from gateway_async.errors import ConfigError, UpstreamError
from gateway_async.providers._adapter import encoded
from gateway_async.providers._answers import wants_usage
from gateway_async.providers._base import Json, UpstreamRequest, UpstreamResponse
from gateway_async.providers._errors import upstream_error
from gateway_async.providers._requests import join_url, path_part, take, without_neutral
from gateway_async.providers._streams import EventReader
from gateway_async.providers.databricks.answer import (
    ChatReader,
    CompletionReader,
    as_base64,
    mend_answer,
    words_of,
)
from gateway_async.providers.databricks.messages import conversation
from gateway_async.providers.openai_format.answer import standard_answer

_SAMPLING = (
    "frequency_penalty",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "temperature",
    "top_p",
)

_OF_OTHERS = ("frequency_penalty", "logit_bias", "parallel_tool_calls", "presence_penalty", "suffix")
"""What only the models of others take, which an endpoint may pass on to; the rest refuse the name, whatever it asks for."""

_CHAT = (
    *_SAMPLING,
    *("logit_bias", "logprobs", "parallel_tool_calls", "reasoning_effort", "response_format", "tool_choice"),
    *("tools", "top_logprobs", "user"),
)

_TAKES: Mapping[RouteType, Mapping[str, str]] = {
    RouteType.LLM_V1_CHAT: {name: name for name in _CHAT} | {"max_completion_tokens": "max_tokens"},
    RouteType.LLM_V1_COMPLETIONS: {name: name for name in (*_SAMPLING, "echo", "logprobs", "suffix", "user")},
    RouteType.LLM_V1_EMBEDDINGS: {name: name for name in ("dimensions", "user")},
}
"""What a stream used it always says, and vectors come as numbers: neither is asked for."""


class Databricks:
    """The providers `databricks` and `databricks-model-serving`, one thing with two names."""

    route_types = frozenset(RouteType)

    def __init__(self, name: str) -> None:
        self.name = name

    def bind(self, model: Model, kind: RouteType) -> "DatabricksAdapter":
        """The adapter for one endpoint."""
        config = model.config or DatabricksConfig()
        assert isinstance(config, DatabricksConfig)
        base = config.databricks_api_base
        name = model.name or ""
        return DatabricksAdapter(self.name, kind, _url(base or "", name), name, Workspace(base), not base)


def _url(base: str, name: str) -> str:
    """The endpoint's address; what Databricks gives to OpenAI's clients as base ends in `serving-endpoints` already."""
    address, mark, query = base.partition("?")
    address = address.rstrip("/").removesuffix("/serving-endpoints")
    return join_url(address + mark + query, "serving-endpoints", path_part(name), "invocations")


@dataclass(frozen=True, slots=True)
class DatabricksAdapter:
    """One serving endpoint."""

    provider: str
    kind: RouteType
    url: str
    model: str
    workspace: Workspace
    needs_host: bool
    """The address lacks the workspace's, which comes with the credentials."""

    def request(self, data: Json, *, stream: bool) -> UpstreamRequest:
        """The caller's own request, as far as it is known there."""
        body = take(without_neutral(data, _OF_OTHERS), "Databricks", _TAKES[self.kind])
        if self.kind is RouteType.LLM_V1_CHAT:
            body["messages"] = conversation(body["messages"])
        return UpstreamRequest(self.url, {"Content-Type": "application/json"}, encoded(body))

    async def authorize(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with the workspace's credentials, and its address where none is configured."""
        try:
            host, headers = await self.workspace.get()
        except ConfigError as problem:
            raise UpstreamError(f"{self.provider}: {problem.message}", provider=self.provider) from problem
        url = host + request.url if self.needs_host else request.url
        return replace(request, url=url, headers={**request.headers, **headers})

    def answer(self, response: UpstreamResponse, data: Json) -> bytes:
        """The endpoint's own answer, its content and its usage as OpenAI has them."""

        def mend(value: Json) -> bool:
            return mend_answer(value, self.provider)

        body = standard_answer(response.body, self.provider, self.kind, self.model, mend=mend)
        if self.kind is RouteType.LLM_V1_EMBEDDINGS and data.get("encoding_format") == "base64":
            return as_base64(body, self.provider)
        return body

    def reader(self, data: Json) -> EventReader:
        """A reader that passes chunks on as bytes where it can."""
        kind = CompletionReader if self.kind is RouteType.LLM_V1_COMPLETIONS else ChatReader
        return kind(self.provider, self.model, include_usage=wants_usage(data))

    def error(self, response: UpstreamResponse) -> UpstreamError:
        """The upstream's error, with the caller's status where the caller is at fault."""
        return upstream_error(self.provider, response, said=words_of(response.body))


provider = Databricks("databricks")
model_serving = Databricks("databricks-model-serving")
