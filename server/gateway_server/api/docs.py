"""`/docs` and `/openapi.json`: the API's own documentation, made from the schemas; it needs no internet."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway_async import schemas
from gateway_async.base_models import SetLimitsModel
from gateway_async.config import Endpoint, LimitsConfig, RouteConfig
from gateway_async.config import Route as RouteInfo
from gateway_async.keys.changes import NewKey

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "script-src 'unsafe-inline'",
        "connect-src 'self'",
        "img-src data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

Json = dict[str, Any]

_CHAT: Json = {"messages": [{"role": "user", "content": "Tell me a joke about rabbits"}]}
_COMPLETION: Json = {"prompt": "It's one small step for", "max_tokens": 64}
_EMBEDDING: Json = {"input": ["It was the best of times", "It was the worst of times"]}
_LIMITS: Json = {"route": "chat", "limits": [{"calls": 50, "renewal_period": "minute", "key": "user"}]}
_ROUTE: Json = {
    "name": "my-route",
    "route_type": "llm/v1/chat",
    "model": {"provider": "openai", "name": "gpt-5-mini", "config": {"openai_api_key": "sk-your-key"}},
}
_SEVERAL: Json = {
    "name": "my-second-route",
    "route_type": "llm/v1/chat",
    "destinations": [
        {"model": _ROUTE["model"], "weight": 3},
        {
            "model": {
                "provider": "anthropic",
                "name": "claude-haiku-4-5",
                "config": {"anthropic_api_key": "sk-ant-your-key"},
            }
        },
        {"model": {"provider": "offline", "name": "echo"}, "priority": 2},
    ],
    "balance": "weighted",
    "fallback_on": ["failure", "timeout", "rate_limit"],
    "retry": {"attempts": 3, "budget": 0.2},
    "breaker": {"failures": 5, "open_seconds": 10},
    "concurrency": {"max": 200, "queue": 400, "queue_seconds": 5},
    "timeouts": {"connect": 5, "first_byte": 60, "idle": 60, "total": 300},
}
_CHANGES: Json = {"model": {"name": "gpt-5"}}
_CHANGES_OF_TRAFFIC: Json = {"timeouts": {"total": 60}, "retry": None}
_KEY: Json = {"name": "app", "role": "caller", "routes": ["chat"], "expires_in": "90d"}
_STREAMED: Json = {"stream": True}

_OBJECT: Json = {"application/json": {"schema": {"type": "object"}}}

_EXAMPLES: dict[str, Json] = {
    "chat": _CHAT,
    "streamed chat": {**_CHAT, **_STREAMED},
    "completion": _COMPLETION,
    "embeddings": _EMBEDDING,
}

_KEYS: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
"""The headers in which a key may come."""

_TAGS = {
    "Call a route": "The route is named by the address; its type says what it takes and answers.",
    "OpenAI's API": "For OpenAI's own clients: `base_url` is this gateway's address and `/v1`, `model` a route's name.",
    "Routes": "What this gateway serves. To change it needs an admin's key.",
    "Limits": "How many calls, or tokens, may pass.",
    "Keys": "Who may call, and who may change things; for admins.",
    "Server": "",
}


async def index(request: Request) -> Response:
    """The way to `/docs`."""
    return RedirectResponse(request.scope.get("root_path", "") + "/docs")


async def page(request: Request) -> Response:
    """A page that shows `/openapi.json` to a person."""
    return Response(_page(), media_type="text/html", headers={"content-security-policy": _POLICY})


async def openapi(request: Request) -> Response:
    """The API as an OpenAPI 3.1 document; its server is where this app is mounted."""
    document = {**_document(), "servers": [{"url": request.scope.get("root_path", "") or "/"}]}
    return Response(orjson.dumps(document), media_type="application/json")


def routes() -> list[BaseRoute]:
    """The endpoints of this module."""
    return [
        Route("/", index, methods=["GET"], include_in_schema=False),
        Route("/docs", page, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]


@cache
def _page() -> bytes:
    return files("gateway_server.api").joinpath("docs.html").read_bytes()


@cache
def _document() -> Json:
    try:
        release = version("ai-gateway-sdk")
    except PackageNotFoundError:  # a source tree that is not installed
        release = "0"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AI Gateway",
            "version": release,
            "description": "Routes to models, under one API.",
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        # None, where the gateway has no keys and what is called changes nothing.
        "security": [{}, *({name: []} for name in _KEYS)],
        "paths": _paths(),
        "components": {"schemas": _schemas(), "securitySchemes": _KEYS},
    }


def _schemas() -> Json:
    models: list[type[BaseModel]] = [
        *(getattr(schemas, name) for name in schemas.__all__),
        RouteInfo,
        Endpoint,
        RouteConfig,
        LimitsConfig,
        SetLimitsModel,
        NewKey,
    ]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    found: Json = definitions["$defs"]
    for name in ("ChatRequest", "CompletionRequest", "EmbeddingRequest"):
        # Under /gateway the address names the route: the same schema without `model`.
        properties = {key: value for key, value in found[name]["properties"].items() if key != "model"}
        found[name + "WithoutModel"] = {
            **found[name],
            "title": name + "WithoutModel",
            "properties": properties,
        }
        found[name] = {**found[name], "required": ["model", *found[name].get("required", ())]}
        found[name]["properties"]["model"] = {
            "type": "string",
            "title": "Model",
            "description": "A route's name.",
        }
    found["SetLimitsModel"]["properties"]["limits"]["items"] = _ref("Limit")
    per = [
        {"required": [counted], "properties": {counted: {"type": "integer"}}}
        for counted in ("calls", "tokens")
    ]
    found["Limit"] = {**found["Limit"], "required": ["renewal_period"], "anyOf": per}
    found["RouteConfig"] = _document_of_a_route(found["RouteConfig"])
    found["ConfigModel"] = {"type": "object", "description": "A provider's settings, its key among them."}
    found["Error"] = _error(
        "detail", "What happened: a sentence, or for a field that is wrong a list of fields."
    )
    found["OpenAIError"] = {
        "type": "object",
        "properties": {"error": {"type": "object"}},
        "required": ["error"],
    }
    return found


def _document_of_a_route(configured: Json) -> Json:
    """What a new route is described by: a configured one, whose type may come by either name."""
    properties = configured["properties"]
    return {
        **configured,
        "description": "A new route. It has `route_type`, or `endpoint_type`; and `model`, or `destinations`, which answer "
        "for each other. Each model brings its provider's settings, under `config` or `<provider>_config`.",
        "properties": {"route_type": properties["endpoint_type"], **properties},
        "required": ["name"],
    }


def _error(key: str, text: str) -> Json:
    return {
        "type": "object",
        "required": [key, "error_code", "message"],
        "properties": {
            key: {"description": text},
            "error_code": {"type": "string"},
            "message": {"type": "string"},
        },
    }


def _paths() -> Json:
    paths: Json = {}
    for prefix, word in (("gateway", "route"), ("endpoints", "endpoint")):
        paths[f"/{prefix}/{{name}}/invocations"] = {"post": _invocation(prefix, word)}
    for path, kind, examples in (
        ("/v1/chat/completions", "Chat", {"chat": _CHAT, "streamed chat": {**_CHAT, **_STREAMED}}),
        ("/v1/completions", "Completion", {"completion": _COMPLETION}),
        ("/v1/embeddings", "Embedding", {"embeddings": _EMBEDDING}),
    ):
        answers: Json = {"application/json": _schema(f"{kind}Response")}
        if kind != "Embedding":
            answers["text/event-stream"] = {"schema": _event_of(_ref(f"{kind}Chunk"), end="[DONE]")}
        named = {name: {"model": kind.lower(), **example} for name, example in examples.items()}
        paths[path] = {
            "post": _operation(
                f"openai_{kind.lower()}",
                "OpenAI's API",
                f"{kind}, the route named as the model",
                answers,
                body=(_schema(f"{kind}Request"), named),
                error="OpenAIError",
            )
        }
    of_openai, error = "OpenAI's API", "OpenAIError"
    paths["/v1/models"] = {
        "get": _operation("models", of_openai, "The routes, as models", _OBJECT, error=error)
    }
    paths["/v1/models/{name}"] = {
        "get": _operation("model", of_openai, "A route, as a model", _OBJECT, name=True, error=error)
    }
    for base, a, word, schema in (
        ("/api/2.0/gateway/routes/", "a", "route", "Route"),
        ("/api/2.0/endpoints/", "an", "endpoint", "Endpoint"),
    ):
        paths |= _routes(base, a, word, schema)
    for base, a, word in (
        ("/api/2.0/gateway/limits/", "a", "route"),
        ("/api/2.0/endpoints/limits/", "an", "endpoint"),
    ):
        paths |= _limits(base, a, word)
    paths |= _keys()
    paths["/health"] = {"get": _operation("health", "Server", "Whether the server is up", _OBJECT)}
    return paths


def _routes(base: str, a: str, word: str, schema: str) -> Json:
    answer = {"application/json": _schema(schema)}
    token = {"name": "page_token", "in": "query", "required": False, "schema": {"type": "string"}}
    several = {"application/json": {"schema": _page_of(word, schema)}}
    changes = {
        "type": "object",
        "minProperties": 1,
        "description": "Any key of a new route but its name; `null` takes one away.",
    }
    changed = ({"schema": changes}, {"changes": _CHANGES, "changes of traffic": _CHANGES_OF_TRAFFIC})
    made = (_schema("RouteConfig"), {word: _ROUTE, "several destinations": _SEVERAL})
    return {
        base: {
            "get": _operation(f"list_{word}s", "Routes", f"A page of {word}s", several, parameters=[token]),
            "post": _operation(f"create_{word}", "Routes", f"Create {a} {word}", answer, body=made),
        },
        base + "{name}": {
            "get": _operation(f"get_{word}", "Routes", f"One {word}", answer, name=True),
            "patch": _operation(
                f"update_{word}", "Routes", f"Change {a} {word}", answer, name=True, body=changed
            ),
            "delete": _operation(f"delete_{word}", "Routes", f"Delete {a} {word}", _OBJECT, name=True),
        },
        base + "{name}/export": {
            "get": _operation(
                *(f"export_{word}", "Routes", f"{a.capitalize()} {word} as the configuration file has it"),
                _OBJECT,
                name=True,
            )
        },
    }


def _limits(base: str, a: str, word: str) -> Json:
    answer = {"application/json": _schema("LimitsConfig")}
    body = (_schema("SetLimitsModel"), {"limits": _LIMITS})
    of = f"{word}'s limits"
    return {
        base: {"post": _operation(f"set_{word}_limits", "Limits", f"Set {a} {of}", answer, body=body)},
        base + "{name}": {
            "get": _operation(f"get_{word}_limits", "Limits", f"{a.capitalize()} {of}", answer, name=True),
            "delete": _operation(
                f"reset_{word}_limits", "Limits", f"Give {a} {word} its file's limits back", answer, name=True
            ),
        },
    }


def _keys() -> Json:
    base, body = "/api/2.0/gateway/keys/", (_schema("NewKey"), {"key": _KEY})
    return {
        base: {
            "get": _operation("list_keys", "Keys", "Every key, without itself", _OBJECT),
            "post": _operation("create_key", "Keys", "Make a key; it is shown this once", _OBJECT, body=body),
        },
        base + "{name}": {"delete": _operation("revoke_key", "Keys", "Revoke a key", _OBJECT, name=True)},
        base + "{name}/rotate": {
            "post": _operation("rotate_key", "Keys", "Replace a key by a new one", _OBJECT, name=True)
        },
    }


def _invocation(prefix: str, word: str) -> Json:
    kinds = ("Chat", "Completion", "Embedding")
    answers = {
        "application/json": {"schema": {"anyOf": [_ref(f"{kind}Response") for kind in kinds]}},
        "text/event-stream": {"schema": _event_of({"anyOf": [_ref("ChatChunk"), _ref("CompletionChunk")]})},
    }
    body = {"schema": {"anyOf": [_ref(f"{kind}RequestWithoutModel") for kind in kinds]}}
    return _operation(
        f"query_{prefix}", "Call a route", f"The {word}'s answer", answers, body=(body, _EXAMPLES), name=True
    )


def _operation(
    operation: str,
    tag: str,
    summary: str,
    answers: Json,
    *,
    body: tuple[Json, Json] | None = None,
    name: bool = False,
    parameters: list[Json] | None = None,
    error: str = "Error",
) -> Json:
    named = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[\w\-.]+$"},
    }
    found: Json = {
        "operationId": operation,
        "tags": [tag],
        "summary": summary,
        "parameters": [*([named] if name else []), *(parameters or [])],
        "responses": {
            "200": {"description": "The answer", "content": answers},
            "default": {
                "description": "What is wrong, and the way out",
                "content": {"application/json": {"schema": _ref(error)}},
            },
        },
    }
    if body is not None:
        schema, examples = body
        content = {
            **schema,
            "examples": {key: {"summary": key, "value": value} for key, value in examples.items()},
        }
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _event_of(chunk: Json, *, end: str | None = None) -> Json:
    """One event of a stream; the last has a mark for its data where the dialect has one."""
    data: Json = {"type": "string", "contentMediaType": "application/json", "contentSchema": chunk}
    if end is not None:
        data = {"anyOf": [{"const": end}, data]}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


def _page_of(word: str, schema: str) -> Json:
    items = {f"{word}s": {"type": "array", "items": _ref(schema)}, "next_page_token": {"type": "string"}}
    return {"type": "object", "required": [f"{word}s"], "properties": items}


def _schema(name: str) -> Json:
    return {"schema": _ref(name)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
