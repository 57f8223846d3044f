"""What a provider from outside is made of; see `docs/plugins.md`. Nothing else of the package is promised to it.

A plugin is an entry point of the group `gateway.providers`. It names an object with

- `name`: the entry point's name, under which configurations find it;
- `route_types`: the types of routes that it serves;
- `bind(model, kind)`: called once for each route when the configuration loads; gives an `Adapter` (JSON goes up, JSON
  comes down: `JsonAdapter`; OpenAI's format: `OpenAIAdapter`) or a `Responder`, which answers by itself;
- `config`, where it takes settings: a subclass of `ConfigModel`, its keys of type `ApiKey` and its addresses of type
  `Address`. Without it the plugin takes none. Settings with which the server's own credentials are used (those of its
  environment, which stand in no setting) have a method `server_credentials()` that names them; routes made over the API
  may use them where `upstream.allow_secrets` lists that name.

An adapter does no input or output of its own: it turns values into values, and the gateway sends them. What an
upstream does wrong is an `UpstreamError` (`invalid` raises one for an answer that is none, `reported_error` makes one of
an error within a stream), what a caller does wrong an `InvalidRequest`, and a parameter that the upstream lacks
`UnsupportedParameter`, which `take` raises.
"""

from gateway_async.base_models import ConfigModel
from gateway_async.call import Answer, Call, StreamAnswer
from gateway_async.config import Model, RouteType
from gateway_async.errors import (
    InvalidRequest,
    NotSupported,
    UnsupportedParameter,
    UpstreamError,
    UpstreamInvalid,
)
from gateway_async.providers._adapter import JsonAdapter
from gateway_async.providers._answers import (
    Chunks,
    chat_choice,
    chat_completion,
    embedding_list,
    text_choice,
    text_completion,
    token_usage,
    tool_call,
    wants_usage,
)
from gateway_async.providers._base import (
    Adapter,
    Authorizing,
    ChunkReader,
    Json,
    Provider,
    Responder,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway_async.providers._completions import completions_by_chat
from gateway_async.providers._errors import invalid, reported_error, upstream_error
from gateway_async.providers._requests import join_url, one_answer, plain_text, take
from gateway_async.providers._streams import JsonReader, Lines
from gateway_async.providers.openai_format.adapter import OpenAIAdapter
from gateway_async.setting_types import Address
from gateway_async.setting_types import ResolvedApiKey as ApiKey

__all__ = [
    "Adapter",
    "Address",
    "Answer",
    "ApiKey",
    "Authorizing",
    "Call",
    "ChunkReader",
    "Chunks",
    "ConfigModel",
    "InvalidRequest",
    "Json",
    "JsonAdapter",
    "JsonReader",
    "Lines",
    "Model",
    "NotSupported",
    "OpenAIAdapter",
    "Provider",
    "Responder",
    "RouteType",
    "StreamAnswer",
    "UnsupportedParameter",
    "UpstreamError",
    "UpstreamInvalid",
    "UpstreamRequest",
    "UpstreamResponse",
    "chat_choice",
    "chat_completion",
    "completions_by_chat",
    "embedding_list",
    "invalid",
    "join_url",
    "one_answer",
    "plain_text",
    "reported_error",
    "take",
    "text_choice",
    "text_completion",
    "token_usage",
    "tool_call",
    "upstream_error",
    "wants_usage",
]
